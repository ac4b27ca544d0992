"""The networks that libraries build, the wrapper around every network, and what `create` says to a mistake."""

import json
import socket
from functools import partial

import numpy as np
import pytest
import torch
from network_rows import ROWS
from torch import nn

from segkit import models
from segkit.models import factory, libraries
from segkit.models.segmenter import Segmenter, SingleValueBatchNorm2d

LIBRARIES = [row.name for row in libraries.NETWORKS]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Untrained networks are built from what is on this machine."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"the network was asked for {args[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_fresh_network_answers_with_its_prior(name):
    """With the last convolution's weights at zero, every pixel has the probability of the prior."""
    model = models.create(name, classes=3, prior=0.02, **ROWS[name].small).eval()
    for module in [m for m in model.body.modules() if isinstance(m, nn.Conv2d) and m.out_channels == 3]:
        nn.init.zeros_(module.weight)
    with torch.no_grad():
        probs = model(torch.randn(1, 1, 40, 70)).sigmoid()
    torch.testing.assert_close(probs, torch.full_like(probs, 0.02))


def test_leftovers_of_a_library_are_out_of_training_and_nothing_else_is():
    model = models.create("pspnet", classes=1, encoder="resnet18")  # reads three of five stages
    frozen = {key.split(".")[2] for key, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"layer3", "layer4"}
    model = models.create("unet", classes=1, encoder="resnet18")
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (5, 300), (97, 131)])
def test_any_size_and_the_border_is_cropped(size):
    """A body that copies its input shows that padding and cropping undo each other."""

    class Copy(nn.Module):
        def forward(self, x):
            assert x.shape[-2] % 32 == 0
            assert x.shape[-1] % 32 == 0
            return x

    model = Segmenter(Copy(), classes=1, in_channels=1, size_multiple=32, config={})
    image = torch.randn(2, 1, *size)
    assert torch.equal(model(image), image)


def test_low_resolution_logits_come_up_with_half_pixels():
    """Stride-4 logits that are linear in position stay so, centred where the image's pixels are."""

    class Pool(nn.Module):
        def forward(self, x):
            return nn.functional.avg_pool2d(x, 4)

    ramp = torch.arange(128.0).expand(1, 1, 128, 128)
    out = Segmenter(Pool(), classes=1, in_channels=1, size_multiple=4, config={})(ramp)
    torch.testing.assert_close(out[..., 2:-2], ramp[..., 2:-2])


def test_one_value_per_channel_trains_and_all_else_is_batch_norm():
    torch.manual_seed(0)
    ours, theirs = SingleValueBatchNorm2d(4), nn.BatchNorm2d(4)
    several = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(ours(several), theirs(several))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    lone = torch.randn(1, 4, 1, 1)
    with pytest.raises(ValueError, match="more than 1 value"):
        theirs(lone)
    torch.testing.assert_close(ours(lone), theirs.eval()(lone))


def test_deeplab_rates_and_segformer_width_are_the_papers():
    def rates(name, **options):
        body = models.create(name, classes=1, encoder="resnet18", **options).body
        aspp = body.decoder.aspp if name == "deeplabv3" else body.decoder.aspp[0]
        return [next(m.dilation[0] for m in aspp.convs[i].modules() if isinstance(m, nn.Conv2d)) for i in (1, 2, 3)]

    assert rates("deeplabv3plus") == [6, 12, 18]
    assert rates("deeplabv3plus", encoder_output_stride=8) == [12, 24, 36]
    assert rates("deeplabv3") == [12, 24, 36]
    assert rates("deeplabv3", encoder_output_stride=16) == [6, 12, 18]
    assert models.create("segformer", classes=1, encoder="mit_b2").body.segmentation_head[0].in_channels == 768
    assert models.create("segformer", classes=1).body.segmentation_head[0].in_channels == 256


DEEP, GATED = {"deep_supervision": True}, {"deep_supervision": True, "cgm": True}


@pytest.mark.parametrize(
    ("name", "options", "classes", "count"),
    [
        ("fcn_resnet50", {"aux": True}, 21, 35_322_218),
        ("fcn_resnet50", {"aux": True}, 29, 35_328_378),
        ("segformer", {"encoder": "mit_b2"}, 21, 27_362_773),
        ("unet", {"norm": True}, 21, 31_038_933),
        ("unet", {"norm": True}, 29, 31_039_453),
        ("unet", {"in_channels": 1}, 2, 31_030_658),  # the paper's own
        ("unet2015", {"in_channels": 1}, 2, 31_030_658),
        ("unet", {"width": 0.5, "in_channels": 1}, 1, 7_759_521),  # in the repository of U-Net++'s authors
        ("unetpp", {"width": 2, "norm": True}, 21, 36_177_940),
        ("unetpp", {"width": 2, "norm": True}, 29, 36_180_020),
        ("unet3plus", DEEP, 21, 27_404_457),
        ("unet3plus", DEEP, 29, 27_570_385),
        ("unet3plus", GATED, 21, 27_425_982),
        ("unet3plus", GATED, 29, 27_600_110),
        ("deeplabv3plus_dense", {"encoder": "resnet101"}, 21, 59_344_309),
        ("deeplabv3plus_dense", {"encoder": "resnet101"}, 29, 59_346_365),
    ],
)
def test_parameter_counts_of_options(name, options, classes, count, monkeypatch):
    """Counted independently, for RGB where nothing else is said; on the meta device, as the contract's."""
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
    monkeypatch.setattr(factory, "freeze_unused_parameters", lambda model: None)
    with torch.device("meta"):
        model = models.create(name, classes=classes, **{"in_channels": 3} | options)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "unett"}, "did you mean unet"),
        ({"name": "unet", "encoder": "resnet43"}, "did you mean resnet34"),
        ({"name": "unet", "encoder": "hrnet_w18"}, "write 'tu-hrnet_w18'"),
        ({"name": "unet", "encoder": "tu-hrnet_w19"}, "did you mean hrnet_w18"),
        ({"name": "unet", "encoder": "resnet18", "decoder_chanels": (1,)}, "did you mean decoder_channels"),
        ({"name": "unet", "decoder_channels": (1,)}, "with encoder='resnet34', for instance, it has others"),
        ({"name": "unet", "encoder": "resnet18", "width": 2}, "no option 'width'"),
        ({"name": "unet", "encoder": "resnet18", "encoder_options": {"drop_path_rate": 0.1}}, "begin with 'tu-'"),
        ({"name": "unet", "encoder": "tu-resnet18", "encoder_options": {"nonsense": 1}}, "nonsense"),
        ({"name": "unet", "encoder": "tu-swin_tiny_patch4_window7_224"}, "cannot run on"),
        ({"name": "linknet", "encoder": "mit_b0"}, "mit_b0"),
        ({"name": "fcn_resnet50", "encoder": "resnet34"}, "leave it out"),
        ({"name": "fcn_resnet50", "auxx": True}, "did you mean aux"),
        ({"name": "unet", "classes": 0}, "positive"),
        ({"name": "unet", "classes": ("a", "a")}, "distinct"),
        ({"name": "unet", "classes": "lung"}, "one string"),
        ({"name": "unet", "in_channels": 0}, "in_channels"),
        ({"name": "unet", "prior": 1.0}, "prior"),
        ({"name": "unet", "encoder": "resnet18", "weights": "imagnet"}, "did you mean imagenet"),
        ({"name": "unet", "weights": "imagenet"}, "encoder='resnet34', for instance, has"),
        ({"name": "unetpp", "encoder": "tu-hrnet_w19"}, "did you mean hrnet_w18"),
        ({"name": "segformer_b2", "encoder": "mit_b2"}, "leave it out"),
        ({"name": "hrnetv2_w19"}, "did you mean hrnetv2_w18"),
        ({"name": "hrnetv2_w18", "weights": "coco"}, "hrnet_w18 has no weights 'coco'"),
        ({"name": "unetpp", "levels": 5}, "levels is 1, 2, 3 or 4"),
        ({"name": "unetpp", "levels": 2, "deep_supervision": True}, "train with levels=4"),
        ({"name": "unet3plus", "width": 0}, "width multiplies"),
        ({"name": "deeplabv3plus_dense", "output_stride": 32}, "16 or 8"),
        ({"name": "unet", "encoder": "tu-resnet18", "weights": "a1_in1k"}, "tu-NAME.SET"),
        ({"name": "fcn_resnet50", "weights": "cocoo"}, "did you mean coco"),
        ({"name": "U-Net++"}, "did you mean unetplusplus"),
        ({"name": "hrnet"}, "did you mean hrnetv2_w18"),
        ({"name": "hrnetv2_w18", "width": 1}, "no option 'width'; there are none"),
        ({"name": "unetpp", "encoder": "resnet18", "deep_supervision": True}, "an option of unetpp without an encoder"),
        ({"name": "unetpp", "encoder": "resnet18", "levels": 2}, "levels is an option of unetpp without an encoder"),
        ({"name": "dpt", "encoder": "tu-vit_small_patch14_dinov2"}, "are 14 px; take an encoder of patch 16"),
        ({"name": "unet", "classes": 2.0}, "positive whole number or distinct names, got 2.0"),
        ({"name": "unet", "classes": True}, "got True"),
        ({"name": "unet", "classes": None}, "got None"),
        ({"name": "unet", "classes": ("a", 1)}, "distinct names"),
        ({"name": "unet", "in_channels": 1.5}, "whole number of at least 1, got 1.5"),
        ({"name": "unet", "in_channels": True}, "got True"),
        ({"name": "unet", "prior": "a"}, "strictly between 0 and 1, got 'a'"),
        ({"name": "unet", "prior": float("nan")}, "got nan"),
        ({"name": "unet", "width": "0.5"}, "width of unet is a number, as 1.0, got '0.5'"),
        ({"name": "unet", "width": float("inf")}, "got inf"),
        ({"name": "unet", "width": True}, "got True"),
        ({"name": "unetpp", "deep_supervision": "no"}, "True or False, got 'no'"),
        ({"name": "unetpp", "levels": 2.0}, "a whole number, as 4, got 2.0"),
        ({"name": "dilatednet_basic", "width": 0.1, "noise": -1.0}, "0 or more, got -1.0"),
        ({"name": "multiresunet", "width": 0}, "width multiplies"),
        ({"name": "multiresunet", "width": -1}, "width multiplies"),
    ],
)
def test_a_mistake_is_named_with_its_neighbours(arguments, says):
    with pytest.raises(ValueError, match=says):
        models.create(**({"classes": 1} | arguments))


def test_whole_numbers_and_numbers_of_numpy_are_numbers():
    options = {"classes": np.int64(2), "in_channels": np.int32(3), "prior": np.float32(0.5), "width": np.float32(0.25)}
    model = models.create("unetpp", levels=np.int64(1), **options)
    assert (model.classes, model.in_channels) == (2, 3)
    assert type(model.classes) is int
    assert models.create(**json.loads(json.dumps(model.config))).config == model.config  # as model files store it
    assert models.create("unetpp", classes=iter("ab"), width=1).classes == ("a", "b")


def test_a_network_made_in_inference_mode_trains(tmp_path):
    with torch.inference_mode():
        model = models.create("pspnet", classes=1, encoder="resnet18")  # unused parameters are found, too
        assert torch.is_inference_mode_enabled()
    model(torch.zeros(1, 1, 64, 64)).mean().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert not all(p.requires_grad for p in model.parameters())


def test_extra_outputs_come_out_in_training_and_at_full_size():
    """Logits and lists of them are resized and cropped, scores of the whole image stay as they are."""

    class Several(nn.Module):
        def forward(self, x):
            low = nn.functional.avg_pool2d(x, 4)
            return {"out": x, "deep": [x, low], "cls": x.mean((2, 3))}

    image = torch.randn(2, 1, 65, 70)
    model = Segmenter(Several(), classes=1, in_channels=1, size_multiple=16, config={})
    out = model.train()(image)
    assert [tuple(logits.shape) for logits in (out["out"], *out["deep"])] == [(2, 1, 65, 70)] * 3
    assert torch.equal(out["deep"][0], image)
    assert out["cls"].shape == (2, 1)
    assert torch.equal(model.eval()(image), image)


def test_images_of_the_wrong_shape_are_refused():
    model = models.create("fpn", classes=1, encoder="resnet18")
    for shape in [(1, 3, 64, 64), (1, 64, 64)]:
        with pytest.raises(ValueError, match=r"takes \(N, 1, H, W\)"):
            model(torch.zeros(shape))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {"encoder": "resnet18"}),
        ("fcn_resnet50", {}),
        ("unet2015", {"width": 0.125}),
        ("unetpp", {"width": 0.25}),
        ("unet3plus", {"width": 0.125, "cgm": True}),
        ("attention_unet", {"width": 0.125}),
        ("multiresunet", {"width": 0.25}),
        ("deeplabv3plus_dense", {"encoder": "resnet18"}),
    ],
)
def test_mixed_precision_and_channels_last(name, options):
    model = models.create(name, classes=2, **options)
    model = model.to(memory_format=torch.channels_last).eval()
    image = torch.randn(1, 1, 50, 66)
    with torch.no_grad():
        plain = model(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = model(image.to(memory_format=torch.channels_last))
    assert mixed.shape == plain.shape
    torch.testing.assert_close(mixed.float(), plain, atol=0.3, rtol=0.1)


def test_describe_names_every_option():
    text = models.describe("deeplabv3plus", encoder="resnet18")
    for expected in ("Chen", "resnet18", "parameters", "multiples of 16", "decoder_atrous_rates", "encoder_options"):
        assert expected in text


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unetpp", {"width": 0.125, "deep_supervision": True}),
        ("segnet", {"width": 0.0625}),
        ("fcn8s_vgg16", {"width": 0.0625}),
    ],
)
def test_torch_compile_sees_one_graph_and_answers_alike(name, options):
    """Traced as `fit(compile=True)` would have it, with no break; without a compiler of C++."""
    torch.manual_seed(0)
    model, image = models.create(name, classes=2, **options), torch.randn(1, 1, 97, 131)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled.eval()(image), model.eval()(image), rtol=1e-4, atol=1e-5)
    out = compiled.train()(image)
    assert set(out) == {"out", "deep"} if "deep_supervision" in options else out.shape == (1, 2, 97, 131)
    (out["out"] if isinstance(out, dict) else out).mean().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
