"""The list of what can be switched on and off: every family of tricks, and nothing that a run would refuse."""

import json
import re
from pathlib import Path

import pytest
from torch import nn
from toy import RECIPE, draw

from segkit import losses, optim
from segkit.data import augment
from segkit.data.mixing import MIXES
from segkit.losses.spec import LOSSES
from segkit.optim import schedules
from segkit.recipe import Config, Run, main, replace
from segkit.recipe.ablations import ABLATIONS, variants
from segkit.recipe.config import flat
from segkit.recipe.variant import with_final_validation
from segkit.recipe.views import views_of
from segkit.training.config import AVERAGING


class Toy(nn.Module):
    """An encoder and a head."""

    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 1, 3)


def rows(out, name):
    return json.loads((out / "ablate" / f"{name}.json").read_text())["rows"]


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_variant_is_a_change_of_settings_that_is_not_the_base(name):
    config = replace(Config(), {"size": 256, "pseudo": Path("labels")})
    found = [(with_final_validation(Run.begin(RECIPE, config), one.changes), one.how) for one in variants(name, config)]
    assert all(a != b for i, a in enumerate(found) for b in found[:i])


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_variant_is_one_that_training_and_prediction_take(name):
    config = replace(Config(), {"size": 256, "pseudo": Path("labels")})
    for one in variants(name, config):
        changed = replace(config, one.changes)
        views_of(changed.predict)
        settings = changed.train
        losses.build(settings.loss)
        augment.build(settings.augment)
        optim.create(
            Toy(), settings.optimizer, lr=settings.lr, weight_decay=0.0, encoder_lr_mult=settings.encoder_lr_mult
        )
        assert 0 <= settings.freeze_epochs < settings.epochs
        assert settings.crop is None or 0 < settings.crop < min(changed.model.size)


def test_every_family_of_tricks_can_be_switched():
    """Every loss, schedule, average, mix, kind of target and of augmentation is in a variant of some ablation."""
    config = replace(Config(), {"size": 256, "pseudo": Path("labels")})
    tried = [flat(replace(config, one.changes)) for name in ABLATIONS for one in variants(name, config)]
    for loss in LOSSES:
        assert any(re.search(rf"\b{loss}\b", one["loss"]) for one in tried), loss
    for field, values in {
        "averaging": AVERAGING, "mix": ("none", *MIXES), "augment": augment.PRESETS,
        "targets": ("soft", "nearest", "nearest-exact"), "schedule": set(schedules.NAMES) - {"swa-cyclic"},
    }.items():  # fmt: skip
        assert set(values) <= {one[field] for one in tried}, field
    default = flat(Config())
    for field in ("crop", "foreground", "overlap", "optimizer", "encoder_lr_mult", "freeze_epochs", "mix_share",
                  "pseudo", "pseudo_share", "lr_floor", "aux_weight", "views", "tta_merge", "size"):  # fmt: skip
        assert any(one[field] != default[field] for one in tried), field


def test_crops_and_merges_are_run(tmp_path):
    """Windows that slide share a training, and so do merges of views."""
    data, out = draw(tmp_path / "data", train=12, test=1), tmp_path / "run"
    flags = ["--data", str(data), "--out", str(out), "--epochs", "1", "--averaging", "none", "--size", "64"]
    assert main(RECIPE, ["ablate", "sliding", "merge", *flags]) == 0
    assert len(list((out / "ablate").glob("*/fold0/model.safetensors"))) == 2
    assert rows(out, "sliding")[0]["variant"] == "overlap 0.0"
    assert len({round(row["score"], 6) for row in rows(out, "merge")}) > 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pseudo-labels"], "name some with --pseudo LABELS"),
        (["encoder", "--epochs", "1"], "needs at least --epochs 2"),
    ],
)
def test_what_an_ablation_wants_is_said_before_anything_is_trained(tmp_path, capsys, words, said):
    data = draw(tmp_path / "data", train=4, test=1)
    assert main(RECIPE, ["ablate", *words, "--data", str(data), "--out", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run" / "ablate").exists()
