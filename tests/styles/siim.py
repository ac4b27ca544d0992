"""SIIM-ACR: DICOM in folders of folders, relative RLE by columns, `-1` for empty, several rows an image."""

from segkit.images import ImageSpec
from segkit.inference import predict
from segkit.metrics import Dice
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.submission import SubmissionFormat

GREY = ImageSpec("grey", normalize=(0.0, 1.0))


def solve(data, out, network):
    form = SubmissionFormat(
        ("ImageId", "EncodedPixels"), "{stem}", "F", start=0, relative=True, empty="-1", objects=True
    )
    train = Samples.from_rle_csv(data / "train-rle.csv", data / "dicom-train", form, ["pneumothorax"], image=GREY)
    test = Samples.from_images(data / "dicom-test", train.classes, image=GREY)
    oof, stored = (
        predicted(network, samples, out / name) for samples, name in ((train, "oof.zarr"), (test, "test.zarr"))
    )
    pipeline = Pipeline([("triplet", {"top": 0.75, "area": 10, "bottom": 0.3})])
    print("Dice", Dice(empty="one")(render(oof, pipeline), train.truth))
    masks = render(stored, pipeline)
    path = form.write(out / "submission.csv", masks, like=data / "sample_submission.csv")
    print(form.validate(path, like=data / "sample_submission.csv", images=data / "dicom-test"))
    return path


def predicted(network, samples, path):
    store = PredictionStore.create(path, ids=samples.ids, classes=samples.classes, sizes=samples.sizes, grid=(128, 128))
    predict(network, samples, store)
    return store
