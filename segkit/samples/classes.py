"""Where class names come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from segkit.files import nfc, read_text
from segkit.samples.source import Annotation


def find_classes(root: Path, images: Iterable[str], annotate: Callable[[str], Annotation]) -> tuple[str, ...]:
    """The classes of a folder: `classes.txt` in it or above it, else every label of its annotations, sorted.

    Args:
        root: The folder.
        images: Ids of its annotated images.
        annotate: id -> Annotation; those that cannot be read are left to the audit.

    Returns:
        Class names, in channel order.
    """
    for folder in (root, root.parent):
        if (folder / "classes.txt").is_file():
            return read_classes(folder / "classes.txt")
    return labels_of(images, annotate)


def labels_of(images: Iterable[str], annotate: Callable[[str], Annotation]) -> tuple[str, ...]:
    """Every label of the annotations that can be read, sorted.

    Args:
        images: Ids.
        annotate: id -> Annotation.

    Returns:
        The labels.
    """
    labels: set[str] = set()
    for image in images:
        try:
            labels |= set(annotate(image).regions)
        except ValueError:
            continue
    return tuple(sorted(labels))


def read_classes(path: str | Path) -> tuple[str, ...]:
    """Class names of a text file, one a line, in channel order.

    Args:
        path: The file, in UTF-8 with or without byte order mark; blank lines are passed over.

    Returns:
        The names.

    Raises:
        ValueError: If the file is missing, empty, of another encoding or repeats a name.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not there: expected a file with one class a line, in channel order")
    names = tuple(nfc(line.strip()) for line in read_text(path).splitlines() if line.strip())
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{path}: expected class names, each once, got {list(names)}")
    return names


def as_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names as they were given.

    Args:
        classes: Names, in channel order.

    Returns:
        The names, in Unicode's composed form.

    Raises:
        ValueError: For text, no name, a blank one, or one that comes twice.
    """
    names = () if isinstance(classes, str) else tuple(nfc(str(name)) for name in classes)
    if not names or len(set(names)) != len(names) or not all(name.strip() for name in names):
        raise ValueError(f"classes={classes!r}: expected names in channel order, each once")
    return names
