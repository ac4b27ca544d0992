"""normalise: one object for training, validation and prediction, in numbers that were counted elsewhere."""

import numpy as np
import pytest
import torch

from segkit.data.normalise import measured, normalise, to_float
from segkit.images import ImageSpec

RGB = ImageSpec("rgb")


def noise(*shape, dtype=torch.uint8):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).to(dtype)


def test_normalised_images_do_not_depend_on_their_batch():
    images = noise(5, 1, 33, 17)
    images[2] = 77
    together = normalise(images)
    assert torch.equal(together, torch.cat([normalise(image[None]) for image in images]))
    assert torch.equal(together[2], torch.zeros(1, 33, 17))
    torch.testing.assert_close(together[0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(together[0].std(correction=0), torch.tensor(1.0), atol=1e-5, rtol=0)


def test_the_numbers_of_grey_images_are_those_of_the_first_version():
    images = noise(3, 1, 40, 30)
    flat = images.flatten(1).to(torch.int32)
    mean = flat.sum(1, dtype=torch.int64).float() / 1200
    square = (flat * flat).sum(1, dtype=torch.int64).float() / 1200
    scale = (square - mean * mean).clamp(min=1.0).rsqrt()
    first = (images.float() - mean[:, None, None, None]) * scale[:, None, None, None]
    assert torch.equal(normalise(images), first)
    assert torch.equal(normalise(images, in_channels=3), first.expand(-1, 3, -1, -1))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_an_image_is_normalised_over_all_its_channels(dtype):
    images = noise(2, 3, 9, 9, dtype=dtype)
    images[:, 0] = 10
    out = normalise(images, RGB)
    for one, image in zip(out, images.double()):
        expected = (image - image.mean()) / image.std(correction=0)
        torch.testing.assert_close(one, expected.float(), atol=1e-5, rtol=1e-5)


def test_fixed_numbers_are_of_pixels_in_0_to_1():
    images = noise(2, 3, 5, 5)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    expected = (images / 255 - mean) / std  # as torchvision and timm have it
    torch.testing.assert_close(normalise(images, ImageSpec("rgb", "imagenet")), expected, atol=1e-5, rtol=1e-5)
    one = normalise(noise(1, 1, 2, 2), ImageSpec("grey", (0.5, 0.25)), in_channels=2)
    torch.testing.assert_close(one, ((noise(1, 1, 2, 2) / 255 - 0.5) / 0.25).expand(-1, 2, -1, -1))


def test_the_data_set_is_measured_over_all_pixels_of_all_images():
    images = [noise(4, 6, 3).numpy(), noise(2, 2, 3).numpy() // 3]
    spec = measured(ImageSpec("rgb", "dataset"), images)
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]) / 255
    np.testing.assert_allclose(spec.normalize, [pixels.mean(0), pixels.std(0)], rtol=1e-9)
    assert measured(RGB, iter(())) is RGB
    flat = measured(ImageSpec("grey", "dataset"), [np.full((2, 2, 1), 7, np.uint8)])
    assert flat.normalize[1] == (1 / 255,)
    with pytest.raises(ValueError, match="at least one image"):
        measured(ImageSpec("rgb", "dataset"), [])


@pytest.mark.parametrize(
    ("images", "spec", "channels", "says"),
    [
        (noise(3, 2, 2), RGB, None, r"\(N, C, h, w\)"),
        (noise(1, 3, 2, 2).double(), RGB, None, "uint8 or float32"),
        (noise(1, 1, 2, 2), RGB, None, r"expected 3 channels \(rgb\), got images of 1"),
        (noise(1, 3, 2, 2), RGB, 1, r"network takes 1 channels, the images have 3 \(rgb\)"),
        (noise(1, 4, 2, 2), ImageSpec(4), 3, "in_channels=4"),
        (noise(1, 3, 2, 2), ImageSpec("rgb", "dataset"), None, "not measured yet"),
    ],
)
def test_what_does_not_fit_is_named(images, spec, channels, says):
    with pytest.raises(ValueError, match=says):
        normalise(images, spec, channels)


def test_targets_mean_what_they_say():
    """FAULTS A5: 0 and 1 in integers are 0 and 1, unless the sample says that 255 is the whole."""
    image = torch.zeros(1, 1, 1, 2)
    for dtype in (torch.uint8, torch.int64, torch.bool, torch.float32):
        target = torch.tensor([[[[0, 1]]]]).to(dtype)
        assert to_float({"image": image, "target": target})["target"].tolist() == [[[[0.0, 1.0]]]]
    raw = {"image": noise(1, 1, 1, 2), "target": torch.tensor([[[[0, 51]]]], dtype=torch.uint8)}
    found = to_float({**raw, "image_max": 255, "target_max": 255, "index": 3})
    assert found.keys() == {"image", "target", "index"}
    assert found["target"].tolist() == [[[[0.0, pytest.approx(0.2)]]]]
    assert torch.equal(found["image"], normalise(raw["image"]))
    classes = to_float({"image": image, "target": torch.tensor([[[0, 7]]], dtype=torch.uint8)})["target"]
    assert (classes.dtype, classes.tolist()) == (torch.int64, [[[0, 7]]])
    with pytest.raises(ValueError, match="expected normalised float images"):
        to_float(raw)
