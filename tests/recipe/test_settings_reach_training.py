"""What the command line says is what fit() is called with, and what a run folder remembers."""

from dataclasses import replace

import pytest
from toy import RECIPE, draw

from segkit import training
from segkit.data.augment import light
from segkit.recipe import main


@pytest.fixture
def called(tmp_path, monkeypatch):
    """-> a function of options, giving the dataset and the settings of fit()."""
    data = draw(tmp_path / "data", train=4, test=1)

    def ask(*options):
        seen = {}

        def fit(model, train, *, config, **settings):
            seen.update(settings, **vars(config), train=train)
            raise ValueError("enough")

        monkeypatch.setattr(training, "fit", fit)
        assert main(RECIPE, ["audit", "train", "--data", str(data), "--out", str(tmp_path / "run"), *options]) == 2
        return seen

    return ask


def test_augmentation_in_numbers(called, capsys):
    assert called("--augment", "light(clahe=2.0, bend=0.1)")["train"].transform == replace(light(), clahe=2.0, bend=0.1)
    assert called("--augment", "light")["train"].transform == light()
    assert called("--augment", "none")["train"].transform is None
    assert called("--augment", "light(ben=0.1)") == {}
    assert "light has no setting 'ben'; did you mean bend" in capsys.readouterr().err


def test_the_last_rate_and_the_auxiliary_loss(called):
    seen = called("--lr-floor", "0.05", "--aux-weight", "0.2")
    assert (seen["lr_floor"], seen["aux_weight"]) == (0.05, 0.2)
