"""The whole way from image labels to masks, in little: each step is better than the one before, by a margin."""

from __future__ import annotations

import sys
from collections.abc import Callable
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
    """Where to cut is chosen on images of their own, for what is compared too; the margins are on others."""
    chosen_on, test = weak_supervision.draw(16, seed=3), weak_supervision.draw(16, seed=1)
    told = test.labels > 0
    assert ((model(test.image) > 0) == told).float().mean() > 0.8

    def scored(maps: Callable[[weak_supervision.Shapes], torch.Tensor]) -> float:
        cut = weak_supervision.best_cut(maps(chosen_on), chosen_on)
        return weak_supervision.dice((maps(test) > cut).float(), test)

    def found(shapes: weak_supervision.Shapes) -> torch.Tensor:
        return weak_supervision.shares(model, shapes)

    maps = scored(found)
    better = scored(lambda shapes: weak_supervision.refined(found(shapes), shapes))
    shuffled = scored(lambda shapes: found(shapes).roll(1, 0))
    greys = weak_supervision.dice(weak_supervision._greys(test, weak_supervision.best_grey(chosen_on)), test)
    everything = scored(lambda shapes: shapes.labels[..., None, None].expand(-1, -1, 64, 64))
    assert maps > shuffled + 0.2
    assert maps > everything + 0.2
    assert better > maps + 0.05
    assert better > greys + 0.1


@pytest.mark.parametrize(("method", "images"), [(cam.grad_cam, 32), (cam.score_cam, 16)])
def test_pointing(model: cam.Classifier, method: Callable[..., torch.Tensor], images: int) -> None:
    """The pointing game, 3 px of tolerance (Zhang et al., 2016): three times chance; an untrained network not, nor the
    maps of other images.
    """
    test = weak_supervision.draw(images, seed=2)
    near = torch.nn.functional.max_pool2d(test.masks, 7, 1, 3)
    chance = near[test.labels > 0].mean().item()

    def best(network: cam.Classifier) -> torch.Tensor:
        maps = cam.over_views(lambda image: method(network, image, layer="features"), test.image, views="hflip")
        return maps.flatten(2).argmax(2)

    def hits(places: torch.Tensor) -> float:
        return near.flatten(2).gather(2, places[..., None])[test.labels > 0].mean().item()

    torch.manual_seed(1)
    untrained = weak_supervision.classifier(test, steps=0, puzzle=False)
    pointed = best(model)
    assert hits(pointed) > 3 * chance
    assert hits(best(untrained)) < 3 * chance
    assert np.mean([hits(pointed.roll(k, 0)) for k in (1, 2, 3, 4)]) < 3 * chance


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
