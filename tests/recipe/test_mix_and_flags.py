"""The toy's last stages over made-up stores: the test images' mix, and masks unlike the training truth."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from toy import RECIPE, TINY, draw

from segkit import metrics
from segkit.files import write_json
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.postprocess import flags
from segkit.recipe import Run, main, parse
from segkit.recipe.stage import execute
from segkit.recipe.stages import predict
from segkit.recipe.stages.submit import read_flags, unusual
from segkit.recipe.stages.train import fold_stage
from segkit.rle import Runs


@pytest.fixture
def ran(tmp_path):
    """A run folder after predict: the stores hold what a good network would say; one test image is all foreground."""
    data, out = draw(tmp_path / "data", train=20, test=5), tmp_path / "run"
    assert main(RECIPE, ["audit", "folds", "--data", str(data), "--out", str(out), "--trials", "3"]) == 0
    run = begun(data, out)
    rng = np.random.default_rng(0)

    def train(scoped):
        (out / "fold0").mkdir()
        write_json(out / "fold0" / "image.json", {})
        (out / "fold0" / "model.safetensors").touch()
        (out / "fold0" / "metrics.jsonl").write_text(
            '{"epoch": 1, "loss": 0.5, "lr": 0.1, "seconds": 1, "val_dice": 0.9}\n'
        )

    def predict_by_truth(scoped):
        name, samples = (
            ("oof", scoped.inputs.train) if scoped.scope.name == "predict.oof" else ("test", run.inputs.test)
        )
        store = predict.new_store(scoped, out / f"{name}.zarr", samples)
        for image in samples.ids:
            masks = [samples.truth[image][c].with_shape(samples.sizes[image]) for c in samples.classes]
            cover = [resize.coverage(mask.mask(), store.grid) for mask in masks]
            logits = 6 * np.stack(cover) - 3 + rng.normal(0, 0.3, (2, *store.grid))
            store[image] = np.full_like(logits, 3.0) if image == samples.ids[0] and name == "test" else logits

    for stage, work in ((fold_stage(run, 0), train), (predict.OOF, predict_by_truth), (predict.TEST, predict_by_truth)):
        assert execute(dataclasses.replace(stage, work=work), run)
    return data, out


def begun(data, out):
    """The run as its folder has it."""
    return Run.begin(RECIPE, parse("toy", TINY, ["--data", str(data), "--out", str(out), "--trials", "3"])[1])


def run(data, out, *stages, recipe=RECIPE):
    return main(recipe, [*stages, "--data", str(data), "--out", str(out), "--trials", "3"])


def test_the_score_at_the_test_images_mix_and_unusual_masks_are_told(ran, capsys):
    data, out = ran
    assert run(data, out, "tune", "submit", "report") == 0
    printed = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    found = summary["score_at_test_mix"]["half"]
    assert found["source"] == "test truth"
    assert sum(found["mix"].values()) == pytest.approx(1)
    table = pd.read_csv(out / "oof_scores.csv", index_col=0)
    inputs = begun(data, out).inputs
    half = {i: inputs.strata["half"][i] for i in table.index}
    parts = {name: table[[half[i] == name for i in table.index]] for name in ("big", "small")}
    wanted = sum(found["mix"].get(name, 0) * metrics.score(part) for name, part in parts.items())
    assert found["score"] == pytest.approx(wanted)
    assert found["score_low"] <= found["score"] <= found["score_high"]
    assert found["groups"] == {name: len({inputs.groups[i] for i in part.index}) for name, part in parts.items()}
    assert "held-out score at the test images' half (big" in printed
    page = (out / "report.html").read_text()
    assert "At the test&#39;s half" in page
    flagged = read_flags(out / "flags.csv")
    assert {(f.image, f.cls, f.kind, f.value) for f in flagged} >= {("image20.png", "square", "area", 1)}
    assert summary["flags"] == len(flagged)
    assert f"{len(flagged)} findings of unusual area or place against the training truth, in " in printed
    assert "Unusual masks" in page
    assert run(data, out, "submit") == 0
    assert "(as before)" in capsys.readouterr().out


def test_an_image_is_judged_by_those_of_its_kind():
    """All training squares at the left are large, at the right small: a large one at the right is unusual there."""
    square = {n: np.zeros((64, 64), bool) for n in range(41)}
    for n, mask in square.items():
        large, right = n % 2 == 0 or n == 40, n % 2 or n == 40
        x = (36 if right else 4) + n % 3
        mask[8 : 28 if large else 14, x : x + (20 if large else 6)] = True
    rows = {f"i{n}": {"square": Runs.from_mask(mask)} for n, mask in square.items()}

    def strata(masks):
        return {"side": {i: "right" if masks[i]["square"].mask()[:, 32:].any() else "left" for i in masks.ids}}

    def masks(ids):
        return MaskSet(ids, ("square",), lambda i, c: rows[i][c], sizes=dict.fromkeys(ids, (64, 64)))

    def world(ids):
        truth = masks(ids)
        inputs = SimpleNamespace(train=SimpleNamespace(truth=truth), train_strata=strata(truth))
        return SimpleNamespace(recipe=dataclasses.replace(RECIPE, strata=strata), inputs=inputs), truth

    odd = [f"i{n}" for n in range(36, 41)]
    run, truth = world([f"i{n}" for n in range(36)])
    found = unusual(run, masks(odd))
    assert ("i40", "area") in {(flag.image, flag.kind) for flag in found}
    assert {flag.image for flag in found} == {"i40"}
    assert not [flag for flag in flags(masks(odd), truth) if flag.kind == "area"]  # among all it is nothing new
    run, truth = world([f"i{n}" for n in range(0, 36, 2)] + ["i1"])  # one small square: too few to be a reference
    assert unusual(run, masks(["i3"])) == flags(masks(["i3"]), truth) != []


def test_without_test_truth_the_submission_says_which_images_are_which(ran):
    data, out = ran
    (data / "test_truth.csv").unlink()
    assert run(data, out, "audit", "tune", "submit", "report") == 0
    found = json.loads((out / "summary.json").read_text())["score_at_test_mix"]["half"]
    assert found["source"] == "submission"
    assert 0 < found["score"] < 1


def test_a_kind_of_test_image_that_nobody_held_out_shows_has_no_score(ran, capsys):
    data, out = ran
    test_ids = begun(data, out).inputs.test.ids

    def strata(truth):
        return {"half": {i: "new" if i in test_ids else "old" for i in truth.ids}}

    assert run(data, out, "tune", "submit", "report", recipe=dataclasses.replace(RECIPE, strata=strata)) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["score_at_test_mix"]["half"]["score"] is None
    assert summary["score_at_test_mix"]["half"]["lacking"] == ["new"]
    assert "half of the test images: new 100%; no held-out image is new" in capsys.readouterr().out
    assert any("no held-out image is new" in note for note in summary["notes"])
