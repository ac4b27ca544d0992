"""What every submission format can do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from segkit.masks import MaskSet
from segkit.submission.rows import Masks, SizesLike


class Format(Protocol):
    """A frozen value; str(format) is the line that segkit.submission.parse makes it of.

    A new format is a file here with such a class, a row of parsing.KINDS and a row of the contract's test.
    """

    def write(
        self,
        path: str | Path,
        masks: Masks,
        ids: Sequence[str] | None = None,
        *,
        like: str | Path | None = None,
        sizes: SizesLike = None,
    ) -> Path:
        """Write masks, one image or mask in memory at a time.

        Args:
            path: The file or folder; it takes its place when it is whole.
            masks: A MaskSet, {image: {class: mask}}, or rows (image, class, mask).
            ids: The images to write, in order; default all.
            like: A sample whose rows are written instead.
            sizes: Of the images, for masks that know no shape.

        Returns:
            The path.
        """

    def read(self, path: str | Path, sizes: SizesLike = None) -> MaskSet:
        """Read what was written; masks are made when they are asked for.

        Args:
            path: The file or folder.
            sizes: Of the images, where known.

        Returns:
            The masks.
        """

    def validate(
        self,
        path: str | Path,
        like: str | Path | None = None,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        images: str | Path | None = None,
    ) -> dict[str, int]:
        """Check what was written.

        Args:
            path: The file or folder.
            like: A sample that has the rows to expect.
            ids: The images to expect instead.
            classes: The classes to expect instead.
            images: Folder of the images.

        Returns:
            {"rows", "images", "classes", "empty"}: how many there are.

        Raises:
            ValueError: Lists the first problems and counts the others.
        """
