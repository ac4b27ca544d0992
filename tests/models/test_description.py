"""What `describe` prints: true to the built network, whole, and short enough to read."""

import re

import pytest
from network_rows import ROWS
from torch import nn

from segkit import models
from segkit.models.description import table
from segkit.models.summary import summarise


def described(name, **options):
    return models.describe(name, **options).splitlines()


def test_the_stages_of_a_unet_by_hand():
    """Widths 64 to 1024, sizes halved and doubled, 3x3 convolutions: 9 in * 64 + 64 and so on."""
    found = summarise(models.create("unet", classes=2, in_channels=3), size=64)
    assert [part.name for part in found.parts][:5] == [f"encoder.{i}" for i in range(5)]
    assert [part.shape for part in found.parts][:5] == [(64 * 2**i, 64 // 2**i, 64 // 2**i) for i in range(5)]
    assert [part.name for part in found.parts][5:7] == ["up.3", "decoder.3"]
    assert found.parts[0].layers == "2 x conv 3x3"
    assert found.parts[0].parameters == (9 * 3 * 64 + 64) + (9 * 64 * 64 + 64)
    assert found.parts[-1] == ("head", "conv 1x1", (2, 64, 64), 64 * 2 + 2)
    assert found.outputs == {"out": [(2, 64, 64)]}
    assert found.between == found.idle == 0


@pytest.mark.parametrize("name", ["hrnetv2_ocr_w18", "pspnet", "dpt", "segformer_b0", "fcdensenet56", "unet3plus"])
def test_the_parts_are_the_whole(name):
    """Everything is in a part, between parts or frozen; nothing twice; no more lines than were asked for."""
    model = models.create(name, classes=2, **ROWS[name].small)
    count = sum(p.numel() for p in model.parameters())
    idle = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    found = summarise(model, most=24)
    assert sum(part.parameters for part in found.parts) + found.between + found.idle == count
    assert found.idle == idle
    assert 3 < len(table(found)) <= 24 + 2
    assert found.between < count / 20
    assert all(part.layers and part.shape for part in found.parts)


def test_layers_in_words():
    """Kernel, stride, rate and groups; the commonest first."""
    layers = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.Conv2d(8, 8, (1, 3), padding="same", groups=8),
        *(nn.Conv2d(8, 8, 3, padding=4, dilation=4, groups=2) for _ in range(2)),
        nn.ConvTranspose2d(8, 8, 2, stride=2),
    )
    model = models.Segmenter(
        nn.Sequential(layers, nn.Conv2d(8, 1, 1)), classes=1, in_channels=1, size_multiple=2, config={}
    )
    first = summarise(model).parts[0]
    assert first.layers == "2 x conv 3x3 rate 4 2 groups, conv 3x3 /2, conv 1x3 each channel, up 2x2 /2"


@pytest.mark.parametrize(
    ("name", "options", "stride"),
    [
        ("deeplabv3", {"encoder_output_stride": 16}, 16),
        ("deeplabv3", {}, 8),
        ("pspnet", {"encoder_depth": 4}, 16),
        ("pspnet", {}, 8),
        ("deeplabv3plus_dense", {"output_stride": 8}, 4),
    ],
)
def test_options_change_the_stride(name, options, stride):
    assert any(line.startswith(f"  stride      {stride}:") for line in described(name, encoder="resnet18", **options))


@pytest.mark.parametrize(
    "name",
    ["deeplabv1_largefov", "deeplabv2_vgg16", "deeplabv3", "deeplabv3plus", "dilatednet_frontend", "dpt", "fpn",
     "hrnetv2_w18", "linknet", "pan", "pspnet", "segformer_b0", "unet3plus", "upernet"],
)  # fmt: skip
def test_the_row_s_stride_is_the_built_network_s(name):
    found = summarise(models.create(name, classes=2, **ROWS[name].small))
    stride = found.size[0] // found.outputs["out"][0][1]
    assert stride == models.NETWORKS[name].stride


def test_it_says_what_the_parameters_are_counted_for():
    text = models.describe("fcdensenet56", classes=21, in_channels=3)
    assert "1.38 M for 21 classes and images of 3 channels\n" in text
    assert "for 1 class and images of 1 channel, of which" in models.describe("resunet", width=0.25)


def test_options_are_those_it_is_built_with():
    """DeepLab's rates go with the stride, SegFormer's width with the encoder."""
    built = models.describe("deeplabv3", encoder="resnet18", encoder_output_stride=16)
    assert "decoder_atrous_rates=(6, 12, 18)" in built
    assert "conv 3x3 rate 6, conv 3x3 rate 12, conv 3x3 rate 18" in built
    assert "decoder_segmentation_channels=768" in models.describe("segformer", encoder="mit_b2")
    assert "decoder_segmentation_channels=768" in models.describe("segformer_b2")


def test_a_body_that_resizes_itself_has_its_row_s_stride():
    assert any(line.startswith("  stride      32:") for line in described("fcn32s_vgg16", width=1 / 16))


def test_extra_outputs_are_listed():
    text = models.describe("unet3plus", width=0.0625, classes=2, deep_supervision=True, cgm=True)
    assert "in training cls 2; deep 2 x 128 x 128, 2 x 64 x 64, 2 x 32 x 32, 2 x 16 x 16, beside" in text
    assert "in training" not in models.describe("unet3plus", width=0.0625)


@pytest.mark.parametrize("name", ["hrnetv2_ocr_w18", "unetpp", "deeplabv2_resnet101", "efficientunet_b0"])
def test_it_is_a_page(name):
    text = described(name)
    assert 15 <= len(text) <= 32
    assert sum(bool(re.search(r"\d x \d+ +[\d,]+$", line)) for line in text) >= 6
