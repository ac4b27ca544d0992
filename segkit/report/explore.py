"""What the data is like before anything is trained: sizes, areas, places, overlaps, groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from segkit.report.overlays import Overlay, viewable
from segkit.report.regions import intersections, moments
from segkit.report.text import percent
from segkit.samples import Samples

AREA = "labelled area"  # a column of groups(): share of the image
Strata = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class EDA:
    """Numbers about a data set, from eda().

    Attributes:
        classes: In channel order.
        images: Index id; group, height, width (px), labelled (has truth), share (labelled pixels / image), shared
            (pixels with two labels or more / labelled pixels).
        areas: Image x class, px at full resolution, 0 where truth has none.
        places: One row an image and class that is there: id, cls, x, y (centroid), xx, xy, yy (covariance), all as
            shares of the image's width and height.
        overlaps: One row a pair of classes that overlaps somewhere: first, second, together (images that have both),
            images (where they overlap), iou (mean over those), first_share, second_share (of each one's pixels, over
            the same images); the largest iou first.
        metadata: What read_metadata gives, or None.
        tables: {name: scores, image x class}.
        strata: {name: {id: value}}.
        samples: A few images with truth.
        problems: What the sheet of groups has wrong.
    """

    classes: tuple[str, ...]
    images: pd.DataFrame
    areas: pd.DataFrame
    places: pd.DataFrame
    overlaps: pd.DataFrame
    metadata: pd.DataFrame | None
    tables: Mapping[str, pd.DataFrame]
    strata: Strata
    samples: tuple[Overlay, ...]
    problems: tuple[str, ...]


def eda(
    train: Samples,
    test: Samples | None = None,
    *,
    metadata: pd.DataFrame | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    strata: Strata | None = None,
    samples: int = 6,
) -> EDA:
    """Look at a data set: sizes, area and place of every class, overlaps, groups. Masks stay runs.

    Args:
        train: Training samples; those without annotation count in sizes only.
        test: Test samples; their truth, where there is one, is not looked at.
        metadata: What read_metadata gives; its id is the samples' group.
        tables: {"held-out": scores image x class} to set against metadata.
        strata: {"pose": {id: "tilted"}}; places are drawn apart by it. None: those of the samples.
        samples: How many images to show, spread from the smallest to the largest labelled share.

    Returns:
        Numbers for the data section of a report, or for a page of its own.

    Raises:
        ValueError: Where no sample has an annotation, or an image cannot be read.
    """
    classes, truth = train.classes, train.truth
    images, areas, places, pairs = [], {}, [], []
    for sample, split in [*((s, train) for s in train), *((s, test) for s in test or () if test is not None)]:
        shape, labelled_here = split.sizes[sample.id], split is train and sample.id in truth
        row = {"id": sample.id, "group": sample.group, "height": shape[0], "width": shape[1]}
        images.append({**row, "labelled": labelled_here, "share": np.nan, "shared": np.nan})
        if not labelled_here:
            continue
        masks = {cls: truth[sample.id][cls] for cls in classes}
        for cls, runs in masks.items():
            if runs:
                places.append({"id": sample.id, "cls": cls, **_place(moments(runs, shape[1]), shape)})
        common, labelled, shared = intersections(masks, classes)
        images[-1].update(share=labelled / (shape[0] * shape[1]), shared=shared / max(labelled, 1))
        areas[sample.id] = np.diag(common)
        pairs += _pairs(common, classes)
    if not areas:
        raise ValueError(f"none of the {len(train)} images has an annotation; nothing can be said about the classes")
    frame = pd.DataFrame(images).set_index("id")
    return EDA(
        classes=classes,
        images=frame,
        areas=pd.DataFrame.from_dict(areas, orient="index", columns=list(classes)),
        places=pd.DataFrame(places, columns=["id", "cls", "x", "y", "xx", "xy", "yy"]),
        overlaps=_summed(pairs),
        metadata=metadata,
        tables=dict(tables or {}),
        strata=dict(train.strata if strata is None else strata),
        samples=_shown(train, frame, samples),
        problems=tuple(metadata.attrs.get("problems", ())) if metadata is not None else (),
    )


def by_group(data: EDA) -> pd.DataFrame:
    """Join the sheet of groups with means over each group's images.

    Args:
        data: What eda() gives.

    Returns:
        One row a group of the sheet that has images: age, sex, weight_kg, height_cm, "labelled area" (share of the
        image), the mean of every table. Empty without a sheet.
    """
    if data.metadata is None:
        return pd.DataFrame()
    measures = {AREA: data.images["share"]}
    measures |= {name: table.mean(axis=1) for name, table in data.tables.items()}
    by_image = pd.DataFrame(measures).join(data.images["group"], how="inner")
    return data.metadata.set_index("id").join(by_image.groupby("group").mean(), how="inner")


def _place(found: tuple[float, ...], shape: tuple[int, int]) -> dict[str, float]:
    height, width = shape
    _, x, y, xx, xy, yy = found
    return {
        "x": (x + 0.5) / width,
        "y": (y + 0.5) / height,
        "xx": xx / width**2,
        "xy": xy / (width * height),
        "yy": yy / height**2,
    }


def _pairs(common: np.ndarray, classes: Sequence[str]) -> list[tuple[str, str, int, int, int]]:
    """(first, second, common pixels, area, area) of every two classes that are both in one image."""
    area = np.diag(common)
    return [
        (classes[i], classes[j], int(common[i, j]), int(area[i]), int(area[j]))
        for i, j in combinations(np.flatnonzero(area).tolist(), 2)
    ]


def _summed(pairs: list[tuple[str, str, int, int, int]]) -> pd.DataFrame:
    frame = pd.DataFrame(pairs, columns=["first", "second", "common", "a", "b"])
    together = frame.groupby(["first", "second"], sort=False).size().rename("together")
    frame = frame[frame["common"] > 0]
    frame = frame.assign(
        iou=frame["common"] / (frame["a"] + frame["b"] - frame["common"]),
        first_share=frame["common"] / frame["a"],
        second_share=frame["common"] / frame["b"],
    )
    groups = frame.groupby(["first", "second"], sort=False)
    summed = groups[["iou", "first_share", "second_share"]].mean()
    summed = summed.join(groups.size().rename("images")).join(together).reset_index()
    columns = ["first", "second", "together", "images", "iou", "first_share", "second_share"]
    return summed[columns].sort_values("iou", ascending=False, ignore_index=True)


def _shown(train: Samples, images: pd.DataFrame, count: int) -> tuple[Overlay, ...]:
    """Images spread evenly over the order of their labelled share, of different groups if possible."""
    known = images[images["labelled"]].sort_values("share", kind="stable")
    known = known[~known["group"].duplicated()] if known["group"].nunique() >= count else known
    places = np.unique(np.linspace(0, len(known) - 1, min(count, len(known))).round().astype(int))
    names = np.array(known.index, dtype=object)
    chosen: list[str] = names[places].tolist()
    share = dict(zip(chosen, known["share"].to_numpy(float)[places]))
    return tuple(
        Overlay(
            id=image,
            caption=f"{train.groups[image]}, {percent(share[image])} of the image labelled",
            image=viewable(train.read_image(image)),
            truth=dict(train.truth[image]),
            pred={},
            score=float("nan"),
        )
        for image in chosen
    )
