"""The table people choose by: complete, true to the registry, and what `segkit models` prints."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from benchmarks import networks
from segkit import models
from segkit.cli import main
from segkit.cli.networks import HEADS, cells, read

TABLE = read()


def test_every_network_is_in_the_table_and_its_words_are_the_registry_s():
    """After a new network or a changed row: python -m benchmarks.networks --write."""
    assert list(TABLE) == models.names()
    for name, row in TABLE.items():
        assert row.items() >= networks.words(name).items(), name


@pytest.mark.parametrize("name", ["unet", "resunet", "fcn_resnet50", "segformer_b0", "pspnet", "hrnetv2_ocr_w18"])
def test_the_numbers_are_what_the_command_finds(name):
    assert networks.row(name) == TABLE[name]


def test_the_page_is_the_table():
    assert f"<!-- table -->\n{networks.page(TABLE)}<!-- end -->" in networks.PAGE.read_text()


@pytest.mark.parametrize(
    ("name", "gmac"),
    [
        ("unet3plus", 805.7), ("unetpp", 119.8), ("attention_unet", 266.0), ("multiresunet", 63.0),
        ("hrnetv2_ocr_w48", 162.3), ("segformer_b5", 109.9), ("efficientunet_b7", 39.2), ("dense_unet", 34.3),
        ("deeplabv3plus_resnet101", 56.0), ("deeplabv3_resnet101", 241.2), ("deeplabv3plus_dense", 69.2),
    ],
)  # fmt: skip
def test_costs_are_those_counted_independently(name, gmac):
    assert TABLE[name]["gmac"] == gmac


def test_the_fcn_s_replicated_border_is_its_difference_to_the_plan_s_cost():
    """18 x 18 scores instead of 16 x 16, of 21 classes, times a kernel of 64 x 64 to each of 21."""
    border = (18**2 - 16**2) * 21 * 64**2 * 21 / 1e9
    assert round(border, 2) == 0.12
    assert round(TABLE["fcn32s_vgg16"]["gmac"] - border, 1) == 111.3


def test_memory_is_counted_by_hand():
    """100 floats: doubled (400 bytes), raised (400, kept for backward), summed (4); the first goes as the second is."""
    x = torch.zeros(100, device="meta", requires_grad=True)
    with networks.Peak() as peak:
        total = (x * 2).exp().sum()
        assert (peak.now, peak.peak) == (404, 800)
        same = total.view(1)[:]  # views hold nothing of their own
        assert peak.now == 404
        del same
        total.backward()
        assert peak.now >= 400  # the gradient
        x.grad = None
        del total
    assert peak.now == 0


def test_a_step_s_memory_is_counted_by_hand():
    """Two 1x1 convolutions 1 -> 4 -> 1 and ReLU on 8 x 8: what must be there at the turn from forward to backward."""
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(4, 1, 1, bias=False))
    plane, weights = 8 * 8 * 4, 8 * 4
    found = networks.training_bytes(net, in_channels=1, classes=1, size=8)
    kept = 2 * plane + 4 * plane + plane  # image and target; the activation in place; the logits
    assert 3 * weights + kept < found < 3 * weights + kept + 8 * plane  # + gradients of maps


def test_nothing_is_allocated_and_linspace_is_itself_again():
    with networks.on_meta():
        assert models.create("fpn", classes=1, in_channels=3).body.encoder.conv1.weight.is_meta
    assert not torch.linspace(0, 1, 2).is_meta


def test_the_command_prints_all_sorted_as_asked(capsys):
    def printed(*arguments):
        assert main(["models", *arguments]) == 0
        head, *lines, note = capsys.readouterr().out.splitlines()
        assert head.split()[0] == HEADS[0]
        assert "512 x 512" in note
        return [line.split()[0] for line in lines]

    assert printed() == models.names()
    assert printed("--sort", "gmac")[-1] == "unet3plus"
    assert printed("--sort", "params")[-1] == "deconvnet"
    assert TABLE[printed("--sort", "memory")[0]]["memory_mb"] == min(row["memory_mb"] for row in TABLE.values())
    assert TABLE[printed("--sort", "year")[0]]["year"] == 2015


def test_a_row_as_text():
    row = {"year": 2015, "parameters": 31_033_045, "gmac": 193.0, "stride": 1, "memory_mb": 1349, "weights": []}
    assert cells("unet", row | {"good_for": "all"}) == ("unet", "2015", "31.0", "193.0", "1", "1349", "-", "all")


def test_the_plan_of_one_on_an_encoder(capsys):
    assert main(["models", "unetpp", "--encoder", "resnet18"]) == 0
    out = capsys.readouterr().out
    assert "U-Net++: Zhou" in out
    assert "resnet18" in out
    assert "for 21 classes and images of 3 channels" in out  # as the table counts
    assert "segmentation_head" in out
    assert main(["models", "--encoder", "resnet18"]) == 2
    assert "segkit models unet --encoder resnet18" in capsys.readouterr().err
    assert main(["models", "unetp"]) == 2
    assert "did you mean unetpp" in capsys.readouterr().err


def test_the_table_needs_no_torch():
    code = (
        "import json, sys; from segkit.cli import main; code = main(['models']);"
        "print(json.dumps([code, [m for m in ('torch', 'timm', 'pandas') if m in sys.modules]]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(out.splitlines()[-1]) == [0, []]
