"""`run.py ablate`: variants that share what they can, a table that says what is sure, and a run that goes on."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from toy import RECIPE, TINY, draw

from segkit.recipe import Config, Run, main, parse, replace
from segkit.recipe.ablations import ABLATIONS
from segkit.recipe.stage import execute
from segkit.recipe.stages.ablate import markdown, rows
from segkit.recipe.stages.folds import FOLDS
from segkit.recipe.variant import VariantScore, with_final_validation

SOME = {"targets": ["nearest", "soft"], "tuning": list(ABLATIONS["tuning"]), "tta": ["none", "hflip"]}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One ablation of each kind: other trainings, other choices, other predictions; some of their variants."""
    with pytest.MonkeyPatch.context() as patch:
        for name, kept in SOME.items():
            patch.setitem(ABLATIONS, name, {variant: ABLATIONS[name][variant] for variant in kept})
        yield ablated(tmp_path_factory.mktemp("ablate"))


def ablated(root):
    data, out = draw(root / "data", train=12, test=1), root / "run"
    flags = ["--data", str(data), "--out", str(out), "--epochs", "1", "--averaging", "none", "--seeds", "0", "1"]
    assert main(RECIPE, ["ablate", *SOME, *flags]) == 0
    return out, flags


def table(out, name):
    return json.loads((out / "ablate" / f"{name}.json").read_text())["rows"]


def trainings(out):
    return sorted((out / "ablate").glob("*/fold0/model.safetensors"))


def test_each_ablation_leaves_three_tables_that_agree(done):
    out, _ = done
    for name in SOME:
        found = table(out, name)
        assert [row["variant"] for row in found] == SOME[name]
        assert found[0]["verdict"] == "base"
        flat = pd.read_csv(out / "ablate" / f"{name}.csv")
        assert flat["score"].tolist() == pytest.approx([row["score"] for row in found], abs=1e-5)
        text = (out / "ablate" / f"{name}.md").read_text()
        assert all(f"| {row['variant']} | {row['score']:.4f} |" in text for row in found)
        for row in found[1:]:
            assert row["gain"] == pytest.approx(row["score"] - found[0]["score"])
            assert row["gain"] == pytest.approx(np.mean(row["seed_gains"]))
            assert row["low"] <= row["gain"] <= row["high"]
            assert row["memory_mb"] > 1


def test_variants_that_differ_at_prediction_share_a_training(done):
    out, _ = done
    assert len(trainings(out)) == 4  # two targets and two seeds: views and choices come of the soft ones
    soft = table(out, "targets")[1]["score"]
    assert table(out, "tta")[0]["score"] == pytest.approx(soft)
    assert table(out, "tuning")[0]["score"] == pytest.approx(soft)
    assert table(out, "tta")[1]["score"] != pytest.approx(soft)


def test_a_second_run_trains_nothing_and_a_lost_part_is_made_again(done):
    out, _ = done
    before = {path: path.stat().st_mtime_ns for path in trainings(out)}
    tables = {name: table(out, name) for name in ("targets", "tuning")}
    (out / "ablate" / "tuning.json").unlink()
    lost = next((out / "ablate").glob("*/scores/*.csv"))
    lost.unlink()
    assert main(RECIPE, ["ablate", "targets", "tuning", "--out", str(out)]) == 0
    assert {path: path.stat().st_mtime_ns for path in trainings(out)} == before
    for name, old in tables.items():
        for now, then in zip(table(out, name), old):
            assert {k: v for k, v in now.items() if k != "predict_seconds"} == {
                k: v for k, v in then.items() if k != "predict_seconds"
            }


def test_folds_are_the_runs_own_whatever_the_seed(done):
    out, flags = done
    assert not execute(FOLDS, Run.begin(RECIPE, parse("toy", TINY, flags)[1]))
    ids = set(pd.read_csv(out / "folds.csv").query("fold == 0")["id"])
    for csv in (out / "ablate").glob("*/scores/*.csv"):
        assert set(pd.read_csv(csv, index_col=0).index) == ids


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ablate"], "known: losses, overlap-losses"),
        (["ablate", "lossses"], "did you mean losses"),
        (["ablate", "tta", "--seeds", "1", "1"], "different seeds"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_trained(tmp_path, capsys, words, said):
    data = draw(tmp_path / "data", train=4, test=1)
    assert main(RECIPE, [*words, "--data", str(data), "--out", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run" / "ablate").exists()


def test_words_after_ablate_are_what_it_switches(tmp_path):
    stages, config = parse("toy", TINY, ["audit", "ablate", "tta", "losses", "--out", str(tmp_path), "--seeds", "3"])
    assert stages == ["audit", "ablate"]
    assert (config.ablate.ablations, config.ablate.seeds) == (("tta", "losses"), (3,))
    stages, config = parse("toy", TINY, ["ablate", "tta", "report", "--out", str(tmp_path)])
    assert stages == ["report", "ablate"]
    assert config.ablate.ablations == ("tta",)
    assert parse("toy", TINY, ["--out", str(tmp_path)])[0] == [
        "audit",
        "folds",
        "train",
        "predict",
        "tune",
        "submit",
        "report",
    ]


def test_no_epoch_is_chosen_on_the_groups_that_judge_but_in_a_soup(tmp_path):
    run = Run.begin(RECIPE, replace(Config(), {"out": tmp_path, "epochs": 40, "validate_every": 2}))
    assert with_final_validation(run, {"averaging": "ema"})["validate_every"] == 40
    assert with_final_validation(run, {"averaging": "soup"})["validate_every"] == 2
    assert with_final_validation(run, {"averaging": "soup", "epochs": 10})["validate_every"] == 1


class World:
    """Six groups with an image each; "b" is absent from half of them."""

    def __init__(self):
        self.ids = [f"i{n}" for n in range(6)]
        truth = {i: {"a": True, "b": n % 2 == 0} for n, i in enumerate(self.ids)}
        self.train = SimpleNamespace(groups={i: i for i in self.ids}, truth=truth)
        self.inputs = SimpleNamespace(train=self.train)

    def scored(self, gain):
        values = np.full((6, 2), 0.5) + np.linspace(0, 0.1, 6)[:, None]
        frame = pd.DataFrame(values, index=self.ids, columns=["a", "b"])
        frame["a"] += gain
        return VariantScore(frame, 10.0, 1.0, 100.0)


def test_a_gain_is_sure_only_where_all_seeds_agree():
    world = World()
    found = rows(world, {
        "off": [world.scored(0.0), world.scored(0.0)],
        "on": [world.scored(0.2), world.scored(0.1)],
        "moody": [world.scored(0.3), world.scored(-0.1)],
        "bad": [world.scored(-0.2), world.scored(-0.1)],
    })  # fmt: skip
    assert [row["verdict"] for row in found] == ["base", "gain", "unclear", "loss"]
    assert found[1]["gain"] == pytest.approx(0.075)  # half of the classes, the mean of .2 and .1
    assert found[1]["seed_gains"] == pytest.approx([0.1, 0.05])
    assert "| on | 0.6250 | +0.0750 (+0.0750 to +0.0750) | +0.1000 +0.0500 |" in markdown("trick", found)


def test_of_five_groups_the_test_is_not_sure():
    world = World()
    world.train.groups["i5"] = "i4"
    found = rows(world, {"off": [world.scored(0.0)], "on": [world.scored(0.2)]})
    assert found[1]["low"] > 0
    assert found[1]["p"] == pytest.approx(2 / 2**5)
    assert found[1]["verdict"] == "unclear"


def test_of_one_group_nothing_is_sure():
    world = World()
    world.train.groups = dict.fromkeys(world.ids, "one")
    found = rows(world, {"off": [world.scored(0.0)], "on": [world.scored(0.2)]})
    assert found[1]["verdict"] == "unclear"
    assert "no interval" in markdown("trick", found)
