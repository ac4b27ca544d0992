"""Which files there are, which image each belongs to, and how large that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from segkit.files import nearest, nfc, visible_files
from segkit.samples.classes import read_classes
from segkit.submission.names import FolderSizes

Size = tuple[int, int]
Images = str | Path | Mapping[str, Size] | Size | None
"""Where ids and sizes come from: a folder of the original images (searched to its depths), {id: (H, W)}, one (H, W)
for all, or None: the arrays are at full size already. Without a folder or mapping, ids are the files' stems."""


def listed(source: str | Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files below a folder that end so, sorted; hidden ones are passed over.

    Args:
        source: The folder.
        suffixes: Endings, in lower case.

    Returns:
        Their paths.

    Raises:
        ValueError: Where there is none.
    """
    if not Path(source).is_dir():
        raise ValueError(f"{source}: expected a folder of {' or '.join(suffixes)} files")
    files = visible_files(source)
    found = [path for path in files if path.suffix.lower() in suffixes]
    if not found:
        kinds = ", ".join(sorted({path.suffix for path in files})) or "nothing"
        raise ValueError(f"{source} holds no {' or '.join(suffixes)} files, but {kinds}")
    return found


def as_classes(source: str | Path, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Class names in channel order.

    Args:
        source: The folder, whose classes.txt is read where there are none.
        classes: The names, or None.

    Returns:
        The names.

    Raises:
        ValueError: For one string, no name, or a name that comes twice.
    """
    if classes is None:
        return read_classes(Path(source) / "classes.txt")
    if isinstance(classes, str) or not classes or len(set(classes)) != len(classes):
        raise ValueError(f"expected class names in channel order, each once, got classes={classes!r}")
    return tuple(classes)


def among(what: str, value: str, known: Sequence[str]) -> None:
    """ValueError for a value that is not known.

    Args:
        what: The parameter's name.
        value: Its value.
        known: Those there are.
    """
    if value not in known:
        raise ValueError(f"expected {what} {' or '.join(known)}, got {what}={value!r}")


def resolver(images: Images, channel: str = "") -> Callable[[str], tuple[str, Size | None]]:
    """How names become ids: the name of a prediction is the id, or the id without its ending, or without `channel` too.

    Args:
        images: Where ids and sizes come from.
        channel: What a prediction's name lacks at the end of the image's: nnU-Net's "_0000".

    Returns:
        name -> (id, size). It raises ValueError where no image, or more than one, goes by that name.
    """
    if images is None:
        return lambda name: (name, None)
    if isinstance(images, (tuple, list)):
        height, width = (int(side) for side in images)
        return lambda name: (name, (height, width))
    sizes = images if isinstance(images, Mapping) else FolderSizes(images)
    known: dict[str, list[tuple[str, str]]] = {}  # (id, the image it is of)
    for image in sizes:
        plain, ending = Path(image).stem, Path(image).suffix
        for name in {image, plain}:
            known.setdefault(nfc(name), []).append((image, image))
        if channel and plain.endswith(channel):
            case = plain.removesuffix(channel)
            known.setdefault(nfc(case), []).append((case + ending, image))

    @cache
    def resolve(name: str) -> tuple[str, Size | None]:
        found = known.get(nfc(name), [])
        if len(found) != 1:
            which = ", ".join(image for _, image in found) if found else nearest(name, known)
            raise ValueError(f"{len(found)} images go by the name {name!r}, expected one; {which}")
        image, file = found[0]
        height, width = sizes[file]
        return image, (int(height), int(width))

    return resolve
