"""`segkit study`: what it writes is what it scored, and only where others gain."""

import json

import numpy as np
import pytest

from segkit import cli, metrics, submission
from segkit.geometry import resize
from segkit.masks import as_masks
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore

IDS, CLASSES, SIZE = [f"i{n}.png" for n in range(12)], ("x", "y"), (40, 44)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Two stores whose classes are biased, a worse one, their truth, and twelve groups."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    blobs = random.normal(0, 2, (12, 2, 6, 6))
    for name, shift, noise in (("a", 1.2, 0.3), ("b", 0.6, 2.5), ("fair", 0.0, 0.0)):
        store = PredictionStore.create(
            f"{name}.zarr", ids=IDS, classes=CLASSES, sizes=dict.fromkeys(IDS, SIZE), grid=(6, 6)
        )
        for n, image in enumerate(IDS):
            store[image] = blobs[n] + random.normal(0, 1, (2, 6, 6)) * noise + np.reshape((shift, -shift), (2, 1, 1))
    truth = {i: {c: resize.upsample(blobs[n, k], SIZE) > 0 for k, c in enumerate(CLASSES)} for n, i in enumerate(IDS)}
    masks = as_masks(truth)
    submission.write("truth.csv", [(i, c, masks[i][c]) for i in IDS for c in CLASSES])
    rows = "".join(f"{image},p{n}\n" for n, image in enumerate(IDS))
    (tmp_path / "persons.csv").write_text(f"id,group\n{rows}")
    return tmp_path


def asked(capsys, *words):
    code = cli.main(["study", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_store_gives_the_pipeline_that_was_scored(place, capsys, workers):
    words = ("a.zarr", "truth.csv", "-o", "post.json", "--groups", "persons.csv", "--trials", "8", "--workers", workers)
    code, out, err = asked(capsys, *words)
    assert (code, err) == (0, "")
    assert "kept: thresholds" in out
    store, truth, pipeline = PredictionStore.open("a.zarr"), submission.read("truth.csv"), Pipeline.load("post.json")
    assert pipeline.threshold("x") > 0.5 > pipeline.threshold("y")  # against the bias
    made = {i: {c: pipeline.mask(store.plane(i, c), SIZE, c) for c in CLASSES} for i in IDS}
    assert f"tuned {metrics.score(metrics.Dice().table(made, truth)):.4f}; held out 0." in out
    assert (place / "post.journal").is_file()
    code, again, _ = asked(capsys, *words)  # nothing is left to try
    assert code == 0
    assert again == out


def test_no_gain_no_change(place, capsys):
    words = ("fair.zarr", "truth.csv", "-o", "post.json", "--groups", "persons.csv", "--trials", "6")
    code, out, _ = asked(capsys, *words)
    assert code == 0
    assert "kept: nothing" in out
    assert Pipeline.load("post.json") == Pipeline()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ((), "thresholds and weights"),
        (("--thresholds-by-class", "--weights-by-class", "--domain", "probs"), "thresholds and weights"),
    ],
)
def test_several_stores_give_the_blend_that_was_scored(place, capsys, options, kept):
    words = ("a.zarr", "b.zarr", "truth.csv", "-o", "blend.json", "--groups", "persons.csv", "--trials", "15", *options)
    code, out, err = asked(capsys, *words, "--seed", "0")
    assert (code, err) == (0, "")
    assert f"kept: {kept}\n" in out
    found = json.loads((place / "blend.json").read_text())
    assert isinstance(found["blend"]["weights"], dict if options else list)
    stores = [PredictionStore.open(path) for path in found["blend"]["stores"]]
    masks = render(stores, Pipeline.load("blend.json"))
    assert f"tuned {metrics.score(metrics.Dice().table(masks, submission.read('truth.csv'))):.4f}" in out


def test_equal_weights_stay_where_nothing_is_gained(place, capsys):
    words = ("fair.zarr", "fair.zarr", "truth.csv", "-o", "blend.json", "--groups", "persons.csv", "--trials", "4")
    code, out, _ = asked(capsys, *words)
    assert code == 0
    assert "kept: nothing (a threshold of .5, equal weights)" in out
    found = json.loads((place / "blend.json").read_text())
    assert (found["blend"]["weights"], found["thresholds"]) == ([0.5, 0.5], 0.5)


def test_thresholds_are_kept_where_the_weights_do_not_gain(place, capsys):
    """A member twice: no weights differ from equal ones, but its bias wants another threshold."""
    fair = PredictionStore.open("fair.zarr")
    store = PredictionStore.create("c.zarr", ids=IDS, classes=CLASSES, sizes=dict.fromkeys(IDS, SIZE), grid=(6, 6))
    for image in IDS:
        store[image] = fair[image] + 1.5
    words = ("c.zarr", "c.zarr", "truth.csv", "-o", "blend.json", "--groups", "persons.csv", "--trials", "5")
    code, out, _ = asked(capsys, *words)
    assert code == 0
    assert "kept: thresholds\n" in out
    found = json.loads((place / "blend.json").read_text())
    assert found["blend"]["weights"] == [0.5, 0.5]
    assert found["thresholds"] > 0.6


def test_too_few_groups_to_check_anything_on(place, capsys):
    (place / "two.csv").write_text("id,group\n" + "".join(f"{i},p{n % 2}\n" for n, i in enumerate(IDS)))
    for stores in (["a.zarr"], ["a.zarr", "b.zarr"]):
        name = f"{len(stores)}.json"
        code, out, _ = asked(capsys, *stores, "truth.csv", "-o", name, "--groups", "two.csv", "--trials", "3")
        assert code == 0
        assert "kept: nothing" in out


def test_without_groups_each_image_is_a_group_and_that_is_said(place, capsys):
    code, out, err = asked(capsys, "a.zarr", "truth.csv", "-o", "post.json", "--trials", "3")
    assert code == 0
    assert "12 groups" in out
    assert err == "no --groups: each image counts as a group of its own\n"


def test_a_study_of_other_predictions_is_not_gone_on_with(place, capsys):
    words = ("truth.csv", "-o", "post.json", "--groups", "persons.csv", "--trials", "2")
    assert asked(capsys, "a.zarr", *words)[0] == 0
    code, _, err = asked(capsys, "b.zarr", *words)
    assert code == 2
    assert err == "error: study post has trials of other predictions, truth or options; give another --name\n"
    assert asked(capsys, "b.zarr", *words, "--name", "other", "--storage", "post.journal")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.zarr"], "expected at least one store and the truth, got a.zarr"),
        (["a.zarr", "truth.csv", "--weights-by-class"], "--weights-by-class: means nothing for one store"),
        (["a.zarr", "b.zarr", "truth.csv", "--multipart", "x"], "--multipart: means nothing for 2 stores"),
        (["a.zarr", "truth.csv", "--trials", "0"], "--trials 0, --workers 1: expected at least 1"),
        (["a.zarr", "absent.csv"], "absent.csv is neither a file nor a folder"),
        (["a.zarr", "truth.csv", "--groups", "few.csv"], "few.csv: 11 images have no group: i1.png, i2.png, i3.png"),
        (["a.zarr", "truth.csv", "--multipart", "z"], "multipart names ['z']: no such class"),
        (["a.zarr", "truth.csv", "--workers", "2", "--storage", "sqlite://"], "memory of one process"),
    ],
)
def test_bad_input_is_one_line(place, capsys, words, message):
    (place / "few.csv").write_text("id,group\ni0.png,p\n")
    code, _, err = asked(capsys, *words, "-o", "post.json")
    assert code == 2
    assert message in err
    assert not (place / "post.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "post.journal"], "post.journal would hold the study's journal and what it finds"),
        (["-o", "post.json", "--storage", "./post.json"], "would hold the study's journal and what it finds"),
        (["-o", "truth.csv"], "-o truth.csv is one of the inputs"),
        (["-o", "a.zarr"], "-o a.zarr is a folder"),
        (["-o", "post.json", "--storage", "truth.csv"], "--storage truth.csv is one of the inputs"),
    ],
)
def test_a_study_overwrites_neither_its_inputs_nor_itself(place, capsys, words, message):
    truth = (place / "truth.csv").read_bytes()
    code, _, err = asked(capsys, "a.zarr", "truth.csv", *words, "--trials", "1")
    assert code == 2
    assert message in err
    assert (place / "truth.csv").read_bytes() == truth
    assert not (place / "post.journal").exists()


def test_a_metric_of_ones_own_decides(place, capsys):
    words = ("a.zarr", "truth.csv", "-o", "post.json", "--groups", "persons.csv", "--trials", "4")
    code, out, _ = asked(capsys, *words, "--metric", "fbeta(beta=0.5, average='pooled')")
    assert code == 0
    metric = metrics.FBeta(beta=0.5, average="pooled")
    made = render(PredictionStore.open("a.zarr"), Pipeline.load("post.json"))
    assert f"tuned {metric(made, submission.read('truth.csv')):.4f}; held out" in out
    assert "an empty submission scores" in out
    code, _, err = asked(capsys, *words)  # by Dice these are trials of something else
    assert (code, "trials of other predictions, truth or options" in err) == (2, True)
    code, _, err = asked(capsys, *words, "--metric", "dyce")
    assert (code, "dice" in err) == (2, True)


def test_a_metric_without_curves_tunes_steps_alone(place, capsys):
    words = ("a.zarr", "truth.csv", "-o", "post.json", "--groups", "persons.csv", "--trials", "3")
    code, out, err = asked(capsys, *words, "--metric", "surface_dice(tolerance=2)")
    assert (code, err) == (0, "surface_dice(tolerance=2) has no threshold curves: thresholds stay at .5\n")
    assert "thresholds:" not in out
    assert Pipeline.load("post.json").thresholds == 0.5
