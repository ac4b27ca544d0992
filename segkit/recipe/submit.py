"""Stage 5: test.zarr through the very Pipeline that tuning scored, plane by plane, into a validated CSV."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from segkit import submission
from segkit.files import read_json
from segkit.postprocess import Pipeline
from segkit.predictions import PredictionStore
from segkit.recipe.line import Line


def run(line: Line) -> None:
    """Write submission.csv in the competition's order (images by person and name, classes in channel order)."""
    folder = line.folder
    for name, stage in (("test.zarr", "predict"), ("post.json", "tune")):
        if not (folder / name).exists():
            raise ValueError(f"{folder / name} is not there: run the stage {stage} first")
    key = {"test": folder.key("predict.test"), "post": read_json(folder / "post.json")}
    ran = folder.run("submit", key, [folder / "submission.csv"], lambda: write(line))
    found = submission.validate(
        folder / "submission.csv",
        ids=[item.id for item in line.test_items],
        classes=line.classes,
        sizes=PredictionStore.open(folder / "test.zarr").sizes,
    )
    line.say(
        f"  submission.csv: {found['rows']} rows, {found['images']} images x {found['classes']} classes, "
        f"{found['empty']} empty, valid{'' if ran else ' (as before)'}"
    )


def write(line: Line) -> None:
    """Stream the rows: logits of one image, one plane's region at full resolution, its runs."""
    store = PredictionStore.open(line.folder / "test.zarr")
    pipeline = Pipeline.load(line.folder / "post.json")

    def one(image: str) -> list[tuple[str, str, str]]:
        logits, size = store[image], store.sizes[image]
        return [(image, c, pipeline.mask(plane, size, c).text()) for c, plane in zip(store.classes, logits)]

    def rows() -> Iterator[tuple[str, str, str]]:
        with ThreadPoolExecutor(2) as pool:
            for part in pool.map(one, store.ids):
                yield from part

    submission.write(line.folder / "submission.csv", rows())
