"""Samples: annotated images out of any source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from segkit.images import ImageSpec
from segkit.samples.base import BaseSamples
from segkit.samples.folder import open_folder
from segkit.samples.grouping import Group, Strata


class Samples(BaseSamples):
    """Annotated images of one split: what audit, folds, training, validation and prediction are given.

    Made by one of the `from_` methods. Annotations are parsed once, masks drawn when asked for; subsets share both. An
    annotation that cannot be read is reported by the audit, and is an error when it is used.

    Attributes:
        ids: Image ids, in order.
        classes: Class names, in channel order.
        groups: {id: group}.
        strata: {name: {id: value}}.
        sizes: {id: (height, width)}, read from the files' headers when asked for.
        exclusive: Whether a pixel has at most one class.
        labelled: Ids of the images that have an annotation; one that names nothing counts: a negative.
        truth: The masks of the labelled images.
        image_spec: How images are read.
    """

    @classmethod
    def from_folder(
        cls,
        root: str | Path,
        split: str = "train",
        classes: Sequence[str] | None = None,
        *,
        image: ImageSpec | None = None,
        group: Group = None,
        strata: Strata = None,
    ) -> Self:
        """Samples of ROOT/SPLIT/DCM/GROUP/IMAGE.png with polygons in ROOT/SPLIT/outputs_json/GROUP/IMAGE.json.

        Args:
            root: The folder that holds `split`, or the split's own folder.
            split: "train", "test" or another folder's name.
            classes: In channel order; default: `classes.txt` in the folder or above it, else every label, sorted.
            image: How images are read; default: grey.
            group: A regex with one capture group on the id or path, {id: group} or id -> group; default: the folder
                that the image lies in.
            strata: {name: {id: value}}.

        Returns:
            The samples, sorted by group folder and name; ids are the images' file names.

        Raises:
            ValueError: If there is no such folder or no image in it.
        """
        return cls(open_folder(root, split, classes, group, strata), image)
