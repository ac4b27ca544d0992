"""The toy's last stages over made-up stores: the test images' mix, and masks unlike the training truth."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from test_line import RECIPE, draw

from segkit import metrics
from segkit.files import write_json
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.postprocess import flags
from segkit.predictions import PredictionStore
from segkit.recipe import Config, main
from segkit.recipe.line import Line
from segkit.recipe.submit import read_flags, unusual
from segkit.rle import Runs
from segkit.samples import Truth, index


@pytest.fixture
def ran(tmp_path):
    """A run folder after predict: the stores hold what a good network would say; one test image is all bone."""
    data, out = draw(tmp_path / "data", train=20, test=5), tmp_path / "run"
    assert main(RECIPE, ["audit", "--data", str(data), "--out", str(out), "--folds", "0", "--trials", "3"]) == 0
    line = Line(RECIPE, Config(data=data, out=out))
    truth, test = line.truth, Truth.open(data / "test_truth.csv")
    rows = "".join(f"{item.id},{item.person},0\n" for item in line.train_items)
    (out / "folds.csv").write_text("id,group,fold\n" + rows)
    (out / "fold0").mkdir()
    (out / "fold0" / "metrics.jsonl").write_text(
        '{"epoch": 1, "loss": 0.5, "lr": 0.1, "seconds": 1, "val_dice": 0.9}\n'
    )
    rng = np.random.default_rng(0)
    sizes = {item.id: (120, 100 + 10 * (int(item.id[5:-4]) % 3)) for item in index(data, "test")}
    for name, masks, known in (("oof", truth, truth.sizes), ("test", test, sizes)):
        store = PredictionStore.create(
            out / f"{name}.zarr", ids=masks.ids, classes=line.classes, sizes=known, grid=(48, 48)
        )
        for image in masks.ids:
            cover = [resize.coverage(masks[image][c].with_shape(known[image]).mask(), (48, 48)) for c in line.classes]
            logits = 6 * np.stack(cover) - 3 + rng.normal(0, 0.3, (2, 48, 48))
            store[image] = np.full_like(logits, 3.0) if image == masks.ids[0] and name == "test" else logits
        write_json(out / ".stages" / f"predict.{name}.json", {"key": name, "seconds": 1, "peak_rss_mb": 1})
    return data, out


def run(data, out, *stages, recipe=RECIPE):
    return main(recipe, [*stages, "--data", str(data), "--out", str(out), "--trials", "3"])


def test_the_score_at_the_test_images_mix_and_unusual_masks_are_told(ran, capsys):
    data, out = ran
    assert run(data, out, "tune", "submit", "report") == 0
    printed = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    found = summary["dice_at_test_mix"]["half"]
    assert found["source"] == "test truth"
    assert sum(found["mix"].values()) == pytest.approx(1)
    table = pd.read_csv(out / "oof_dice.csv", index_col=0)
    line = Line(RECIPE, Config(data=data, out=out))
    half = {i: line.strata["half"][i] for i in table.index}
    parts = {name: table[[half[i] == name for i in table.index]] for name in ("big", "small")}
    wanted = sum(found["mix"].get(name, 0) * metrics.score(part) for name, part in parts.items())
    assert found["dice"] == pytest.approx(wanted)
    assert found["dice_low"] <= found["dice"] <= found["dice_high"]
    assert found["persons"] == {name: len({line.persons[i] for i in part.index}) for name, part in parts.items()}
    assert "held-out Dice at the test images' half (big" in printed
    page = (out / "report.html").read_text()
    assert "At the test&#39;s half" in page
    flagged = read_flags(out / "flags.csv")
    assert {(f.image, f.cls, f.kind, f.value) for f in flagged} >= {("image20.png", "square", "area", 1)}
    assert summary["flags"] == len(flagged)
    assert f"{len(flagged)} findings of unusual area or place against the training truth, in " in printed
    assert "Unusual masks" in page
    assert run(data, out, "submit") == 0
    assert "(as before)" in capsys.readouterr().out


def test_an_image_is_judged_by_those_of_its_kind(ran):
    """All training squares at the left are large, at the right small: a large one at the right is unusual there."""
    data, out = ran
    line = Line(RECIPE, Config(data=data, out=out))
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

    line.recipe = dataclasses.replace(RECIPE, strata=strata)
    line.truth, line.test_truth = masks([f"i{n}" for n in range(36)]), None
    odd = [f"i{n}" for n in range(36, 41)]
    found = unusual(line, masks(odd))
    assert ("i40", "area") in {(flag.image, flag.kind) for flag in found}
    assert {flag.image for flag in found} == {"i40"}
    assert not [flag for flag in flags(masks(odd), line.truth) if flag.kind == "area"]  # among all it is nothing new
    line.truth = masks([f"i{n}" for n in range(0, 36, 2)] + ["i1"])  # one small square: too few to be a measure
    del line.strata
    assert unusual(line, masks(["i3"])) == flags(masks(["i3"]), line.truth) != []


def test_without_test_truth_the_submission_says_which_images_are_which(ran):
    data, out = ran
    (data / "test_truth.csv").unlink()
    assert run(data, out, "tune", "submit", "report") == 0
    found = json.loads((out / "summary.json").read_text())["dice_at_test_mix"]["half"]
    assert found["source"] == "submission"
    assert 0 < found["dice"] < 1


def test_a_kind_of_test_image_that_nobody_held_out_shows_has_no_score(ran, capsys):
    data, out = ran
    test_ids = {item.id for item in index(data, "test")}

    def strata(truth):
        return {"half": {i: "new" if i in test_ids else "old" for i in truth.ids}}

    assert run(data, out, "tune", "submit", "report", recipe=dataclasses.replace(RECIPE, strata=strata)) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["dice_at_test_mix"]["half"]["dice"] is None
    assert summary["dice_at_test_mix"]["half"]["lacking"] == ["new"]
    assert "half of the test images: new 100%; no held-out image is new" in capsys.readouterr().out
    assert any("no held-out image is new" in note for note in summary["notes"])
