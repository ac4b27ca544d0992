"""Known bad labels, mended through one mechanism that refuses to do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from segkit.geometry import polygons
from segkit.rle import Runs
from segkit.samples.layout import Rings

KINDS = ("relabel", "drop_inner", "exclude")


@dataclass(frozen=True)
class Fix:
    """One mended annotation.

    image: file name without its ending. kind: "relabel" renames labels ({old: new}, all at once: swaps and cycles
    are meant), "drop_inner" removes the rings of `labels` that lie inside another ring of the same class, "exclude"
    takes the image out of training and validation. why: for the reader, and for the audit's print.
    """

    image: str
    kind: str
    labels: Mapping[str, str] | Sequence[str] = field(default_factory=dict)
    why: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fix of {self.image}: kind {self.kind!r}, one of {', '.join(KINDS)} is wanted")
        if self.kind == "relabel" and (
            not isinstance(self.labels, Mapping) or set(self.labels) != set(self.labels.values())
        ):
            raise ValueError(f"fix of {self.image}: relabel wants a permutation {{old: new}}, got {self.labels}")
        if (self.kind == "exclude") == bool(self.labels):
            raise ValueError(f"fix of {self.image}: exclude takes no labels, the others want some")


def apply_fixes(labels: Mapping[str, Rings], fixes: Sequence[Any]) -> dict[str, Rings]:
    """`labels` ({image id: {class: rings}}) with the fixes applied, in order; the input stays as it was.

    ValueError for a fix that matches nothing: no such image, no such label in it, no inner ring.
    """
    out = {image: {cls: list(rings) for cls, rings in row.items()} for image, row in labels.items()}
    stems = {PurePath(image).stem: image for image in out}
    for fix in fixes:
        image = stems.get(fix.image)
        if image is None or image not in out:
            raise ValueError(
                f"the fix of {fix.image} ({fix.why or fix.kind}) matches none of the {len(out)} images; "
                "remove it, or pass no fixes for other data"
            )
        if fix.kind == "exclude":
            del out[image]
            continue
        missing = [cls for cls in fix.labels if not out[image].get(cls)]
        if missing:
            raise ValueError(f"the fix of {fix.image} matches nothing: no label {', '.join(missing)} in it")
        if fix.kind == "relabel":
            assert isinstance(fix.labels, Mapping)
            before = {cls: out[image][cls] for cls in fix.labels}
            out[image].update({new: before[old] for old, new in fix.labels.items()})
        else:
            for cls in fix.labels:
                out[image][cls] = _without_inner(out[image][cls], f"{fix.image}, class {cls}")
    return out


def _without_inner(rings: list, where: str) -> list:
    shape = tuple(int(max(ring[:, axis].max() for ring in rings)) + 1 for axis in (1, 0))
    drawn = [Runs.from_mask(polygons.rasterize([ring], (shape[0], shape[1]))) for ring in rings]
    kept = [
        ring
        for i, ring in enumerate(rings)
        if not any(j != i and not drawn[i] - drawn[j] and (drawn[i] != drawn[j] or j < i) for j in range(len(rings)))
    ]
    if len(kept) == len(rings):
        raise ValueError(f"the fix of {where} matches nothing: none of {len(rings)} rings lies inside another")
    return kept
