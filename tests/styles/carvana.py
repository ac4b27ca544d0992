"""Carvana: RGB JPG, GIF masks, 16 views a car, `img,rle_mask` by rows, mean Dice."""

from segkit.images import ImageSpec
from segkit.inference import predict
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.submission import SubmissionFormat
from segkit.thresholds import curves

RGB, CAR = ImageSpec("rgb", normalize="imagenet"), r"^(\w+)_\d\d"


def solve(data, out, network):
    train = Samples.from_masks(data / "train", data / "train_masks", ["car"], "{stem}_mask.gif", image=RGB, group=CAR)
    test = Samples.from_images(data / "test", train.classes, image=RGB, group=CAR)
    oof, stored = (
        predicted(network, samples, out / name) for samples, name in ((train, "oof.zarr"), (test, "test.zarr"))
    )
    masks = render(stored, Pipeline(thresholds=curves(oof, train.truth).best()))
    form = SubmissionFormat(columns=("img", "rle_mask"))
    path = form.write(out / "submission.csv.gz", masks, like=data / "sample_submission.csv")
    print(form.validate(path, like=data / "sample_submission.csv", images=data / "test"))
    return path


def predicted(network, samples, path):
    store = PredictionStore.create(path, ids=samples.ids, classes=samples.classes, sizes=samples.sizes, grid=(64, 96))
    predict(network, samples, store)
    return store
