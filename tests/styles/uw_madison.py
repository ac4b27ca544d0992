"""UW-Madison: 16-bit PNG slices, three overlapping classes, `id,class,predicted` by rows, 0.4 Dice + 0.6 Hausdorff."""

from segkit.images import ImageSpec
from segkit.inference import predict
from segkit.metrics import Combined, Dice, Hausdorff
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.submission import SubmissionFormat

DEEP = ImageSpec("grey", normalize=(0.0, 1.0), value_range=(0, 65535), dtype="float32")
METRIC = Combined({Dice(): 0.4, Hausdorff(normalized=True): 0.6})


def slices(folder):
    """case123/case123_day20/scans/slice_0001_266_266_1.50_1.50.png is case123_day20_slice_0001."""
    return {f"{path.parts[-3]}_{path.name[:10]}": path for path in sorted(folder.glob("case*/*/scans/*.png"))}


def solve(data, out, network):
    form = SubmissionFormat(columns=("id", "class", "segmentation"))
    case = r"^(case\d+)_"
    train = Samples.from_rle_csv(data / "train.csv", slices(data / "train"), form, image=DEEP, group=case)
    test = Samples.from_images(slices(data / "test"), train.classes, image=DEEP, group=case)
    oof, stored = (
        predicted(network, samples, out / name) for samples, name in ((train, "oof.zarr"), (test, "test.zarr"))
    )
    tried = {cut: METRIC(render(oof, Pipeline(thresholds=cut)), train.truth) for cut in (0.3, 0.5, 0.7)}
    form = SubmissionFormat(columns=("id", "class", "predicted"))
    masks = render(stored, Pipeline(thresholds=max(tried, key=tried.get)))
    path = form.write(out / "submission.csv", masks, like=data / "sample_submission.csv")
    print(form.validate(path, like=data / "sample_submission.csv", sizes=test.sizes))
    return path


def predicted(network, samples, path):
    store = PredictionStore.create(path, ids=samples.ids, classes=samples.classes, sizes=samples.sizes, grid=(60, 72))
    predict(network, samples, store)
    return store
