"""`run.py tune-loss`: short runs that share a start, full-length ones that decide, and a call that goes on."""

import dataclasses
import json

import pandas as pd
import pytest
from toy import RECIPE, TINY, draw

from segkit.recipe import Run, main, parse
from segkit.recipe.stages import tune_loss
from segkit.recipe.stages.folds import ids_of


def flags(root, **more):
    options = {"--data": root / "data", "--out": root / "run", "--epochs": 2, "--loss-epochs": 2, "--loss-trials": 4}
    return [str(word) for pair in (options | more).items() for word in pair]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    root = tmp_path_factory.mktemp("tune-loss")
    draw(root / "data", train=12, test=1)
    assert main(RECIPE, ["tune-loss", *flags(root), "--loss-finalists", "1"]) == 0
    return root


def outcome(root):
    return json.loads((root / "run" / "tune-loss.json").read_text())


def test_it_ends_with_full_runs_against_the_default(done):
    found = outcome(done)
    assert found["default"] == "bce + dice"
    assert len(found["scores"]) == 2
    (candidate,) = found["gains"]
    gain = found["gains"][candidate]
    assert gain["gain"] == pytest.approx(found["scores"][candidate] - found["scores"]["bce + dice"], abs=1e-6)
    assert found["loss"] == "bce + dice"  # three groups held out: no test of theirs is sure
    assert gain["p"] >= 0.25
    assert found["trials"][0]["weights"] == {"bce": 1.0, "dice": 1.0}
    assert all(sum(trial["weights"].values()) == pytest.approx(2, abs=1e-3) for trial in found["trials"])
    assert all(1 <= len(trial["scores"]) <= 2 for trial in found["trials"])


def test_called_again_it_does_nothing_twice_and_more_trials_go_on(done, capsys):
    places = [*(done / "run" / "tune-loss").rglob("model.safetensors")]
    before = {path: path.stat().st_mtime_ns for path in places}
    assert len(before) == 3  # the warm start, the default and one finalist
    first = outcome(done)
    (done / "run" / "tune-loss" / "short-2000000000").mkdir()  # of a process that was killed
    assert main(RECIPE, ["tune-loss", "--out", str(done / "run")]) == 0
    assert outcome(done) == first
    assert {path: path.stat().st_mtime_ns for path in places} == before
    assert "4 short runs of 2 epochs" in capsys.readouterr().out
    assert main(RECIPE, ["tune-loss", "--out", str(done / "run"), "--loss-trials", "5"]) == 0
    assert outcome(done)["trials"][:4] == first["trials"]
    assert len(outcome(done)["trials"]) == 5
    assert not list((done / "run" / "tune-loss").glob("short-*"))


def test_the_groups_that_judge_have_no_part_in_the_search(done):
    run = Run.begin(RECIPE, parse("toy", TINY, ["--out", str(done / "run")])[1])
    inner, groups = tune_loss._inner(run), run.inputs.train.groups
    held_out = {groups[i] for i in ids_of(run, 0, held_out=True)}
    learning, judging = ({groups[i] for i in ids_of(inner, 0, held_out=which)} for which in (False, True))
    assert learning
    assert judging
    assert not learning & judging
    assert not held_out & (learning | judging)
    scores = next((done / "run" / "tune-loss").glob("*/scores/*.csv"))
    assert set(pd.read_csv(scores, index_col=0).index) == set(ids_of(run, 0, held_out=True))


def test_workers_read_what_the_stage_left(done):
    config = parse("toy", TINY, ["--out", str(done / "run")])[1]
    found = tune_loss.objective(RECIPE, config)
    reports = []
    dice = found.fit_fn({"bce": 0.5, "dice": 1.5}, lambda epoch, score: reports.append((epoch, score)))
    assert [epoch for epoch, _ in reports] == [1, 2]
    assert dice == reports[-1][1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"--loss-trials": 0}, "at least 1"),
        ({"--loss": "bce + dixe"}, "did you mean dice"),
        ({"--losses": "dice"}, "two or more different"),
        ({"--losses": "dixe"}, "did you mean dice"),
        ({"--loss-workers": 2}, "cannot be sent to another process"),
        ({"--limit": 2}, "too few to search on"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, options, said):
    draw(tmp_path / "data", train=8, test=1)
    words = ["tune-loss", *flags(tmp_path, **options)]
    recipe = dataclasses.replace(RECIPE, strata=lambda truth: {})
    assert main(recipe, words) == 2
    assert said in capsys.readouterr().err
