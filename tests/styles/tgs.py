"""TGS salt: 101 x 101 PNG, masks of 0 and 65535, `id,rle_mask` by columns, AP over IoU thresholds."""

from segkit.images import ImageSpec
from segkit.inference import predict
from segkit.metrics import AveragePrecision
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.submission import SubmissionFormat

GREY = ImageSpec("grey", normalize=(0.0, 1.0))
METRIC = AveragePrecision(objects="mask")


def solve(data, out, network):
    train = Samples.from_masks(data / "train/images", data / "train/masks", ["salt"], image=GREY)
    test = Samples.from_images(data / "test/images", train.classes, image=GREY)
    oof, stored = (
        predicted(network, samples, out / name) for samples, name in ((train, "oof.zarr"), (test, "test.zarr"))
    )
    tried = {cut: METRIC(render(oof, Pipeline(thresholds=cut)), train.truth) for cut in (0.3, 0.5, 0.7)}
    masks = render(stored, Pipeline(thresholds=max(tried, key=tried.get)))
    form = SubmissionFormat(columns=("id", "rle_mask"), key="{stem}", order="F")
    path = form.write(out / "submission.zip", masks, like=data / "sample_submission.csv")
    print(form.validate(path, like=data / "sample_submission.csv", images=data / "test/images"))
    return path


def predicted(network, samples, path):
    store = PredictionStore.create(path, ids=samples.ids, classes=samples.classes, sizes=samples.sizes, grid=(101, 101))
    predict(network, samples, store)
    return store
