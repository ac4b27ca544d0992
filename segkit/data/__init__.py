"""Samples -> torch datasets: images, targets, augmentation, mixing, crops and pseudo-labels."""

from segkit.data.augment import Augment, light, medium, strong
from segkit.data.crops import Crops
from segkit.data.dataset import Images, SegmentationData, Targets, mirrored_channels, normalise
from segkit.data.mixing import Mixed, copy_paste, cutmix, mixup
from segkit.data.pseudo_labels import Joined, PseudoData

__all__ = [
    "Augment", "Crops", "Images", "Joined", "Mixed", "PseudoData", "SegmentationData", "Targets", "copy_paste",
    "cutmix", "light", "medium", "mirrored_channels", "mixup", "normalise", "strong",
]  # fmt: skip
