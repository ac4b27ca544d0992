"""The whole way from image labels to masks, in little: each step is better than the one before, by a margin."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import weak_supervision
from segkit import cam


@pytest.fixture(scope="module")
def model() -> cam.Classifier:
    torch.manual_seed(0)
    return weak_supervision.classifier(weak_supervision.draw(48, seed=0), steps=60, puzzle=False)


def test_maps_find_what_only_labels_named(model: cam.Classifier) -> None:
    test = weak_supervision.draw(16, seed=1)
    told = test.labels > 0
    assert ((model(test.image) > 0) == told).float().mean() > 0.8
    found = weak_supervision.shares(model, test)
    walked = weak_supervision.refined(found, test)
    cuts = weak_supervision.CUTS
    maps, better = (max(weak_supervision.dice((m > c).float(), test) for c in cuts) for m in (found, walked))
    greys = max(weak_supervision.dice(weak_supervision._greys(test, c), test) for c in weak_supervision.GREYS)
    shuffled = max(weak_supervision.dice((found.roll(1, 0) > c).float(), test) for c in cuts)
    assert maps > shuffled + 0.2
    assert better > maps + 0.05
    assert better > greys + 0.1


def test_pointing(model: cam.Classifier) -> None:
    """The pointing game, 3 px of tolerance (Zhang et al., 2016): three times chance; an untrained network not."""
    test = weak_supervision.draw(32, seed=2)
    near = torch.nn.functional.max_pool2d(test.masks, 7, 1, 3)
    chance = near[test.labels > 0].mean().item()

    def hits(network: cam.Classifier) -> float:
        maps = cam.over_views(lambda image: cam.grad_cam(network, image, layer="features"), test.image, views="hflip")
        best = maps.flatten(2).argmax(2)
        return near.flatten(2).gather(2, best[..., None])[test.labels > 0].mean().item()

    torch.manual_seed(1)
    untrained = weak_supervision.classifier(test, steps=0, puzzle=False)
    assert hits(model) > 3 * chance
    assert hits(untrained) < 3 * chance


def test_the_command_prints_its_table_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "stages.png"
    monkeypatch.setattr(sys, "argv", ["weak_supervision", "--images", "16", "--steps", "2", "--picture", str(drawn)])
    weak_supervision.main()
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + 7
    assert all(0 <= float(row.split("|")[2]) <= 1 for row in rows[2:])
    picture = cv2.imread(str(drawn))
    assert picture.shape == (4 * (64 * 2 + 4), 5 * (64 * 2 + 4), 3)
    plain, truth = picture[:132, :132], picture[:132, -132:]
    assert np.ptp(plain, axis=2).max() == 0
    assert np.ptp(truth, axis=2).max() > 50
