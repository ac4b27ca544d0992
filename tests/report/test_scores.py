import dataclasses

import numpy as np
import pandas as pd
import pytest
from made_curves import curves_of

from segkit.metrics import bootstrap, compare
from segkit.postprocess import Flag
from segkit.report import ReportData
from segkit.report.scores import (
    FEWEST,
    class_rows,
    flag_rows,
    image_rows,
    interval,
    present_scores,
    score_lines,
    stage_rows,
    tuning_gain,
)

IDS = [f"i{k}" for k in range(12)]
GROUPS = {i: f"p{k // 2}" for k, i in enumerate(IDS)}


@pytest.fixture
def data():
    table = pd.DataFrame(np.random.default_rng(0).uniform(0.7, 1, (12, 2)), index=IDS, columns=["a", "b"])
    return ReportData("t", ("a", "b"), {}, table, GROUPS)


def test_a_summary_is_believed_and_otherwise_the_table_is_averaged(data):
    (held,) = score_lines(data)
    known = bootstrap(data.oof, GROUPS)
    assert held[1:6] == (known.mean, known.low, known.high, 12, 6)
    summary = {"score": 0.5, "score_low": 0.4, "score_high": 0.6, "score_tuned": 0.55, "score_untuned": None}
    lines = score_lines(dataclasses.replace(data, summary=summary))
    assert [(line.name, line.mean) for line in lines] == [("Held-out", 0.5), ("Tuned", 0.55)]
    assert lines[0][2:4] == (0.4, 0.6)


def test_strata_are_scored_apart_with_their_own_groups(data):
    pose = {i: "tilted" if k < 2 else "upright" for k, i in enumerate(IDS[:-2])}
    lines = score_lines(dataclasses.replace(data, strata={"pose": pose}))
    assert [line.name for line in lines] == ["Held-out", "pose: tilted", "pose: upright"]
    tilted, upright = lines[1:]
    assert (tilted.images, tilted.groups, upright.images, upright.groups) == (2, 1, 8, 4)
    assert tilted.mean == pytest.approx(data.oof.iloc[:2].to_numpy().mean())
    assert np.isnan([tilted.low, upright.low]).all()  # fewer than FEWEST groups: no interval


def test_no_interval_below_a_handful_of_groups(data):
    few = interval("x", data.oof.iloc[: 2 * FEWEST - 2], GROUPS)
    assert few.groups == FEWEST - 1
    assert np.isnan(few.low)
    enough = interval("x", data.oof.iloc[: 2 * FEWEST], GROUPS)
    assert enough.low < enough.mean < enough.high


def test_nan_cells_and_classes_are_left_out(data):
    table = data.oof.copy()
    table["b"] = np.nan
    table.loc["i0", "a"] = np.nan
    found = dataclasses.replace(data, oof=table)
    assert score_lines(found)[0].mean == pytest.approx(table["a"].mean())
    a, b = class_rows(found)
    assert (a["counted"], b["counted"]) == (11, 0)
    assert b["worst"] is None
    assert np.isnan(b["score"].mean)
    assert {row["id"] for row in image_rows(found, 99)} == set(IDS[1:])


def test_every_cell_nan_has_no_score(data):
    found = dataclasses.replace(data, oof=data.oof * np.nan)
    assert np.isnan(score_lines(found)[0].mean)
    assert image_rows(found) == []


def test_worst_images_and_classes_by_hand(data):
    table = data.oof * 0 + 0.9
    table.loc["i4", "b"], table.loc["i7"] = 0.1, 0.6
    found = dataclasses.replace(data, oof=table, strata={"pose": {"i4": "tilted"}})
    first, second = image_rows(found, 2)
    assert (first["id"], first["weakest"], first["weakest_score"], first["strata"]) == ("i4", "b", 0.1, "tilted")
    assert (second["id"], second["strata"], second["score"]) == ("i7", "", pytest.approx(0.6))
    assert class_rows(found)[1]["worst"] == ("i4", 0.1)


def test_dice_where_present_is_a_mean_over_those_images(data):
    present = pd.DataFrame(True, index=IDS, columns=["a", "b"])
    assert present_scores(dataclasses.replace(data, present=present)) == {}
    present.loc[IDS[3:], "b"] = False
    found = dataclasses.replace(data, present=present)
    wanted = (data.oof["a"].mean() + data.oof["b"].iloc[:3].mean()) / 2
    assert present_scores(found) == {"Held-out": pytest.approx(wanted)}
    row = class_rows(found)[1]
    assert (row["held_present"], row["held_count"]) == (pytest.approx(data.oof["b"].iloc[:3].mean()), 3)


def test_what_tuning_was_worth_is_paired_with_threshold_a_half(data):
    assert tuning_gain(data) is None
    cuts = np.array([0.25, 0.5, 0.75])
    flat = np.repeat(data.oof.to_numpy()[:, :, None], 3, axis=2)
    flat[:, :, 1] -= 0.01
    found = tuning_gain(dataclasses.replace(data, curves=curves_of(IDS, ("a", "b"), cuts, flat)))
    assert found is not None
    assert found.gain == pytest.approx(0.01, abs=1e-6)
    untuned = pd.DataFrame(flat[:, :, 1], index=IDS, columns=["a", "b"])
    assert found.min_detectable_effect == pytest.approx(
        compare(untuned, data.oof, GROUPS).min_detectable_effect, abs=1e-6
    )
    other = curves_of(IDS[:3], ("a", "b"), cuts, flat[:3])
    assert tuning_gain(dataclasses.replace(data, curves=other)) is None


def test_the_test_images_mix_stands_below_the_parts(data):
    found = {"score": 0.8, "score_low": None, "score_high": None, "images": 12,
             "mix": {"tilted": 0.58, "upright": 0.42}, "groups": {"tilted": 1, "upright": 5}}  # fmt: skip
    lacking = {**found, "score": None, "groups": None}
    summary = {**data.summary, "score_at_test_mix": {"pose": found, "hand": lacking}}
    lines = score_lines(dataclasses.replace(data, summary=summary, strata={"pose": dict.fromkeys(IDS, "upright")}))
    assert [line.name for line in lines[:3]] == ["Held-out", "pose: upright", "At the test's pose"]
    assert lines[2].mean == 0.8
    assert np.isnan(lines[2].low)
    assert (lines[2].images, lines[2].groups) == (12, len(set(GROUPS.values())))
    assert lines[2].note == "held-out images weighed as tilted 58%, upright 42%; groups: tilted 1, upright 5"
    assert not any("hand" in line.name for line in lines)


def test_images_with_most_unusual_masks_come_first(data):
    flagged = [Flag(i, c, "area", 0.9, 0.1, 0.2) for i, c in (("i1", "a"), ("new", "a"), ("new", "b"))]
    rows = flag_rows(dataclasses.replace(data, flags=flagged))
    assert [(row["id"], row["group"], len(row["flags"])) for row in rows] == [("new", "", 2), ("i1", GROUPS["i1"], 1)]
    one = dataclasses.replace(data, flags=flagged, classes=("b",))
    assert [(row["id"], len(row["flags"])) for row in flag_rows(one)] == [("new", 1)]
    assert flag_rows(data) == []


def test_stages_keep_their_order_and_the_total_is_no_stage():
    rows = stage_rows({"seconds": {"total": 9, "audit": 1, "train": 4}, "peak_rss_mb": {"train": 50, "tune": 100}})
    assert [row["name"] for row in rows] == ["audit", "train", "tune"]
    assert [row["time_share"] for row in rows] == [0.25, 1.0, 0.0]
    assert [row["memory_share"] for row in rows] == [0.0, 0.5, 1.0]
    assert stage_rows({}) == []


def test_bad_tables_are_named(data):
    with pytest.raises(ValueError, match=r"oof lacks the classes \['b'\]"):
        dataclasses.replace(data, oof=data.oof[["a"]])
    with pytest.raises(ValueError, match="test: no group is known of i0, i1, i2"):
        dataclasses.replace(data, oof=data.oof.iloc[:0], test=data.oof, groups={})
