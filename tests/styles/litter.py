"""Litter scenes: RGB JPG, label maps of exclusive classes, one row of 256 x 256 class numbers an image, mIoU."""

from segkit.images import ImageSpec
from segkit.inference import predict
from segkit.metrics import MeanIoU
from segkit.postprocess import render
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.submission import PixelLabels

RGB = ImageSpec("rgb", normalize="imagenet")
CLASSES = ["Background", "Trash", "Paper", "Box", "Metal", "Glass", "Plastic", "Foam", "Bag", "Battery", "Clothing"]


def images(folder):
    return {path.relative_to(folder.parent).as_posix(): path for path in sorted(folder.glob("*.jpg"))}


def solve(data, out, network):
    numbers = {name: number for number, name in enumerate(CLASSES)}
    train = Samples.from_label_maps(
        images(data / "batch_01_vt"), data / "maps", numbers, pattern="{stem}.png", image=RGB
    )
    test = Samples.from_images(images(data / "batch_02_vt"), CLASSES, image=RGB)
    oof, stored = (
        predicted(network, samples, out / name) for samples, name in ((train, "oof.zarr"), (test, "test.zarr"))
    )
    print("mIoU", MeanIoU()(render(oof), train.truth))
    form = PixelLabels(size=(256, 256), first=0)
    path = form.write(out / "submission.csv", render(stored), like=data / "sample_submission.csv")
    print(form.validate(path, like=data / "sample_submission.csv", classes=CLASSES))
    return path


def predicted(network, samples, path):
    sizes, grid = samples.sizes, (128, 128)
    store = PredictionStore.create(path, ids=samples.ids, classes=CLASSES, sizes=sizes, grid=grid, exclusive=True)
    predict(network, samples, store)
    return store
