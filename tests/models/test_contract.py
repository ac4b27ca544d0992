"""One contract for every network that `create` knows: what each promises, and how many parameters it has."""

import socket
from functools import partial

import pytest
import torch
from network_rows import ROWS

from segkit import models
from segkit.models import factory
from segkit.models.registry import FAMILIES


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


def step(model, image):
    """One training step's outputs, their gradients left in the model."""
    torch.manual_seed(1)
    out = model.train()(image)
    sum(tensor.square().mean() for tensor in numbers(out)).backward()
    return out


@pytest.mark.parametrize("name", sorted(ROWS))
def test_contract(name):
    row = ROWS[name]
    torch.manual_seed(0)
    model = models.create(name, classes=("a", "b"), in_channels=1, **row.small)
    assert model.classes == ("a", "b")
    with torch.no_grad():  # what starts at zero would keep gradients from what lies before it
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    image = torch.randn(1, 1, 97, 131)
    before = image.clone()

    out = step(model, image)  # a batch of one
    assert (set(out) if isinstance(out, dict) else {"out"}) == {"out", *row.extra}
    maps = [tensor for tensor in numbers(out) if tensor.ndim == 4]
    assert all(logits.shape == (1, 2, 97, 131) for logits in maps)
    assert all(tensor.shape == (1, 2) for tensor in numbers(out) if tensor.ndim != 4)
    frozen = {key for key, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {key for key in frozen if key.startswith(row.frozen)}
    for key, parameter in model.named_parameters():
        assert (parameter.grad is None) == (key in frozen), key
        assert key in frozen or parameter.grad.isfinite().all(), key
        by_chance = models.NETWORKS[name].has_unused_parameters  # libraries' encoders drop whole blocks at random
        assert key in frozen or by_chance or parameter.grad.any(), key
    assert torch.equal(image, before)

    with torch.no_grad():
        logits = model.eval()(image)
        assert logits.shape == (1, 2, 97, 131)
        if row.like is None:
            again = models.create(**model.config)
            again.load_state_dict(model.state_dict())
            assert torch.equal(again.eval()(image), logits)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_rgb_and_a_seed(name):
    """Three channels give the same shapes, and a seed the same network, outputs and gradients."""
    row = ROWS[name]
    image = torch.randn(1, 3, 97, 131)

    def seeded():
        torch.manual_seed(0)
        return models.create(name, classes=2, in_channels=3, **row.small)

    model = seeded()
    if row.like:
        with torch.no_grad():
            assert model.eval()(image).shape == (1, 2, 97, 131)
        return
    twin = seeded()
    out, same = numbers(step(model, image)), numbers(step(twin, image))
    assert all(tensor.shape in ((1, 2, 97, 131), (1, 2)) for tensor in out)
    assert all(torch.equal(a, b) for a, b in zip(out, same, strict=True))
    pairs = zip(model.parameters(), twin.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs if a.grad is not None)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_parameter_counts(name, monkeypatch):
    """Exact, on the meta device: nothing is allocated. smp reads drop rates off a linspace, so that stays real."""
    monkeypatch.setattr(torch, "linspace", partial(torch.linspace, device="cpu"))
    monkeypatch.setattr(factory, "freeze_unused_parameters", lambda model: None)  # a forward pass, slow on this device
    row = ROWS[name]
    for classes, count in zip((21, 29), row.counts, strict=True):
        with torch.device("meta"):
            model = models.create(name, classes=classes, in_channels=3, **row.counted)
        assert sum(p.numel() for p in model.parameters()) == count
