"""A whole run on a few small images: every stage writes what it says, runs once, and goes on where it was."""

import dataclasses
import json
import shutil

import numpy as np
import openpyxl
import pandas as pd
import pytest
from toy import CLASSES, RECIPE, draw

from segkit import submission
from segkit.postprocess import Pipeline
from segkit.predictions import PredictionStore
from segkit.recipe import main

FILES = (
    "config.json", "audit.json", "folds.csv", "fold0/model.safetensors", "fold0/last.safetensors",
    "fold0/resume.ckpt", "fold0/metrics.jsonl", "oof.zarr", "test.zarr", "curves.npz", "study.journal", "post.json",
    "submission.csv", "flags.csv", "summary.json", "report.html",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One whole run, shared by the tests that only look."""
    root = tmp_path_factory.mktemp("line")
    data, out = draw(root / "data"), root / "run"
    assert main(RECIPE, ["--data", str(data), "--out", str(out)]) == 0
    return data, out


def test_every_file_of_the_run_folder_is_there(run):
    _, out = run
    assert [name for name in FILES if not (out / name).exists()] == []
    assert list((out / "fold0").glob("events.out.tfevents*"))


def test_the_summary_has_every_number(run):
    _, out = run
    summary = json.loads((out / "summary.json").read_text())
    for key in ("score", "score_low", "score_high", "score_tuned", "score_test"):
        assert 0 <= summary[key] <= 1, key
    assert summary["score_low"] <= summary["score"] <= summary["score_high"]
    assert set(summary["per_class"]) == set(CLASSES)
    stages = {"audit", "folds", "train", "predict", "tune", "submit", "report", "total"}
    assert set(summary["seconds"]) == set(summary["peak_rss_mb"]) == stages
    assert set(summary["groups"]["half"]) <= {"big", "small"}


def test_held_out_images_are_predicted_by_the_network_that_did_not_see_them(run):
    _, out = run
    folds = pd.read_csv(out / "folds.csv")
    assert folds.groupby("group")["fold"].nunique().max() == 1
    assert set(PredictionStore.open(out / "oof.zarr").ids) == set(folds.loc[folds["fold"] == 0, "id"])


def test_the_submission_is_what_the_saved_pipeline_makes_of_the_store(run):
    _, out = run
    store, pipeline = PredictionStore.open(out / "test.zarr"), Pipeline.load(out / "post.json")
    sent = submission.read(out / "submission.csv")
    assert sent.ids == store.ids
    for image in store.ids:
        for cls in CLASSES:
            assert sent[image][cls] == pipeline.mask(store.plane(image, cls), store.sizes[image], cls)


def test_a_second_run_does_nothing_again(run, capsys):
    data, out = run
    before = {name: (out / name).stat().st_mtime_ns for name in FILES[3:12] if (out / name).is_file()}
    assert main(RECIPE, ["--data", str(data), "--out", str(out)]) == 0
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert "done before" in capsys.readouterr().out


def test_one_stage_alone_goes_on_with_the_folders_settings(run):
    data, out = run
    assert main(RECIPE, ["tune", "--out", str(out), "--trials", "4"]) == 0
    assert json.loads((out / "tune.json").read_text())["trials"] == 4
    assert json.loads((out / "config.json").read_text())["settings"]["run"]["data"] == str(data)


def test_other_settings_do_not_overwrite_a_training(run, capsys):
    data, out = run
    before = [(out / name).read_bytes() for name in ("fold0/model.safetensors", "config.json", "folds.csv")]
    for stage in ("train", "predict"):
        assert main(RECIPE, [stage, "--data", str(data), "--out", str(out), "--lr", "0.5"]) == 2
        assert "lr 0.01, not 0.5" in capsys.readouterr().err
    assert [(out / n).read_bytes() for n in ("fold0/model.safetensors", "config.json", "folds.csv")] == before
    assert main(RECIPE, ["train", "predict", "--out", str(out)]) == 0


def test_a_training_that_never_began_refuses_nothing(tmp_path, capsys):
    data, out = draw(tmp_path / "data", train=6, test=1), tmp_path / "run"
    flags = ["audit", "train", "--data", str(data), "--out", str(out), "--epochs", "1"]
    assert main(RECIPE, [*flags, "--optimizer", "adamv"]) == 2
    assert "did you mean adam" in capsys.readouterr().err
    assert main(RECIPE, [*flags, "--optimizer", "adam"]) == 0


def test_changed_data_is_not_mixed_with_a_training_and_moved_data_is_the_same(tmp_path, capsys):
    data, out = draw(tmp_path / "data", train=6, test=1), tmp_path / "run"
    flags = ["audit", "train", "--out", str(out), "--epochs", "1"]
    assert main(RECIPE, [*flags, "--data", str(data)]) == 0
    moved = tmp_path / "elsewhere"
    shutil.copytree(data, moved)
    capsys.readouterr()
    assert main(RECIPE, [*flags, "--data", str(moved)]) == 0
    assert "fold 0: done before" in capsys.readouterr().out
    new = moved / "test" / "DCM" / "ID099" / "late.png"
    new.parent.mkdir()
    shutil.copy(next((moved / "test" / "DCM").rglob("*.png")), new)
    assert main(RECIPE, ["predict", *flags, "--data", str(moved)]) == 0  # more test images: the training stands
    assert "fold 0: done before" in capsys.readouterr().out
    assert "late.png" in PredictionStore.open(out / "test.zarr").ids
    changed = next((moved / "train" / "outputs_json").rglob("image1.json"))
    changed.write_text(changed.read_text().replace("[", "[ ", 1))
    assert main(RECIPE, [*flags, "--data", str(moved)]) == 0  # it says the same
    content = json.loads(changed.read_text())
    content["annotations"][0]["points"][0][0] += 1
    changed.write_text(json.dumps(content))
    assert main(RECIPE, [*flags, "--data", str(moved)]) == 2
    assert "was made with other training labels or pixels" in capsys.readouterr().err


def test_several_folds_are_averaged_on_the_test_images(tmp_path):
    data = draw(tmp_path / "data")
    out = tmp_path / "run"
    flags = ["--data", str(data), "--out", str(out), "--epochs", "1", "--averaging", "swa", "--views", "hflip"]
    assert main(RECIPE, [*flags, "--folds", "0", "1"]) == 0
    assert len(PredictionStore.open(out / "oof.zarr")) == 12
    alone = tmp_path / "alone"
    assert main(RECIPE, ["audit", "train", "predict", *flags[:2], "--out", str(alone), *flags[4:], "--folds", "1"]) == 0
    both, one = (PredictionStore.open(folder / "test.zarr") for folder in (out, alone))
    assert any(not np.array_equal(both[i], one[i]) for i in one.ids)


def test_a_network_of_crops_slides_over_whole_images(tmp_path, capsys):
    data, out = draw(tmp_path / "data", train=6, test=1), tmp_path / "run"
    flags = ["audit", "train", "predict", "--data", str(data), "--out", str(out), "--epochs", "1", "--size", "64"]
    assert main(RECIPE, [*flags, "--crop", "128"]) == 2
    assert "does not lie inside images of (64, 64)" in capsys.readouterr().err
    assert main(RECIPE, [*flags, "--views", "hflp"]) == 2
    assert "did you mean hflip" in capsys.readouterr().err
    assert not (out / "fold0").exists()
    assert main(RECIPE, [*flags, "--crop", "32", "--overlap", "0.25", "--views", "hflip, scale(1.5)"]) == 0
    assert PredictionStore.open(out / "test.zarr").grid == (64, 64)


@pytest.mark.parametrize("averaging", ["soup", "swa"])
def test_the_weights_that_averaging_chose_are_said(tmp_path, capsys, averaging):
    data, out = draw(tmp_path / "data", train=6, test=1), tmp_path / "run"
    flags = ["--averaging", averaging, "--schedule", "swa", "--optimizer", "lion", "--encoder-lr-mult", "0.5"]
    flags += ["--freeze-epochs", "1", "--data", str(data), "--out", str(out)]
    assert main(RECIPE, ["audit", "train", "predict", *flags]) == 0
    assert "are kept" in capsys.readouterr().out
    found = json.loads((out / "fold0" / "averaging.json").read_text())
    assert found["kept"] in found["scores"]
    assert any(name.endswith("_bn") for name in found["scores"])


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [("predict", "folds"), ("tune", "folds"), ("submit", "folds"), ("report", "folds")],
)
def test_a_stage_says_which_one_comes_before_it(tmp_path, capsys, stage, wanted):
    data = draw(tmp_path / "data", train=4, test=1)
    flags = ["--data", str(data), "--out", str(tmp_path / "run")]
    assert main(RECIPE, [stage, *flags]) == 2
    assert "run the stage audit first" in capsys.readouterr().err
    assert main(RECIPE, ["audit", *flags]) == 0
    assert main(RECIPE, [stage, "--data", str(data), "--out", str(tmp_path / "run")]) == 2
    assert f"run the stage {wanted} first" in capsys.readouterr().err


def test_a_broken_image_is_named_and_left_out_of_training(tmp_path, capsys):
    data = draw(tmp_path / "data", train=6, test=1)
    next((data / "train" / "DCM").rglob("image3.png")).write_bytes(b"not a picture")
    next((data / "train" / "outputs_json").rglob("image4.json")).write_text("{")
    assert main(RECIPE, ["audit", "train", "--data", str(data), "--out", str(tmp_path / "run"), "--epochs", "1"]) == 0
    said = capsys.readouterr().out
    assert "image3.png" in said
    assert "image4.json" in said
    assert len(pd.read_csv(tmp_path / "run" / "folds.csv")) == 4


def test_limit_keeps_whole_groups(tmp_path):
    data = draw(tmp_path / "data")
    flags = ["--data", str(data), "--out", str(tmp_path / "run"), "--limit", "4", "--epochs", "1"]
    assert main(RECIPE, ["audit", "train", *flags]) == 0
    folds = pd.read_csv(tmp_path / "run" / "folds.csv")
    assert folds["group"].tolist() == ["ID000", "ID000", "ID001", "ID001"]


def test_of_few_groups_the_folds_that_there_are_are_trained(tmp_path, capsys):
    data = draw(tmp_path / "data")
    flags = ["--data", str(data), "--epochs", "1", "--folds", "0", "1", "2", "--n-folds", "3"]
    assert main(RECIPE, [*flags, "--out", str(tmp_path / "few"), "--limit", "4"]) == 0
    assert not (tmp_path / "few" / "fold2").exists()
    assert "dice" in capsys.readouterr().out
    assert main(RECIPE, ["audit", "train", *flags[:-2], "--n-folds", "2", "--out", str(tmp_path / "all")]) == 2
    assert "expected folds from 0 to 1" in capsys.readouterr().err


def test_folds_are_stratified_by_groups_and_by_the_sheet(tmp_path, capsys):
    data = draw(tmp_path / "data")
    sheet = openpyxl.Workbook()
    sheet.active.title = "ID"
    sheet.active.append(["ID", "나이", "성별", "체중(몸무게)", "키(신장)"])
    for number in range(6):
        sheet.active.append([number, 20 + number, " 남" if number % 2 else "여", 60, 170])
    sheet.save(data / "meta_data.xlsx")
    flags = ["audit", "train", "--data", str(data), "--epochs", "1", "--out", str(tmp_path / "run"), "--stratify"]
    assert main(RECIPE, [*flags, "sx"]) == 2
    assert "did you mean sex" in capsys.readouterr().err
    assert main(RECIPE, [*flags, "half", "sex"]) == 0


def test_no_data_and_no_default_is_one_clear_line(tmp_path, capsys):
    assert main(dataclasses.replace(RECIPE), ["--out", str(tmp_path)]) == 2
    assert "--data DIR" in capsys.readouterr().err
