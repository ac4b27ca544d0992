"""From predictions that were found to a store that holds them: one way for all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segkit.files import digest
from segkit.geometry import resize as geometry
from segkit.predictions.importers.names import Images, Size, resolver
from segkit.predictions.store import PredictionStore

LARGEST_SIDE = 1024
SLACK = 1e-4  # what rounding may push a probability past 0 or 1


class Found(NamedTuple):
    """One image's prediction, not yet read.

    Attributes:
        name: As its files call it.
        files: What it is read from.
        size: () -> (height, width).
        load: () -> array (channels, h, w).
    """

    name: str
    files: tuple[Path, ...]
    size: Callable[[], Size]
    load: Callable[[], np.ndarray]


def fill(
    out: str | Path,
    found: Sequence[Found],
    classes: Sequence[str],
    images: Images,
    grid: Size | None,
    domain: str,
    source: str | Path,
    settings: tuple[Any, ...],
    channel: str = "",
) -> PredictionStore:
    """Write every prediction into a store, made where it is not there, and skip what it has.

    Args:
        out: The store.
        found: The predictions.
        classes: In channel order.
        images: Where ids and sizes come from.
        grid: (h, w) of the store, or None.
        domain: Of the values: "probs", "logits" or "bytes".
        source: The folder they lie in.
        settings: What else decides about the values.
        channel: See names.resolver.

    Returns:
        The store.

    Raises:
        ValueError: Names the file.
    """
    resolve = resolver(images, channel)
    named: dict[str, Found] = {}
    sizes: dict[str, Size] = {}
    for one in found:
        try:
            image, size = resolve(one.name)
        except ValueError as error:
            raise ValueError(f"{one.files[0]}: {error}") from error
        if image in named:
            raise ValueError(f"image {image}: both {named[image].files[0]} and {one.files[0]}")
        named[image], sizes[image] = one, size or one.size()
    own = found[0].size()
    grid = grid or (min(own[0], LARGEST_SIDE), min(own[1], LARGEST_SIDE))
    stamp = {
        "settings": digest([list(named), classes, sizes, grid, domain, settings]),
        "files": {image: _seen(one.files, Path(source)) for image, one in named.items()},
    }
    store = _begin(Path(out), stamp, named, classes, sizes, grid)
    done = store.done
    for image in store.ids:
        if image not in done:
            class_maps = named[image].load()
            maps = [
                geometry.resize_image(_logits(values, domain, store.saturation, named[image].files[0], cls), grid)
                for values, cls in zip(class_maps, classes)
            ]
            store.write_logits(image, np.stack(maps))
    return store


def _begin(
    out: Path,
    stamp: Mapping[str, Any],
    ids: Mapping[str, Found],
    classes: Sequence[str],
    sizes: Mapping[str, Size],
    grid: Size,
) -> PredictionStore:
    """The store at `out` where it was begun so, else a new one. A file may still change until its image is written."""
    if out.exists():
        store = PredictionStore.open(out)
        was: Any = store.attributes.get("imported", {"settings": None})
        if was["settings"] != stamp["settings"] and "imported" in store.attributes and not store.done:
            shutil.rmtree(out)  # of an import that failed before its first image: nothing is lost
            return _begin(out, stamp, ids, classes, sizes, grid)
        if was["settings"] != stamp["settings"]:
            raise ValueError(f"{out} was made of other images or with other settings; remove it or name another")
        for image in store.done:
            if was["files"][image] != stamp["files"][image]:
                raise ValueError(f"{ids[image].files[0]} has changed since {out} was made; remove that or name another")
        store.attributes["imported"] = dict(stamp)
        return store
    imported = {"imported": dict(stamp)}  # there from the start: without, it could not be told from another's
    return PredictionStore.create(out, ids=ids, classes=classes, sizes=sizes, grid=grid, attributes=imported)


def _seen(files: Sequence[Path], source: Path) -> str:
    """Which files these are, moved or not: names, sizes and times."""
    stats = [(path.relative_to(source).as_posix(), path.stat()) for path in files]
    return digest([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def _logits(values: np.ndarray, domain: str, most: float, path: Path, cls: str) -> np.ndarray:
    """One class's values as float32 logits within +-most."""
    where = f"{path}, class {cls}"
    if domain == "bytes":
        values = values / np.float32(255)
    values = values.astype(np.float32)
    if np.isnan(values).any():
        raise ValueError(f"{where}: {int(np.isnan(values).sum())} values are NaN")
    low, high = float(values.min()), float(values.max())
    if domain == "logits":
        return np.clip(values, -most, most)
    if low < -SLACK or high > 1 + SLACK:
        raise ValueError(f"{where}: expected probabilities in [0, 1], got {low:.4g} to {high:.4g}; logits, perhaps?")
    edge = np.float32(geometry.sigmoid(-most))
    values = np.clip(values, edge, 1 - edge)
    return np.log(values / (1 - values))
