"""Known bad labels, repaired through one mechanism that refuses to do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from segkit.files import nfc
from segkit.geometry import Polygons
from segkit.images import without_suffix
from segkit.samples import Annotation, Samples
from segkit.samples.source import ClassRegion

KINDS = ("relabel", "drop_inner", "exclude")


@dataclass(frozen=True)
class Fix:
    """One repaired annotation.

    Attributes:
        image: The image's id, or the id without the ending of its file.
        kind: "relabel" renames labels, all at once: swaps and cycles are meant. "drop_inner" removes the polygons that
            lie inside another one of the same class. "exclude" takes the image out of training and validation.
        labels: {old: new} for "relabel", labels for "drop_inner", nothing for "exclude".
        why: For the reader, and for the audit's print.

    Raises:
        ValueError: For another kind, or labels that do not belong to it.
    """

    image: str
    kind: str
    labels: Mapping[str, str] | Sequence[str] = field(default_factory=dict)
    why: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fix of {self.image}: kind {self.kind!r}, expected one of {', '.join(KINDS)}")
        if self.kind == "relabel" and (
            not isinstance(self.labels, Mapping) or set(self.labels) != set(self.labels.values())
        ):
            raise ValueError(f"fix of {self.image}: expected a permutation {{old: new}} to relabel, got {self.labels}")
        if (self.kind == "exclude") == bool(self.labels):
            raise ValueError(f"fix of {self.image}: exclude takes no labels, the other kinds need some")


def apply_fixes(samples: Samples, fixes: Sequence[Fix]) -> Samples:
    """Samples whose annotations are repaired.

    Args:
        samples: They stay as they were.
        fixes: Applied in order.

    Returns:
        New samples; excluded images are left out.

    Raises:
        ValueError: For a fix that matches nothing: no such image, no such label in it, no inner polygon.
    """
    kept = dict.fromkeys(samples.ids)
    names = {name: image for image in samples.ids for name in (without_suffix(image), image)}
    fixed: dict[str, Annotation] = {}
    for fix in fixes:
        image = names.get(nfc(fix.image))
        if image is None or image not in kept:
            raise ValueError(
                f"the fix of {fix.image} ({fix.why or fix.kind}) matches none of the {len(kept)} images; "
                "remove it, or pass no fixes for other data"
            )
        if fix.kind == "exclude":
            del kept[image]
            fixed.pop(image, None)
            continue
        annotation = fixed[image] if image in fixed else samples.annotation(image)
        fixed[image] = replace(annotation, regions=_repaired(annotation.regions, fix))
    out = samples.with_annotations(fixed) if fixed else samples
    return out if len(kept) == len(samples) else out.subset(kept)


def _repaired(regions: Mapping[str, ClassRegion], fix: Fix) -> dict[str, ClassRegion]:
    missing = [cls for cls in fix.labels if not regions.get(cls)]
    if missing:
        raise ValueError(f"the fix of {fix.image} matches nothing: no label {', '.join(missing)} in it")
    if isinstance(fix.labels, Mapping):
        return dict(regions) | {new: regions[old] for old, new in fix.labels.items()}
    return dict(regions) | {cls: _without_inner(regions[cls], f"{fix.image}, class {cls}") for cls in fix.labels}


def _without_inner(region: ClassRegion, where: str) -> Polygons:
    if not isinstance(region, Polygons):
        raise ValueError(f"the fix of {where} matches nothing: drop_inner is for polygons, its annotation is a mask")
    shape = tuple(int(max(outline[:, axis].max() for outline in region.outlines)) + 1 for axis in (1, 0))
    drawn = [Polygons([polygon]).runs((shape[0], shape[1])) for polygon in region]
    kept = [
        polygon
        for i, polygon in enumerate(region)
        if not any(j != i and not drawn[i] - drawn[j] and (drawn[i] != drawn[j] or j < i) for j in range(len(region)))
    ]
    if len(kept) == len(region):
        raise ValueError(f"the fix of {where} matches nothing: none of {len(region)} polygons lies inside another")
    return Polygons(kept)
