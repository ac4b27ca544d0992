"""Which files there are, which image each belongs to, and how large that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from segkit.files import nearest
from segkit.images import SUFFIXES, image_size
from segkit.samples.classes import read_classes

Size = tuple[int, int]
Images = str | Path | Mapping[str, Size] | Size | None
"""Where ids and sizes come from: a folder of the original images (searched to its depths), {id: (H, W)}, one (H, W)
for all, or None: the arrays are at full size already. Without a folder or mapping, ids are the files' stems."""


def listed(source: str | Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files below a folder that end so, sorted."""
    source = Path(source)
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder; one with {' or '.join(suffixes)} files is wanted")
    files = [path for path in source.rglob("*") if path.is_file() and not path.name.startswith(".")]
    found = sorted(path for path in files if path.suffix.lower() in suffixes)
    if not found:
        kinds = ", ".join(sorted({path.suffix for path in files})) or "nothing"
        raise ValueError(f"{source} holds no {' or '.join(suffixes)} files, but {kinds}")
    return found


def as_classes(source: str | Path, classes: Sequence[str] | None) -> tuple[str, ...]:
    if classes is None:
        return read_classes(Path(source) / "classes.txt")
    if isinstance(classes, str) or not classes or len(set(classes)) != len(classes):
        raise ValueError(f"classes={classes!r}: names in channel order, each once, are wanted")
    return tuple(classes)


def among(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{what}={value!r}: {' or '.join(known)} is wanted")


def resolver(images: Images, channel: str = "") -> Callable[[str], tuple[str, Size | None]]:
    """name -> (id, size): the name of a prediction is the id, or the id without its ending, or without `channel` too.

    ValueError where no image, or more than one, goes by that name.
    """
    if images is None:
        return lambda name: (name, None)
    if isinstance(images, (tuple, list)):
        height, width = (int(side) for side in images)
        return lambda name: (name, (height, width))
    known: dict[str, list[tuple[str, Size | Path]]] = {}
    for image, size in _sized(images):
        stem, ending = Path(image).stem, Path(image).suffix
        for name in {image, stem}:
            known.setdefault(name, []).append((image, size))
        if channel and stem.endswith(channel):
            case = stem.removesuffix(channel)
            known.setdefault(case, []).append((case + ending, size))

    @cache
    def resolve(name: str) -> tuple[str, Size | None]:
        found = known.get(name, [])
        if len(found) != 1:
            which = ", ".join(str(size) for _, size in found) if found else nearest(name, known)
            raise ValueError(f"{len(found)} images go by the name {name!r}, one is wanted; {which}")
        image, size = found[0]
        return image, image_size(size) if isinstance(size, Path) else (int(size[0]), int(size[1]))

    return resolve


def _sized(images: str | Path | Mapping[str, Size]) -> list[tuple[str, Size | Path]]:
    """(id, its size, or the file that has it)."""
    if isinstance(images, Mapping):
        return list(images.items())
    paths = [path for path in sorted(Path(images).rglob("*")) if path.suffix.lower() in SUFFIXES]
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise ValueError(f"{images} holds no images ({', '.join(SUFFIXES)})")
    return [(path.name, path) for path in paths]
