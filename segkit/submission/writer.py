"""The rows of a submission, made of masks one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from segkit.files import nearest
from segkit.masks import MaskSet
from segkit.rle import TextLayout
from segkit.rle.tables import Table
from segkit.submission.names import Names
from segkit.submission.rows import SizesLike, as_runs, size_of

if TYPE_CHECKING:
    from segkit.submission.table import SubmissionFormat

OURS = TextLayout()


def rows(form: SubmissionFormat, masks: Iterable[tuple[str, str, Any]], sizes: SizesLike) -> Iterator[Sequence[str]]:
    """The cells of each row.

    Args:
        form: The format.
        masks: Rows (image, class, mask).
        sizes: Of the images, where masks know no shape.

    Yields:
        A row's cells, in the order of form.columns.

    Raises:
        ValueError: Names image and class.
    """
    only = None
    for image, cls, mask in masks:
        only = cls if only is None else only
        if form.keys.has_one_class and cls != only:
            raise ValueError(f"columns {', '.join(form.columns)} name no class, got masks of {only!r} and {cls!r}")
        for text in _texts(form, image, cls, mask, sizes):
            yield *form.keys.cells(image, cls), text


def rows_like(form: SubmissionFormat, sample: Table, masks: MaskSet, sizes: SizesLike) -> Iterator[Sequence[str]]:
    """The rows of a sample with other masks; several rows of one key in it count once.

    Args:
        form: The format.
        sample: The sample submission.
        masks: Must have every image and class of the sample.
        sizes: Of the images, where masks know no shape.

    Yields:
        A row's cells, in the order of sample.header; those without a role are the sample's.

    Raises:
        ValueError: Names line, image and class.
    """
    if form.keys.has_one_class and len(masks.classes) != 1:
        raise ValueError(f"columns {', '.join(form.columns)} name no class, got masks of {', '.join(masks.classes)}")
    names, seen = Names(masks.ids), set()
    for line, _, cells in sample.rows():
        try:
            name, cls = form.keys.names([cells[place] for place in sample.at[:-1]], masks.classes)
            image = names.resolve(name)
            if cls not in masks.classes:
                raise ValueError(f"no class {cls!r} among the masks; {nearest(cls, masks.classes)}")
        except ValueError as error:
            raise ValueError(f"{sample.path}, line {line}: {error}") from error
        if (image, cls) not in seen:
            seen.add((image, cls))
            for text in _texts(form, image, cls, masks[image][cls], sizes):
                yield [text if place == sample.at[-1] else cell for place, cell in enumerate(cells)]


def _texts(form: SubmissionFormat, image: str, cls: str, mask: object, sizes: SizesLike) -> list[str]:
    """The cells of a mask: one, or one an object."""
    try:
        if isinstance(mask, str) and form.layout == OURS and not form.objects:
            return [mask or form.empty]
        size = size_of(sizes, image)
        if not form.objects:
            return [form.text(as_runs(mask, size))]
        parts = [as_runs(m, size) for m in mask] if isinstance(mask, list) else as_runs(mask, size).components()
        return [form.text(part) for part in parts if part] or [form.empty]
    except ValueError as error:
        raise ValueError(f"image {image}, class {cls}: {error}") from error
