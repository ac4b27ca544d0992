"""HRNetV2 and OCR: the paper's trunk and not the classifier's, attention that adds up, weights that arrive."""

import pytest
import timm
import torch
from timm.models import _builder

from segkit import models
from segkit.models.papers.hrnet import HRNetV2OCR, RegionAttention, region_vectors
from segkit.models.segmenter import allow_single_image_batches


@pytest.mark.parametrize("width", [18, 32, 48])
def test_the_trunk_s_maps_are_not_the_classifier_s_widened_ones(width):
    with torch.device("meta"):
        model = models.create(f"hrnetv2_w{width}", classes=1)
        maps = model.encoder(torch.zeros(1, 1, 64, 96))
    assert [m.shape[1] for m in maps] == [width, 2 * width, 4 * width, 8 * width]
    assert [tuple(m.shape[-2:]) for m in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert model.body.trunk.channels == 15 * width == model.body.head[0].in_channels
    assert not any("incre_modules" in key or "downsamp_modules" in key for key in model.state_dict())


def test_the_paper_s_own_setting():
    """HRNetV2-W48 of Cityscapes: 19 classes, 65.9 M parameters."""
    with torch.device("meta"):
        model = models.create("hrnetv2_w48", classes=19, in_channels=3)
    assert sum(p.numel() for p in model.parameters()) == 65_859_379


@pytest.fixture(scope="module")
def ocr():
    torch.manual_seed(0)
    model = models.create("hrnetv2_ocr_w18", classes=3, aux=True)
    assert isinstance(model.body, HRNetV2OCR)
    return model


def test_region_vectors_are_means_over_the_places_of_a_class():
    torch.manual_seed(0)
    pixels = torch.randn(2, 5, 4, 6)
    logits = torch.full((2, 3, 4, 6), -50.0)
    logits[0, 0, 1, 2] = logits[1, 2, 3, 5] = 50.0  # one certain pixel
    logits[0, 1] = 7.0  # everywhere alike
    vectors = region_vectors(pixels, logits)
    assert vectors.shape == (2, 5, 3, 1)
    torch.testing.assert_close(vectors[0, :, 0, 0], pixels[0, :, 1, 2])
    torch.testing.assert_close(vectors[1, :, 2, 0], pixels[1, :, 3, 5])
    torch.testing.assert_close(vectors[0, :, 1, 0], pixels[0].mean((1, 2)))


def test_classes_that_overlap_have_vectors_of_their_own():
    """The softmax runs over places, not classes: a class's vector does not feel what another claims."""
    pixels, logits = torch.randn(1, 5, 4, 6), torch.randn(1, 3, 4, 6)
    changed = logits.clone()
    changed[:, 1] += 10 * torch.randn(4, 6)
    before, after = region_vectors(pixels, logits), region_vectors(pixels, changed)
    assert torch.equal(before[:, :, [0, 2]], after[:, :, [0, 2]])
    assert not torch.equal(before[:, :, 1], after[:, :, 1])


def test_region_vectors_of_large_images_survive_half_precision():
    """2800 px at stride 4: each of 490,000 places counts 2e-6, which float16 would round by a hundredth."""
    pixels = torch.linspace(0, 1, 700 * 700).reshape(1, 1, 700, 700)
    logits = torch.zeros(1, 1, 700, 700)
    with torch.autocast("cpu", dtype=torch.float16):
        mixed = region_vectors(pixels.half(), logits.half())
    assert mixed.dtype == torch.float16
    torch.testing.assert_close(mixed.float().item(), 0.5, atol=1e-3, rtol=0)


def test_attention_over_regions_sums_to_one():
    torch.manual_seed(0)
    attention = RegionAttention().eval()
    pixels, regions = torch.randn(2, 512, 4, 6), torch.randn(2, 512, 3, 1)
    with torch.no_grad():
        weights = attention.weights(pixels, regions)
        assert weights.shape == (2, 24, 3)
        torch.testing.assert_close(weights.sum(2), torch.ones(2, 24))
        assert attention(pixels, regions).shape == pixels.shape
        alike = regions[:, :, :1].expand(-1, -1, 3, -1)  # nothing to choose between
        torch.testing.assert_close(attention.weights(pixels, alike), torch.full((2, 24, 3), 1 / 3))


def test_each_pixel_by_itself_gathers_the_same(ocr):
    """A slow twin: one pixel at a time, in NumPy's order of places."""
    torch.manual_seed(0)
    attention = ocr.body.attention.eval()
    pixels, regions = torch.randn(1, 512, 3, 4), torch.randn(1, 512, 3, 1)
    with torch.no_grad():
        together = attention(pixels, regions)
        for y in range(3):
            for x in range(4):
                alone = attention(pixels[..., y : y + 1, x : x + 1], regions)
                torch.testing.assert_close(together[..., y, x], alone[..., 0, 0], atol=1e-5, rtol=1e-4)


def test_first_scores_come_out_only_when_asked_and_in_training(ocr):
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        out = ocr.train()(image)
        assert set(out) == {"out", "aux"}
        assert out["aux"].shape == out["out"].shape == (1, 3, 64, 64)
        assert isinstance(ocr.eval()(image), torch.Tensor)
        quiet = models.create("hrnetv2_ocr_w18", classes=3)
        quiet.load_state_dict(ocr.state_dict())
        assert torch.equal(quiet.eval()(image), ocr(image))
        assert isinstance(quiet.train()(image), torch.Tensor)


def test_first_scores_learn_from_the_regions_too():
    """Without `aux` they still get gradients, through the vectors that they pool."""
    model = models.create("hrnetv2_ocr_w18", classes=2).train()
    model(torch.randn(1, 1, 64, 64)).square().mean().backward()
    assert model.body.first[-1].weight.grad.any()


def test_one_class_and_one_image_train():
    attention = RegionAttention().train()
    allow_single_image_batches(attention)  # one region of one image is one value a channel
    assert attention(torch.randn(1, 512, 2, 2), torch.randn(1, 512, 1, 1)).isfinite().all()


@pytest.mark.parametrize("in_channels", [1, 3])
def test_imagenet_weights_fill_the_trunk(in_channels, monkeypatch):
    """Random weights of the classifier's shapes take the way of the real ones; nothing of the trunk is left out."""
    classifier = timm.create_model("hrnet_w18")
    state = {k: torch.rand_like(v) if v.is_floating_point() else v for k, v in classifier.state_dict().items()}
    monkeypatch.setattr(_builder, "load_state_dict_from_hf", lambda *a, **k: dict(state))
    monkeypatch.setattr(_builder, "load_state_dict_from_url", lambda *a, **k: dict(state))
    model = models.create("hrnetv2_w18", classes=2, in_channels=in_channels, weights="imagenet")
    own = model.encoder.state_dict()
    stem = state["conv1.weight"] if in_channels == 3 else state["conv1.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(own.pop("conv1.weight"), stem)
    assert all(torch.equal(value, state[key]) for key, value in own.items())
