"""One toy competition from averaged weights to the last blend: every trick of a recipe on what the others left."""

import json

import pytest
from toy import CLASSES, RECIPE, draw

from segkit import submission
from segkit.recipe import main

SELECTION = ["--pseudo-confidence", "0.15", "--pseudo-share", "0.5"]


def told(path):
    return json.loads(path.read_text())


def test_every_trick_of_a_recipe(tmp_path, capsys):
    data = draw(tmp_path / "data", train=24, test=4)
    teacher, student, taught = tmp_path / "swa", tmp_path / "soup", tmp_path / "blend"
    common = ["--data", str(data), "--augment", "none", "--trials", "4"]
    line = ["audit", "train", "predict", *common]

    swa = ["--averaging", "swa", "--schedule", "swa", "--epochs", "15", "--validate-every", "15"]
    assert main(RECIPE, [*line, *swa, "--out", str(teacher)]) == 0
    assert "swa_bn" in capsys.readouterr().out  # measured with and without new norms
    soup = ["--averaging", "soup", "--soup-size", "2", "--epochs", "3", "--validate-every", "1", "--lr", "0.003"]
    assert main(RECIPE, [*line, *soup, "--out", str(student)]) == 0
    assert "greedy" in capsys.readouterr().out

    assert main(RECIPE, ["pseudo", "--out", str(student), "--teacher", str(teacher), *SELECTION]) == 0
    lesson = told(student / "pseudo.json")
    assert lesson["rounds"][0]["lead"]["low"] > 0
    assert main(RECIPE, ["predict", "--out", lesson["kept"]]) == 0

    members = ["--members", str(teacher), lesson["kept"]]
    assert main(RECIPE, ["ensemble", "tune", "submit", "report", "--out", str(taught), "--trials", "4", *members]) == 0
    rows = submission.read(taught / "submission.csv")
    assert {tuple(rows[image]) for image in rows} == {CLASSES}
    assert told(taught / "ensemble.json")["scores"]

    short = ["--epochs", "1", "--validate-every", "1"]
    search = ["--loss-epochs", "1", "--loss-trials", "2", "--loss-finalists", "1"]
    assert main(RECIPE, ["tune-loss", *common, *short, *search, "--out", str(tmp_path / "losses")]) == 0
    found = told(tmp_path / "losses" / "tune-loss.json")
    assert (
        main(RECIPE, ["ablate", "averaging", *common, *short, "--loss", found["loss"], "--out", str(tmp_path / "ab")])
        == 0
    )
    table = told(tmp_path / "ab" / "ablate" / "averaging.json")["rows"]
    assert [row["variant"] for row in table] == ["none", "ema", "swa, schedule swa", "soup"]
    assert table[0]["score"] == pytest.approx(table[3]["score"] - table[3]["gain"])
