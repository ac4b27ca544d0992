"""HuBMAP kidney: large RGB TIFF, polygons in JSON, tiles, `id,predicted` by columns, pooled Dice."""

import json

import numpy as np

from segkit.geometry import Polygons
from segkit.images import ImageSpec
from segkit.inference import predict
from segkit.metrics import Dice
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.submission import SubmissionFormat
from segkit.thresholds import curves

RGB = ImageSpec("rgb", normalize="imagenet")


def glomeruli(row):
    features = json.loads(row["image"].with_suffix(".json").read_text())
    rings = [[np.array(ring) for ring in feature["geometry"]["coordinates"]] for feature in features]
    return {"glomerulus": Polygons(rings)}


def solve(data, out, network):
    rows = [{"id": path.stem, "image": path} for path in sorted((data / "train").glob("*.tiff"))]
    train = Samples.from_table(rows, read_masks=glomeruli, classes=["glomerulus"], image=RGB)
    test = Samples.from_images(data / "test", train.classes, image=RGB)
    stores = {}
    for name, part in (("oof", train), ("test", test)):
        shape = {"ids": part.ids, "classes": part.classes, "sizes": part.sizes, "grid": (300, 400)}
        stores[name] = PredictionStore.create(out / f"{name}.zarr", **shape)
        predict(network, part, stores[name], window=(128, 128))
    best = curves(stores["oof"], train.truth, Dice(average="pooled")).best()
    form = SubmissionFormat(columns=("id", "predicted"), key="{stem}", order="F")
    masks = render(stores["test"], Pipeline(thresholds=best))
    path = form.write(out / "submission.csv", masks, like=data / "sample_submission.csv")
    print(form.validate(path, like=data / "sample_submission.csv", images=data / "test"))
    return path
