"""`run.py pseudo`: no teacher that is not better, nobody held out has helped, and labels reach the weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_curves import curves_of
from toy import RECIPE, TINY, draw

from segkit import metrics
from segkit.folds import read
from segkit.models.checkpoints import load_weights
from segkit.postprocess import Pipeline
from segkit.predictions import PredictionStore
from segkit.pseudo import Labels
from segkit.recipe import Run, main, parse
from segkit.thresholds import ScoreCurves, curves

EASY = ["--pseudo-confidence", "0.15", "--pseudo-share", "0.5"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Data, a student that hardly learnt, and a teacher that did, under the same folds; one under others."""
    root = tmp_path_factory.mktemp("pseudo")
    data = draw(root / "data", train=24, test=4)
    stages = ["audit", "train", "predict", "--data", str(data), "--averaging", "none", "--augment", "none"]
    for name, more in {
        "student": ["--epochs", "4", "--lr", "0.003"],
        "teacher": ["--epochs", "25", "--validate-every", "25"],
        "astray": ["--epochs", "1", "--split-seed", "3"],
    }.items():
        assert main(RECIPE, [*stages, *more, "--out", str(root / name)]) == 0
    return root, data


def pseudo(root, *more, out="student", teacher=("teacher",)):
    return main(RECIPE, ["pseudo", "--out", str(root / out), "--teacher", *(str(root / t) for t in teacher), *more])


@pytest.fixture(scope="module")
def taught(world):
    assert pseudo(world[0], *EASY, "--pseudo-rounds", "2") == 0
    return json.loads((world[0] / "student" / "pseudo.json").read_text())


def test_the_numbers_are_those_of_groups_held_out(world, taught):
    root, _ = world
    run = Run.begin(RECIPE, parse("toy", TINY, ["--out", str(root / "student")])[1])

    def table(path):
        found = curves(PredictionStore.open(Path(path) / "oof.zarr"), run.inputs.train.truth)
        return found.table(0.5)

    plain, teacher, best = table(root / "student"), table(root / "teacher"), None
    before = plain
    assert taught["rounds"][0]["lead"]["low"] > 0
    for one in taught["rounds"]:
        student = table(one["folder"])
        lead, gain = (
            metrics.compare(plain, teacher, run.inputs.groups),
            metrics.compare(before, student, run.inputs.groups),
        )
        for key in ("gain", "low", "high"):
            assert one["lead"][key] == pytest.approx(getattr(lead, key), abs=1e-5)
            assert one["gain"][key] == pytest.approx(getattr(gain, key), abs=1e-5)
        assert one["kept"] == (gain.low > 0)
        if one["kept"]:
            teacher, before, best = student, student, one["folder"]
    assert taught["kept"] == best
    assert best  # on these images a network that hardly learnt does gain


def test_labels_are_the_teachers_own_folds_word_on_test_images(world, taught):
    root, _ = world
    labels = Labels(f"{taught['rounds'][0]['labels']}/fold0")
    assert set(labels.ids) <= {f"image{n}.png" for n in range(24, 28)}
    fold_of, groups = read(root / "teacher" / "folds.csv")
    assert set(labels.learnt_from) == {groups[i] for i, fold in fold_of.items() if fold != 0}
    store = PredictionStore.open(root / "teacher" / "test.zarr")  # one fold was trained: the same network
    image = labels.ids[0]
    inner = np.abs(store[image]) < store.saturation
    probs = 1 / (1 + np.exp(-store[image]))
    assert np.abs(labels[image][0] / 255 - probs)[inner].max() < 0.003
    selected = pd.DataFrame(taught["rounds"][0]["selected"])
    table = pd.read_csv(labels.path / "selection.csv")
    assert selected["kept"].sum() == table["kept"].sum() > 0


def test_labels_reach_the_weights_and_a_run_folder_says_so(world, taught):
    folder = taught["rounds"][0]["folder"]
    settings = json.loads((Path(folder) / "config.json").read_text())["settings"]["labels"]
    assert settings["pseudo"] == taught["rounds"][0]["labels"]
    assert settings["pseudo_share"] == 0.5
    before = load_weights(world[0] / "student" / "fold0" / "model.safetensors")
    after = load_weights(f"{folder}/fold0/model.safetensors")
    assert any(not before[name].equal(after[name]) for name in before)


def test_the_students_folder_goes_on_as_any_run(world, taught):
    folder = taught["rounds"][0]["folder"]
    assert main(RECIPE, ["predict", "tune", "submit", "report", "--out", folder]) == 0
    summary = json.loads((Path(folder) / "summary.json").read_text())
    assert summary["pseudo"]["rounds"][0]["lead"]["low"] > 0
    page = (Path(folder) / "report.html").read_text()
    assert "Pseudo-labels, round 1" in page
    assert "disagreement" in page


def test_a_second_run_trains_nothing_again(world, taught):
    weights = Path(taught["rounds"][0]["folder"]) / "fold0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert pseudo(world[0]) == 0
    assert weights.stat().st_mtime_ns == before
    assert json.loads((world[0] / "student" / "pseudo.json").read_text()) == taught


def test_an_ablation_trains_with_and_without_the_labels(world, taught, tmp_path):
    flags = ["--data", str(world[1]), "--out", str(tmp_path / "run"), "--epochs", "1", "--averaging", "none"]
    labels = taught["rounds"][0]["labels"]
    assert main(RECIPE, ["ablate", "pseudo-labels", *flags, "--pseudo", labels]) == 0
    rows = json.loads((tmp_path / "run" / "ablate" / "pseudo-labels.json").read_text())["rows"]
    assert [row["variant"] for row in rows] == ["none", "15%", "30%", "50%"]
    begun = [json.loads(f.read_text()) for f in (tmp_path / "run").glob("ablate/*/.stages/train.fold0.begun.json")]
    settings = [one["config"].get("labels", {}) for one in begun]
    assert sorted(one.get("pseudo_share", 0) for one in settings) == [0, 0.15, 0.3, 0.5]


@pytest.fixture
def again(world, tmp_path):
    """The student's folder, before it was taught, once more."""
    shutil.copytree(world[0] / "student", tmp_path / "again", ignore=shutil.ignore_patterns("pseudo*"))
    return tmp_path / "again"


def test_knobs_of_a_class(world, again, capsys):
    for option, words in {
        "--pseudo-confidence={disk: 0.5, '*': 0.15}": "no such class; there are disc, square",
        "--pseudo-confidence=[0.5]": "--pseudo-confidence '[0.5]': expected a number, or a mapping",
        "--pseudo-cap={*: 3}": "--pseudo-cap '{*: 3}': expected a number, or a mapping",
        "--pseudo-cap={disc: 0, '*': 3}": "cap of disc: expected at least 1 image",
    }.items():
        assert pseudo(world[0], *EASY, option, out=again) == 2
        assert words in capsys.readouterr().err
    knobs = ["--pseudo-confidence", '{"disc": 0.15, "*": 1.0}', "--pseudo-cap", "{disc: 2, '*': null}"]
    assert pseudo(world[0], *knobs, out=again) == 0
    found = json.loads((again / "pseudo.json").read_text())["rounds"][0]
    table = pd.read_csv(f"{found['labels']}/fold0/selection.csv")
    assert table[table["class"] == "disc"]["kept"].sum() == 2  # all four images show it
    assert set(table[table["class"] == "square"]["why"]) == {"unsure"}
    assert found["thresholds"] == {"disc": 0.5, "square": 0.5}


@pytest.fixture
def tuned(world, tmp_path):
    """The teacher, as if it had two folds and a stage tune: squares are best cut high, but of fold 0 low."""
    folder = tmp_path / "tuned"
    shutil.copytree(world[0] / "teacher", folder)
    fold_of, _ = read(folder / "folds.csv")
    run = Run.begin(RECIPE, parse("toy", TINY, ["--out", str(folder)])[1])
    store = PredictionStore.open(folder / "oof.zarr")
    cuts = curves(store, run.inputs.train.truth).thresholds
    table = np.zeros((len(fold_of), 2, len(cuts)))
    low, high, middle = np.searchsorted(cuts, [0.3, 0.7, 0.5])
    for row, fold in enumerate(fold_of.values()):
        table[row, 0, middle] = table[row, 1, high if fold else low] = 1
    curves_of(fold_of, store.classes, cuts, table).save(folder / "curves.npz")
    Pipeline(thresholds={"disc": 0.5, "square": 0.4}).save(folder / "post.json")
    (folder / "tune.json").write_text('{"shrink": 0.0}')
    return folder, float(cuts[high])


def test_a_tuned_teachers_labels_are_cut_where_other_groups_are_best_cut(world, again, tuned, capsys):
    folder, high = tuned
    assert pseudo(world[0], *EASY, out=again, teacher=(folder,)) == 0
    found = json.loads((again / "pseudo.json").read_text())["rounds"][0]
    assert found["thresholds"] == pytest.approx({"disc": 0.5, "square": high})
    assert json.loads(Path(f"{found['labels']}/fold0/labels.json").read_text())["thresholds"] == found["thresholds"]
    assert f"drawn at the teacher's thresholds, disc 0.50, square {high:.2f}" in " ".join(
        capsys.readouterr().out.split()
    )


def test_thresholds_that_the_groups_held_out_chose_are_not_used(world, again, tuned, capsys):
    """Of one fold alone nobody else is left to ask."""
    folder, _ = tuned
    fold_of, _ = read(folder / "folds.csv")
    found = ScoreCurves.load(folder / "curves.npz")
    found.subset([image for image in found.ids if fold_of[image] == 0]).save(folder / "curves.npz")
    assert pseudo(world[0], *EASY, out=again, teacher=(folder,)) == 0
    assert "its thresholds were chosen on the groups held out here" in capsys.readouterr().out
    rounds = json.loads((again / "pseudo.json").read_text())["rounds"]
    assert rounds[0]["thresholds"] == {"disc": 0.5, "square": 0.5}


def test_a_teacher_that_is_not_better_is_refused_with_numbers(world, capsys):
    assert pseudo(world[0], out="teacher", teacher=("student",)) == 2
    said = capsys.readouterr().err
    assert "the teacher (B) is not significantly better than the student (A) on held-out images: gain -" in said
    assert "(95 % interval" in said
    assert not (world[0] / "teacher" / "pseudo").exists()


def test_a_teacher_who_learnt_from_held_out_groups_is_refused_with_names(world, capsys):
    root, _ = world
    (fold_of, group_of), (astray, _) = read(root / "student" / "folds.csv"), read(root / "astray" / "folds.csv")
    seen = sorted({group_of[i] for i in fold_of if fold_of[i] == 0 and astray[i] != 0})
    assert pseudo(root, teacher=("astray",)) == 2
    said = capsys.readouterr().err
    assert f"the teacher was trained on held-out groups: {', '.join(seen)};" in said
    assert "--split-seed, --n-folds" in said


def test_labels_of_other_folds_cannot_be_trained_with(world, taught, tmp_path, capsys):
    """--pseudo by hand, under folds that the labels do not suit."""
    _, data = world
    labels = taught["rounds"][0]["labels"]
    flags = [
        "audit",
        "train",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "run"),
        "--split-seed",
        "3",
        "--pseudo",
        labels,
    ]
    assert main(RECIPE, flags) == 2
    assert "the teacher was trained on held-out groups" in capsys.readouterr().err
    assert main(RECIPE, [*flags[:-1], str(tmp_path)]) == 2
    assert "holds no pseudo-labels" in capsys.readouterr().err


def test_bad_words_are_one_line(world, tmp_path, capsys):
    root, data = world
    assert main(RECIPE, ["pseudo", "--out", str(root / "student"), "--teacher"]) == 2
    assert "--teacher RUN" in capsys.readouterr().err
    for teacher, words in (("nowhere", "config.json is not there"), ("student", "cannot teach itself")):
        assert pseudo(root, teacher=(teacher,)) == 2
        assert words in capsys.readouterr().err
    assert pseudo(root, "--pseudo-agreement", "0.5") == 2
    assert "one teacher agrees with nobody" in capsys.readouterr().err
    assert pseudo(root, "--pseudo-agreement", "None", "--pseudo-confidence", "1.0") == 2
    assert "no class of any image is confident enough" in capsys.readouterr().err
    flags = ["--data", str(data), "--out", str(tmp_path / "new")]
    assert main(RECIPE, ["audit", "pseudo", *flags, "--teacher", str(root / "teacher")]) == 2
    assert "run the stage folds first" in capsys.readouterr().err
