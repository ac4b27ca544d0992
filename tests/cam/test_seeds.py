"""Seeds, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segkit import cam, pseudo
from segkit.losses import BCELoss
from segkit.predictions import PredictionStore

ONE = torch.ones(1, 1)


def planes(*rows: list[float]) -> torch.Tensor:
    """(1, C, 1, W)"""
    return torch.tensor(rows)[None, :, None]


def test_shares_of_the_maximum() -> None:
    maps = planes([-1.0, 1.0, 4.0], [2.0, 8.0, 1.0], [-3.0, -2.0, -1.0])
    shares = cam.normalised(maps, torch.tensor([[1, 0, 1]]))
    assert shares.tolist() == planes([0.0, 0.25, 1.0], [0.0] * 3, [0.0] * 3).tolist()


def test_known_unknown_and_absent() -> None:
    shares = planes([0.1, 0.11, 0.4, 0.41, 1.0], [0.9, 0.9, 0.9, 0.9, 0.9])
    found = cam.seeds(shares, torch.tensor([[1, 0]]), foreground=0.4, background=0.1)
    assert found.target[0, :, 0].tolist() == [[0, 0, 0, 1, 1], [0] * 5]  # a cut is not above itself
    assert found.weight[0, :, 0].tolist() == [[1, 0, 0, 1, 1], [1] * 5]  # an absent class is surely nowhere


# Pixels: both claim it, the first alone, the second alone, neither (the first in doubt), nobody near.
SHARES = planes([0.9, 0.8, 0.2, 0.2, 0.0], [0.7, 0.2, 0.6, 0.0, 0.0], [0.2, 0.2, 0.2, 0.2, 0.0])
PRESENT = torch.ones(1, 3)
RULES = {
    "allow": ([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0] * 5], [[1, 1, 0, 0, 1], [1, 0, 1, 1, 1], [0, 0, 0, 0, 1]]),
    "ignore": ([[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0] * 5], [[0, 1, 1, 0, 1], [0, 1, 1, 1, 1], [0, 1, 1, 0, 1]]),
    "smaller": ([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0] * 5], [[1, 1, 1, 0, 1], [1, 1, 1, 1, 1], [1, 1, 1, 0, 1]]),
}


@pytest.mark.parametrize("conflict", cam.CONFLICTS)
def test_conflicts(conflict: str) -> None:
    found = cam.seeds(SHARES, PRESENT, foreground=0.5, background=0.1, conflict=conflict)
    target, weight = RULES[conflict]  # both have two pixels: of equals the first is taken
    assert found.target[0, :, 0].tolist() == target
    assert found.weight[0, :, 0].tolist() == weight


def test_the_smaller_of_two_gets_what_both_claim() -> None:
    shares = planes([0.9, 0.9, 0.9], [0.0, 0.9, 0.0])
    found = cam.seeds(shares, torch.ones(1, 2), foreground=0.5, conflict="smaller")
    assert found.target[0, :, 0].tolist() == [[1, 0, 1], [0, 1, 0]]
    assert found.weight.all()


def test_a_cut_of_each_class() -> None:
    shares = planes([0.5], [0.5])
    found = cam.seeds(
        shares, torch.ones(1, 2), foreground={"b": 0.3, "*": 0.6}, background={"a": 0.5, "b": 0.0}, classes=("a", "b")
    )
    assert found.target.flatten().tolist() == [0, 1]
    assert found.weight.flatten().tolist() == [1, 1]


shares_of = hnp.arrays(np.float32, (2, 3, 4, 5), elements=st.floats(0, 1, width=32))
labels_of = hnp.arrays(np.int64, (2, 3), elements=st.integers(0, 1))


@given(shares_of, labels_of, st.sampled_from(cam.CONFLICTS))
def test_what_is_true_of_all_seeds(shares: np.ndarray, labels: np.ndarray, conflict: str) -> None:
    x, present = torch.from_numpy(shares), torch.from_numpy(labels)
    before = x.clone()
    target, weight = cam.seeds(x, present, foreground=0.6, background=0.2, conflict=conflict)
    assert torch.equal(x, before)
    assert (weight[target > 0] == 1).all()  # what is a seed counts
    assert not target[present == 0].any()
    assert weight[present == 0].all() or conflict == "ignore"
    if conflict != "allow":
        assert target.sum(1).max() <= 1
        alone = cam.seeds(x, present, foreground=0.6, background=0.2, conflict="allow")
        assert (alone.target >= target).all()


def test_losses_take_them_as_they_are() -> None:
    found = cam.seeds(SHARES, PRESENT, foreground=0.5)
    logits = torch.randn(SHARES.shape, requires_grad=True)
    BCELoss()(logits, found.target, weight=found.weight).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad != 0, found.weight > 0)


def test_logits_say_the_same_as_seeds_and_survive_a_store(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(1, 3, 16, 16, generator=generator)
    labels = torch.tensor([[1, 1, 0]])
    cuts = {"foreground": {"a": 0.6, "*": 0.5}, "background": 0.2, "classes": ("a", "b", "c")}
    found = cam.seeds(shares, labels, conflict="allow", **cuts)
    probs = cam.as_logits(shares, labels, confidence=0.9, **cuts).double().sigmoid()
    clear = (probs - 0.9).abs().minimum((probs - 0.1).abs()) > 1e-3
    assert torch.equal((probs > 0.9)[clear], (found.target > 0)[clear])
    assert torch.equal(((probs > 0.9) | (probs <= 0.1))[clear], (found.weight > 0)[clear])
    store = PredictionStore.create(
        tmp_path / "maps.zarr", ids=["x.png"], classes=("a", "b", "c"), sizes={"x.png": (64, 64)}, grid=(16, 16)
    )
    store["x.png"] = cam.as_logits(shares, labels, confidence=0.9, **cuts)[0].numpy()
    kept = 1 / (1 + np.exp(-store["x.png"]))
    np.testing.assert_allclose(kept, probs[0].clip(0.0187, 0.9814).numpy(), atol=0.004)


def test_pseudo_labels_are_selected_from_maps(tmp_path: Path) -> None:
    """A disc with a soft edge becomes its own label; a map that is unsure everywhere is left out."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    disc = ((12 - ((y - 16) ** 2 + (x - 16) ** 2).sqrt()) / 4).clamp(0, 1)
    shares = torch.stack([disc, torch.full_like(disc, 0.36), disc])[None]
    store = PredictionStore.create(
        tmp_path / "maps.zarr",
        ids=["x.png"],
        classes=("disc", "fog", "absent"),
        sizes={"x.png": (64, 64)},
        grid=(32, 32),
    )
    store["x.png"] = cam.as_logits(shares, torch.tensor([[1, 1, 0]]), foreground=0.5, background=0.2)[0].numpy()
    table = pseudo.select(store).table.set_index("class")
    assert table.loc["disc", "kept"]
    assert not table.loc["fog", "kept"]
    assert table.loc["disc", "pixels"] == int((disc > 0.35).sum())
    assert table.loc["absent", "pixels"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.ones(1, 2)}, "labels"),
        ({"labels": torch.full((1, 3), 0.5)}, "labels of 1 and 0"),
        ({"labels": [[1, 1, 1]]}, "got a list"),
        ({"shares": SHARES * 2}, "through normalised"),
        ({"shares": SHARES * torch.nan}, "through normalised"),
        ({"shares": SHARES[0]}, "expected float maps"),
        ({"foreground": 0.05}, "background <= foreground"),
        ({"foreground": {"x": 0.3, "*": 0.5}}, "no such class"),
        ({"classes": ("a", "b")}, "3 channels but 2 classes"),
        ({"conflict": "smallest"}, "did you mean smaller"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], message: str) -> None:
    settings: dict[str, object] = {"shares": SHARES, "labels": PRESENT, **change}
    with pytest.raises(ValueError, match=message):
        cam.seeds(settings.pop("shares"), settings.pop("labels"), **settings)  # type: ignore[arg-type]


def test_bad_logits_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(0.5, 1\)"):
        cam.as_logits(SHARES, PRESENT, confidence=0.5)
    with pytest.raises(ValueError, match="room between"):
        cam.as_logits(SHARES, PRESENT, foreground=0.3, background=0.3)
    with pytest.raises(ValueError, match="labels"):
        cam.normalised(SHARES, ONE)
