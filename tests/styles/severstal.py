"""Severstal: JPG, four classes, train.csv of RLE by columns, `ImageId_ClassId,EncodedPixels`, Dice with empty = 1."""

from segkit.images import ImageSpec
from segkit.inference import predict
from segkit.metrics import Dice
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.submission import SubmissionFormat
from segkit.thresholds import curves

RGB = ImageSpec("rgb", normalize="imagenet")


def solve(data, out, network):
    sample = data / "sample_submission.csv"
    form = SubmissionFormat.from_sample(sample, order="F", start=1, relative=False, empty="", objects=False)
    train = Samples.from_rle_csv(data / "train.csv", data / "train_images", form, ["1", "2", "3", "4"], image=RGB)
    test = Samples.from_images(data / "test_images", train.classes, image=RGB)
    oof, stored = (
        predicted(network, samples, out / name) for samples, name in ((train, "oof.zarr"), (test, "test.zarr"))
    )
    best = curves(oof, train.truth, Dice(empty="one")).best()
    steps = [("remove_small", {"min_area": {"3": 20, "*": 10}})]
    path = form.write(out / "submission.csv", render(stored, Pipeline(steps, thresholds=best)), like=sample)
    print(form.validate(path, like=sample, images=data / "test_images"))
    return path


def predicted(network, samples, path):
    store = PredictionStore.create(path, ids=samples.ids, classes=samples.classes, sizes=samples.sizes, grid=(64, 400))
    predict(network, samples, store)
    return store
