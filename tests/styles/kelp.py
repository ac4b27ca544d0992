"""Kelp: 7-band 16-bit TIFF with gaps, one mask file (.tif) an image, pooled Dice."""

from segkit.images import ImageSpec
from segkit.inference import predict
from segkit.metrics import Dice
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.submission import MaskFiles
from segkit.thresholds import curves

BANDS = ImageSpec(7, normalize=(0.0, 1.0), value_range=(0, 20000), dtype="float32")


def tiles(folder):
    return {path.name.removesuffix("_satellite.tif"): path for path in sorted(folder.glob("*_satellite.tif"))}


def solve(data, out, network):
    bands = tiles(data / "train_satellite")
    train = Samples.from_masks(bands, data / "train_kelp", ["kelp"], "{stem}_kelp.tif", image=BANDS)
    test = Samples.from_images(tiles(data / "test_satellite"), train.classes, image=BANDS)
    oof, stored = (
        predicted(network, samples, out / name) for samples, name in ((train, "oof.zarr"), (test, "test.zarr"))
    )
    best = curves(oof, train.truth, Dice(average="pooled")).best()
    form = MaskFiles(suffix=".tif", key="{stem}_kelp")
    path = form.write(out / "submission", render(stored, Pipeline(thresholds=best)))
    print(form.validate(path, like=data / "sample_submission", ids=test.ids))
    return path


def predicted(network, samples, path):
    store = PredictionStore.create(path, ids=samples.ids, classes=samples.classes, sizes=samples.sizes, grid=(70, 70))
    predict(network, samples, store)
    return store
