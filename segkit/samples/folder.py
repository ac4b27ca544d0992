"""Samples of the layout ROOT/train/DCM/GROUP/IMAGE.png, ROOT/train/outputs_json/GROUP/IMAGE.json, ROOT/test/DCM/..."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segkit.files import nfc, read_json, visible_files
from segkit.geometry import Polygons
from segkit.images import SUFFIXES
from segkit.samples.classes import find_classes
from segkit.samples.grouping import Group, Strata, make_samples
from segkit.samples.listing import passed_over
from segkit.samples.outlines import as_points
from segkit.samples.source import Annotation, Problem, Source


def open_folder(root: str | Path, split: str, classes: Sequence[str] | None, group: Group, strata: Strata) -> Source:
    """The source of Samples.from_folder.

    Args:
        root: The folder that holds `split`, or the split's own.
        split: "train", "test" or another folder's name.
        classes: In channel order; None looks for them.
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.

    Returns:
        The source.

    Raises:
        ValueError: If there is no such folder or no image in it.
    """
    folder = split_folder(root, split)
    images: dict[str, Path] = {}
    own: dict[str, str] = {}
    problems: list[Problem] = []
    refused: dict[str, str] = {}
    other: list[Path] = []
    for path in visible_files(folder / "DCM"):
        image = nfc(path.name)
        if path.suffix.lower() not in SUFFIXES or path.parent.parent != folder / "DCM":
            other.append(path)
        elif image in images:
            refused[image] = f"two images are named {image}: {images[image]} and {path}"
            problems.append(Problem(str(path), image, "", "repeated-name", f"{images[image]} has the same name"))
        else:
            images[image], own[image] = path, nfc(path.parent.name)
    if not images:
        raise ValueError(f"no images under {folder / 'DCM'}; expected ROOT/{split}/DCM/GROUP/IMAGE.png")
    problems += passed_over(other, "expected DCM/GROUP/IMAGE.png")
    jsons = _jsons(folder)
    found = {image: jsons[key] for image, path in images.items() if (key := (own[image], nfc(path.stem))) in jsons}
    problems += _pairing_problems(images, found, jsons)
    read = FolderReader(found)
    if classes is None:
        classes = find_classes(Path(root), found, read)
    samples = make_samples(images, group, strata, own)
    return Source(
        samples, tuple(classes), frozenset(found), read, problems=tuple(problems), refused=refused,
        annotation_files=found, name=str(folder),
    )  # fmt: skip


def split_folder(root: str | Path, split: str) -> Path:
    """ROOT/split, or ROOT itself where it already is that folder.

    Args:
        root: The folder.
        split: The split's name.

    Returns:
        The split's folder.

    Raises:
        ValueError: If it is not there; names what was looked for.
    """
    root = Path(root)
    if (root / split / "DCM").is_dir():
        return root / split
    if root.name == split and (root / "DCM").is_dir():
        return root
    raise ValueError(f"{root / split / 'DCM'} is not a folder; expected ROOT/{split}/DCM/GROUP/IMAGE.png")


def _jsons(folder: Path) -> dict[tuple[str, str], Path]:
    """{(group, stem): file} of the annotations."""
    if not (folder / "outputs_json").is_dir():
        return {}
    files = visible_files(folder / "outputs_json")
    return {(nfc(path.parent.name), nfc(path.stem)): path for path in files if path.suffix.lower() == ".json"}


def _pairing_problems(
    images: Mapping[str, Path], found: Mapping[str, Path], jsons: Mapping[tuple[str, str], Path]
) -> list[Problem]:
    out = []
    first: dict[Path, str] = {}
    for image, path in found.items():
        if first.setdefault(path, image) != image:
            out.append(Problem(str(path), image, "", "shared-annotation", f"belongs to {first[path]} as well"))
    orphans = [path for path in jsons.values() if path not in first]
    return out + [Problem(str(p), p.stem, "", "orphan-annotation", "an annotation without an image") for p in orphans]


@dataclass(frozen=True)
class FolderReader:
    """id -> Annotation."""

    files: Mapping[str, Path]

    def __call__(self, image: str) -> Annotation:
        """Read the annotation of an image."""
        path = self.files[image]
        content = read_json(path)
        regions = read_regions(content, path)
        return Annotation(
            {cls: Polygons(outlines) for cls, outlines in regions.items()},
            size=_said_size(content),
            size_binds=False,
            problems=tuple(_other_name(content, path, image)),
        )


def read_regions(content: object, path: Path) -> dict[str, list[np.ndarray]]:
    """The outlines of an annotation file.

    Args:
        content: Of the JSON.
        path: The file, for errors.

    Returns:
        {label: outlines}.

    Raises:
        ValueError: Names file, annotation and label of what cannot be read.
    """
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ValueError(f"{path}: expected an object with a list 'annotations'")
    out: dict[str, list[np.ndarray]] = {}
    for number, annotation in enumerate(content["annotations"]):
        where = f"{path}, annotation {number}"
        if not isinstance(annotation, dict) or not isinstance(label := annotation.get("label"), str):
            raise ValueError(f"{where}: has no label")
        out.setdefault(nfc(label), []).append(_whole(as_points(annotation.get("points"), f"{where}, class {label}")))
    return out


def _whole(points: np.ndarray) -> np.ndarray:
    """Points as integers, where they are whole."""
    rounded = np.rint(points)
    return rounded.astype(np.int32) if np.array_equal(rounded, points) else points


def _other_name(content: dict[str, Any], path: Path, image: str) -> Iterator[Problem]:
    """The file's own `filename`, which is not believed."""
    if isinstance(name := content.get("filename"), str) and nfc(name) != image:
        yield Problem(str(path), image, "", "filename", f"says {name!r}, the image is {image!r}")


def _said_size(content: dict[str, Any]) -> tuple[int, int] | None:
    """The file's own `metadata`, which is not believed."""
    said = content.get("metadata")
    height, width = (said.get("height"), said.get("width")) if isinstance(said, dict) else (None, None)
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
