"""Images of any kind of file as one array: channels, depth and normalisation are stated in an ImageSpec."""

from segkit.images.labels import read_labels
from segkit.images.pixels import SUFFIXES, image_size, orientation, read_pixels, without_suffix
from segkit.images.reading import combine, convert, is_grey, read_image
from segkit.images.spec import ImageSpec

__all__ = [
    "SUFFIXES", "ImageSpec", "combine", "convert", "image_size", "is_grey", "orientation", "read_image", "read_labels",
    "read_pixels", "without_suffix",
]  # fmt: skip
