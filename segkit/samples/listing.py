"""Which images there are, and which annotation files belong to them."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segkit.files import is_hidden, nfc, visible_files
from segkit.images import SUFFIXES, without_suffix
from segkit.samples.grouping import Paths
from segkit.samples.source import Problem

Images = str | Path | Sequence[str | Path] | Mapping[str, str | Path | Sequence[str | Path]]
"""A folder, a glob pattern, a list of files, or {id: a file, or several that are stacked as channels}."""


@dataclass
class Listing:
    """The images of a source.

    Attributes:
        images: {id: file or files}.
        problems: What was passed over, and names that two files share.
        refused: {id: why} of those names.
        name: What errors call the images.
    """

    images: dict[str, Paths] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    name: str = ""

    def add(self, image: str, path: Path) -> None:
        """One more image; a name that there is already is refused.

        Args:
            image: Its id.
            path: Its file.
        """
        if image in self.images:
            first = self.images[image]
            self.refused[image] = f"two images are named {image}: {first} and {path}"
            self.problems.append(Problem(str(path), image, "", "repeated-name", f"{first} has the same name"))
        else:
            self.images[image] = path

    def files(self) -> set[Path]:
        """Every file of an image."""
        return {path for paths in self.images.values() for path in ((paths,) if isinstance(paths, Path) else paths)}

    def names(self) -> dict[str, dict[str, list[str]]]:
        """{"image": {name: ids}, "stem": {name: ids}}: what an image is called, with and without the file's ending."""
        found: dict[str, dict[str, dict[str, None]]] = {"image": {}, "stem": {}}
        for image, paths in self.images.items():
            first = paths if isinstance(paths, Path) else paths[0]
            for kind, names in (("image", (image, first.name)), ("stem", (without_suffix(image), first.stem))):
                for name in names:
                    found[kind].setdefault(nfc(name), {})[image] = None
        return {kind: {name: list(ids) for name, ids in names.items()} for kind, names in found.items()}


def list_images(images: Images, *, beside: Collection[str] = ()) -> Listing:
    """The images of a folder, glob pattern, list or mapping.

    Args:
        images: Where they are; ids are file names, or the mapping's own.
        beside: Endings of annotation files that may lie among the images.

    Returns:
        The images, and what was passed over.

    Raises:
        ValueError: If there is none.
    """
    out = Listing(name=str(images) if isinstance(images, (str, Path)) else "the images given")
    if isinstance(images, Mapping):
        for image, value in images.items():
            one = isinstance(value, (str, Path))
            out.images[nfc(str(image))] = Path(value) if one else tuple(Path(part) for part in value)  # type: ignore[arg-type,union-attr]
        if len(out.images) != len(images):
            raise ValueError("images: two ids are the same in Unicode's composed form (NFC)")
        if empty := [image for image, paths in out.images.items() if paths == ()]:
            raise ValueError(f"images: image {empty[0]!r} has no file")
        return _some(out)
    files = _found(images) if isinstance(images, (str, Path)) else [Path(path) for path in images]
    other = []
    for path in files:
        if path.suffix.lower() in SUFFIXES:
            out.add(nfc(path.name), path)
        elif path.suffix.lower() not in beside:
            other.append(path)
    out.problems += passed_over(other, "is no image")
    return _some(out)


def _found(images: str | Path) -> list[Path]:
    """The files of a folder or glob pattern."""
    if Path(images).is_dir():
        return visible_files(images)
    if glob.has_magic(str(images)):
        found = [Path(path) for path in glob.glob(str(images), recursive=True) if not is_hidden(Path(path).name)]
        fixed = Path(re.split(r"[*?\[]", str(images))[0]).parts
        visible = [path for path in found if not any(map(is_hidden, path.parts[len(fixed) :])) and path.is_file()]
        return sorted(visible, key=lambda path: [nfc(part) for part in path.parts])
    raise ValueError(f"{images} is not a folder; expected one, a pattern such as images/*.png, a list, or {{id: file}}")


def _some(listing: Listing) -> Listing:
    if not listing.images:
        seen = f", but {listing.problems[0].message}" if listing.problems else ""
        raise ValueError(f"{listing.name}: no images ({', '.join(SUFFIXES)}){seen}")
    return listing


def passed_over(files: Iterable[Path], why: str) -> list[Problem]:
    """One finding for each ending of the files that were not read.

    Args:
        files: The files.
        why: Why not.

    Returns:
        Findings for the audit.
    """
    files = list(files)
    counts = Counter(path.suffix.lower() for path in files)
    first = {path.suffix.lower(): path for path in reversed(files)}
    return [
        Problem(str(first[suffix]), "", "", "passed-over", f"{count} files that end in {suffix or 'nothing'}: {why}")
        for suffix, count in sorted(counts.items())
    ]


@dataclass(frozen=True)
class Match:
    """A file that a pattern matches: whose it is, and of which class ("" where the pattern names none)."""

    path: Path
    images: tuple[str, ...]
    cls: str


def match_files(
    root: str | Path, pattern: str, listing: Listing, classes: Sequence[str] | None, suffixes: Sequence[str]
) -> tuple[list[Match], list[Path]]:
    """The annotation files of images.

    Where several readings of a name fit, a class of `classes` and then the longest image name win.

    Args:
        root: The folder of the files, searched to its depths.
        pattern: A path below it: {stem} is an image's name without its ending, {image} with it, {class} a class, *
            anything within one part, **/ any folders.
        listing: The images; their own files are no annotations.
        classes: Those that are known, or None.
        suffixes: Endings of the files, in lower case.

    Returns:
        (files that the pattern matches, other files).

    Raises:
        ValueError: For a pattern that names no image.
    """
    kinds = FIELD.findall(pattern)
    if sorted({*kinds} - {"class"}) not in (["image"], ["stem"]) or re.sub(FIELD, "", pattern).count("{"):
        raise ValueError(f"pattern={pattern!r}: expected {{stem}} or {{image}} and, of several classes, {{class}}")
    kind = "stem" if "stem" in kinds else "image"
    names, own, root = listing.names()[kind], listing.files(), Path(root)
    readings = [_compiled(pattern, length) for length in sorted({len(name) for name in names}, reverse=True)]
    matched, other = [], []
    for path in visible_files(root):
        if path.suffix.lower() not in suffixes or path in own:
            continue
        text = nfc(path.relative_to(root).as_posix())
        found = [m.groupdict() for reading in readings if (m := reading.fullmatch(text)) and m[kind] in names]
        if found:
            best = next((m for m in found if m.get("class") in (classes or ())), found[0])
            matched.append(Match(path, tuple(names[best[kind]]), best.get("class", "")))
        else:
            other.append(path)
    return matched, other


FIELD = re.compile(r"\{(image|stem|class)\}")


def _compiled(pattern: str, length: int) -> re.Pattern[str]:
    """The pattern as a regular expression, for image names of this length."""
    out, seen = "", set()
    for part in re.split(r"(\{(?:image|stem|class)\}|\*\*/|\*)", nfc(pattern)):
        name = part[1:-1] if FIELD.fullmatch(part) else ""
        if name:
            group = f"(?P<{name}>{'[^/]+?' if name == 'class' else f'[^/]{{{length}}}'})"
            out += f"(?P={name})" if name in seen else group
            seen.add(name)
        else:
            out += {"**/": "(?:.*/)?", "*": "[^/]*"}.get(part, re.escape(part))
    return re.compile(out)
