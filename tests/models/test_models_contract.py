"""One contract for every network that `create` knows: what each promises, and how many parameters it has."""

import socket
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch

from segkit import models
from segkit.models import FAMILIES


class Row(NamedTuple):
    """The smallest settings that are still of the network's kind, and the exact count of parameters.

    counts: for RGB and 21 and 29 classes with the settings `counted`. frozen: beginnings of the names of the
    parameters that are not trained by design. extra: the keys of the outputs that `small` asks for.
    """

    counts: tuple[int, int]
    small: dict[str, Any] = {}  # noqa: RUF012
    counted: dict[str, Any] = {}  # noqa: RUF012
    frozen: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


RESNET18 = {"encoder": "resnet18"}

ROWS = {
    "deeplabv3": Row((26_012_245, 26_014_301), RESNET18),
    "deeplabv3_resnet50": Row((39_638_869, 39_640_925), {"aux": True}, extra=("aux",)),
    "deeplabv3plus": Row((26_682_725, 26_684_781), {"encoder": "tu-tf_efficientnet_lite0"}, {"encoder": "resnet50"}),
    "dpt": Row(
        (121_012_757, 121_014_813),
        {"encoder": "tu-vit_tiny_patch16_224", "decoder_intermediate_channels": (8, 8, 8, 8)},
    ),
    "fcn_resnet50": Row((32_957_013, 32_961_117), {"aux": True}, extra=("aux",)),
    "fpn": Row((23_157_973, 23_159_005), {"encoder": "tu-mobilenetv3_small_050"}),
    "linknet": Row((21_772_597, 21_772_861), RESNET18),
    "manet": Row(
        (31_786_533, 31_787_693),
        {"encoder": "efficientnet-b0"},
        frozen=("body.encoder._conv_head", "body.encoder._bn1"),
    ),
    "pan": Row((21_481_596, 21_483_908), RESNET18),
    "pspnet": Row((21_530_165, 21_567_037), RESNET18, frozen=("body.encoder.layer3", "body.encoder.layer4")),
    "segformer": Row((3_719_541, 3_721_597), {"encoder": "mit_b0"}),
    # split attention: a batch norm after pooling inside the encoder
    "unet": Row((6_631_845, 6_633_005), {"encoder": "tu-resnest14d"}, {"encoder": "mobilenet_v2"}),
    "unetplusplus": Row((26_081_509, 26_082_669), {"encoder": "resnet18", "decoder_channels": (32, 16, 16, 8, 8)}),
    "upernet": Row((29_604_821, 29_606_877), {"encoder": "tu-convnext_atto", "decoder_channels": 32}),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Untrained networks are built from what is on this machine."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"the network was asked for {args[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_every_network_has_a_row():
    assert models.names() == sorted(ROWS)


def test_no_name_is_given_twice():
    assert sum(len(family.NETWORKS) for family in FAMILIES) == len(models.names())


def numbers(out):
    """Every tensor of an output: logits, or a dict of logits and lists of logits."""
    if isinstance(out, torch.Tensor):
        return [out]
    return [tensor for value in (out.values() if isinstance(out, dict) else out) for tensor in numbers(value)]


@pytest.mark.parametrize("name", sorted(ROWS))
def test_contract(name):
    row = ROWS[name]
    torch.manual_seed(0)
    model = models.create(name, classes=("a", "b"), in_channels=1, **row.small)
    assert model.classes == ("a", "b")
    image = torch.randn(1, 1, 97, 131)
    before = image.clone()

    with torch.no_grad():  # what starts at zero would keep gradients from what lies before it
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)

    model.train()  # a batch of one
    torch.manual_seed(1)
    out = model(image)
    assert (set(out) if isinstance(out, dict) else {"out"}) == {"out", *row.extra}
    maps = [tensor for tensor in numbers(out) if tensor.ndim == 4]
    assert all(logits.shape == (1, 2, 97, 131) for logits in maps)
    assert all(tensor.shape == (1, 2) for tensor in numbers(out) if tensor.ndim != 4)
    sum(tensor.square().mean() for tensor in numbers(out)).backward()
    frozen = {key for key, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {key for key in frozen if key.startswith(row.frozen)}
    for key, parameter in model.named_parameters():
        assert (parameter.grad is None) == (key in frozen), key
        assert key in frozen or parameter.grad.isfinite().all(), key
        by_chance = models.NETWORKS[name].leftovers  # libraries' encoders drop whole blocks at random
        assert key in frozen or by_chance or parameter.grad.any(), key
    assert torch.equal(image, before)

    model.eval()
    with torch.no_grad():
        logits = model(image)
        assert logits.shape == (1, 2, 97, 131)
        assert torch.equal(model(image), logits)
        again = models.create(**model.config).eval()
        again.load_state_dict(model.state_dict())
        assert torch.equal(again(image), logits)
        rgb = models.create(**(model.config | {"in_channels": 3})).eval()
        assert rgb(image.expand(1, 3, 97, 131)).shape == (1, 2, 97, 131)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_seed_gives_the_same_network_and_the_same_gradients(name):
    row = ROWS[name]

    def step():
        torch.manual_seed(3)
        model = models.create(name, classes=2, **row.small).train()
        out = model(torch.randn(1, 1, 64, 64))
        sum(tensor.square().mean() for tensor in numbers(out)).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    assert all(torch.equal(a, b) for a, b in zip(step(), step(), strict=True))


@pytest.mark.parametrize("name", sorted(ROWS))
def test_parameter_counts(name, monkeypatch):
    """Exact, on the meta device: nothing is allocated. smp reads drop rates off a linspace, so that stays real."""
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
    row = ROWS[name]
    for classes, count in zip((21, 29), row.counts, strict=True):
        with torch.device("meta"):
            model = models.create(name, classes=classes, in_channels=3, **row.counted)
        assert sum(p.numel() for p in model.parameters()) == count
