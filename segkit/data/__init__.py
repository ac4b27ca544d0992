"""Samples -> torch datasets: images, targets, augmentation, mixing, crops, tiles and pseudo-labels."""

from segkit.data.augment import Augment, colour, light, medium, strong
from segkit.data.crops import Crops
from segkit.data.dataset import SegmentationData
from segkit.data.drawing import Targets, mirrored_channels
from segkit.data.images import ImageData
from segkit.data.mixed import Mixed
from segkit.data.mixing import copy_paste, cutmix, mixup
from segkit.data.normalise import normalise, to_float
from segkit.data.pseudo_labels import Joined, PseudoData
from segkit.data.tiles import Tiles

__all__ = [
    "Augment", "Crops", "ImageData", "Joined", "Mixed", "PseudoData", "SegmentationData", "Targets", "Tiles", "colour",
    "copy_paste", "cutmix", "light", "medium", "mirrored_channels", "mixup", "normalise", "strong", "to_float",
]  # fmt: skip
