"""What the data is like before anything is trained: sizes, areas, places, overlaps, persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from segkit.images import image_size, read_image
from segkit.masks import MaskSet
from segkit.report.overlays import Overlay
from segkit.report.regions import intersections, moments
from segkit.report.text import percent
from segkit.samples import Item

AREA = "labelled area"  # a column of persons(): share of the image
Strata = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class EDA:
    """Numbers about a data set, from eda().

    images: index id; person, height, width (px), labelled (has truth), share (labelled pixels / image),
    shared (pixels with two labels or more / labelled pixels).
    areas: image x class, px at full resolution, 0 where truth has none.
    places: one row an image and class that is there: id, cls, x, y (centroid), xx, xy, yy (covariance), all
    as shares of the image's width and height.
    overlaps: one row a pair of classes that overlaps somewhere: first, second, together (images that have
    both), images (where they overlap), iou (mean over those), first_share, second_share (of each one's
    pixels, over the same images); the largest iou first.
    metadata: see read_metadata. tables: name -> Dice image x class. strata: name -> {id: value}.
    samples: a few images with truth. problems: what the sheet of persons has wrong.
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
    items: Sequence[Item],
    truth: MaskSet,
    classes: Sequence[str],
    *,
    metadata: pd.DataFrame | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    strata: Strata | None = None,
    samples: int = 6,
) -> EDA:
    """Look at a data set: sizes, area and place of every class, overlaps, persons. MaskSet stay runs.

    items: the images (those that truth lacks count in sizes only); metadata: what read_metadata gives, its
    id is the items' person; tables: {"held-out": Dice image x class} to set against metadata; strata:
    {"pose": {id: "tilted"}} where known, places are drawn apart by it; samples: how many images to show,
    spread from the smallest to the largest labelled share.
    ValueError where no item has truth, or an image has another size than its truth.
    """
    classes = tuple(classes)
    images, areas, places, pairs = [], {}, [], []
    for item in items:
        shape = image_size(item.image)
        row = {"id": item.id, "person": item.person, "height": shape[0], "width": shape[1]}
        images.append({**row, "labelled": item.id in truth, "share": np.nan, "shared": np.nan})
        if item.id not in truth:
            continue
        if truth.sizes.get(item.id, shape) != shape:
            raise ValueError(f"{item.image} is {shape}, its truth {truth.sizes[item.id]} (height, width)")
        masks = {cls: truth[item.id][cls] for cls in classes}
        for cls, runs in masks.items():
            if runs:
                places.append({"id": item.id, "cls": cls, **_place(moments(runs, shape[1]), shape)})
        common, labelled, shared = intersections(masks, classes)
        images[-1].update(share=labelled / (shape[0] * shape[1]), shared=shared / max(labelled, 1))
        areas[item.id] = np.diag(common)
        pairs += _pairs(common, classes)
    if not areas:
        raise ValueError(f"none of the {len(items)} images has truth; nothing can be said about the classes")
    frame = pd.DataFrame(images).set_index("id")
    return EDA(
        classes=classes,
        images=frame,
        areas=pd.DataFrame.from_dict(areas, orient="index", columns=list(classes)),
        places=pd.DataFrame(places, columns=["id", "cls", "x", "y", "xx", "xy", "yy"]),
        overlaps=_summed(pairs),
        metadata=metadata,
        tables=dict(tables or {}),
        strata=dict(strata or {}),
        samples=_samples(items, truth, classes, frame, samples),
        problems=tuple(metadata.attrs.get("problems", ())) if metadata is not None else (),
    )


def persons(data: EDA) -> pd.DataFrame:
    """One row a person of the sheet who has images: age, sex, weight_kg, height_cm, and means over the
    person's images: "labelled area" (share of the image), "Dice, NAME" of every table. Empty without a sheet.
    """
    if data.metadata is None:
        return pd.DataFrame()
    measures = {AREA: data.images["share"]}
    measures |= {f"Dice, {name}": table.mean(axis=1) for name, table in data.tables.items()}
    by_image = pd.DataFrame(measures).join(data.images["person"], how="inner")
    return data.metadata.set_index("id").join(by_image.groupby("person").mean(), how="inner")


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


def _samples(
    items: Sequence[Item], truth: MaskSet, classes: Sequence[str], images: pd.DataFrame, count: int
) -> tuple[Overlay, ...]:
    """Images spread evenly over the order of their labelled share, of different persons if possible."""
    known = images[images["labelled"]].sort_values("share", kind="stable")
    known = known[~known["person"].duplicated()] if known["person"].nunique() >= count else known
    places = np.unique(np.linspace(0, len(known) - 1, min(count, len(known))).round().astype(int))
    names = np.array(known.index, dtype=object)
    chosen: list[str] = names[places].tolist()
    share = dict(zip(chosen, known["share"].to_numpy(float)[places]))
    by_id = {item.id: item for item in items}
    return tuple(
        Overlay(
            id=image,
            caption=f"{by_id[image].person}, {percent(share[image])} of the image labelled",
            image=read_image(by_id[image].image)[..., 0],
            truth={cls: truth[image][cls] for cls in classes},
            pred={},
            dice=float("nan"),
        )
        for image in chosen
    )
