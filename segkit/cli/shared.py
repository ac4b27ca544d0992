"""What several commands read and print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.rle.tables import by_image, read_sizes

Size = tuple[int, int]

if TYPE_CHECKING:
    from segkit.masks import MaskSet
    from segkit.predictions import PredictionStore
    from segkit.submission import Format


def class_names(data: Path, names: str | None) -> list[str] | None:
    """Class names that a command was given.

    Args:
        data: The data folder, whose classes.txt is read where no names are given.
        names: A file with one name a line, or names with commas between.

    Returns:
        The names, None where none are known.

    Raises:
        ValueError: For a file that is not there, and for blank or repeated names.
    """
    from segkit.samples import read_classes
    from segkit.samples.classes import as_classes

    if names is None:
        return list(read_classes(data / "classes.txt")) if (data / "classes.txt").is_file() else None
    if Path(names).is_file() or ("," not in names and (Path(names).suffix or len(Path(names).parts) > 1)):
        return list(read_classes(Path(names)))  # "clases.txt" that is not there is no class
    return list(as_classes([name.strip() for name in names.split(",")]))


def read_truth(path: Path, form: Format | None = None, images: Path | None = None) -> MaskSet:
    """The truth that a command was given.

    Args:
        path: A file like a submission, or a folder in the competition's layout, of which the training images are taken.
        form: The file's format; default image_name,class,rle.
        images: Folder of the images, for names and sizes.

    Returns:
        The masks.

    Raises:
        ValueError: If there is neither.
    """
    from segkit.samples import Samples
    from segkit.submission import DEFAULT, FolderSizes

    if path.is_dir():
        return Samples.from_folder(path).truth
    if not path.exists():
        raise ValueError(f"{path} is neither a file nor a folder")
    return (form or DEFAULT).read(path, None if images is None else FolderSizes(images))


def read_scored(path: Path, form: Format, truth: MaskSet, repair: bool) -> MaskSet:
    """A submission that is to be scored.

    Args:
        path: The file.
        form: Its format; where it names no classes, they are the truth's.
        truth: What it is scored against: its sizes, and its names of images.
        repair: Whether to repair broken RLE.

    Returns:
        The masks.
    """
    from segkit.submission import MaskFiles, PixelLabels, SubmissionFormat

    options: dict[str, Any] = {"repair": True} if repair else {}
    if isinstance(form, PixelLabels | MaskFiles) or (isinstance(form, SubmissionFormat) and form.keys.has_one_class):
        options["classes"] = truth.classes  # the file names none
    return form.read(path, truth.sizes or None, **options)


def shape_of(store: PredictionStore) -> str:
    """How large a store is, in words.

    Args:
        store: The store.

    Returns:
        Text such as "20 images x 3 classes at 512 x 512".
    """
    return f"{len(store.ids)} images x {len(store.classes)} classes at {store.grid[0]} x {store.grid[1]}"


def read_groups(path: Path) -> dict[str, str]:
    """Groups of images.

    Args:
        path: A CSV with the columns id (or image_name) and group.

    Returns:
        {image: group}.

    Raises:
        ValueError: For other columns.
    """
    return {image: cells[0] for image, cells in by_image(path, ["group"]).items()}


def sizes_of(size: Size | None, sizes: Path | None) -> Size | dict[str, Size] | None:
    """What --size or --sizes says.

    Args:
        size: One (height, width) for all, or None.
        sizes: CSV of them, or None.

    Returns:
        (height, width), {image: (height, width)}, or None.
    """
    if size is not None and sizes is not None:
        raise ValueError("expected either --size or --sizes to say how large the images are, got both")
    return read_sizes(sizes) if sizes else size


def format_of(text: str | None, like: Path | None = None) -> Format:
    """The submission format that --format, or a sample, says.

    Args:
        text: What parse() reads, or None.
        like: A sample submission, or None.

    Returns:
        The format; the default where neither says it.
    """
    from segkit.submission import SubmissionFormat, parse

    if text is not None:
        return parse(text)
    return SubmissionFormat() if like is None or like.is_dir() else SubmissionFormat.from_sample(like)
