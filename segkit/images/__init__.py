"""Images of any kind of file as one array: channels, depth and normalisation are stated in an ImageSpec."""

from segkit.images.labels import read_labels
from segkit.images.pixels import SUFFIXES, image_size, orientation, read_pixels
from segkit.images.reading import convert, read_image
from segkit.images.spec import ImageSpec

__all__ = [
    "SUFFIXES", "ImageSpec", "convert", "image_size", "orientation", "read_image", "read_labels", "read_pixels",
]  # fmt: skip
