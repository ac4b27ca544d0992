"""Every command, as a user types it: what it prints, what it leaves, how it ends."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from segkit import submission
from segkit.cli import COMMANDS, main
from segkit.geometry import resize
from segkit.predictions import PredictionStore


@pytest.fixture
def files(tmp_path):
    """Truth, a good and a poor submission of two images and two classes, and who is on the images."""
    rows = [("a.png", "x", "1 10"), ("a.png", "y", ""), ("b.png", "x", "5 10"), ("b.png", "y", "30 4")]
    truth = submission.write(tmp_path / "truth.csv", rows)
    good = submission.write(tmp_path / "good.csv", rows)
    poor = submission.write(tmp_path / "poor.csv", [(i, c, "1 5" if c == "x" else t) for i, c, t in rows])
    groups = tmp_path / "groups.csv"
    groups.write_text("image_name,group\na.png,p\nb.png,q\n")
    return {"truth": truth, "good": good, "poor": poor, "groups": groups, "folder": tmp_path}


def call(capsys, *arguments):
    code = main([str(a) for a in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_score_prints_the_mean_the_interval_and_the_classes(files, capsys):
    code, out, _ = call(capsys, "score", files["good"], files["truth"], "--groups", files["groups"])
    assert code == 0
    assert "dice: 1.0000 over 2 images x 2 classes" in out
    assert "1.0000 (95 % interval 1.0000 to 1.0000, 2 groups, 2 images)" in out
    assert "y     1.0000         1.0000 (1)\n" in out  # y is in one image
    assert "nothing predicted 0.2500" in out  # of four masks one is empty
    assert "WARNING" not in out


def test_score_over_images_that_have_the_class(files, capsys):
    _, out, _ = call(capsys, "score", files["poor"], files["truth"], "--metric", "dice(empty='skip')")
    assert "dice(empty='skip'): 0.7000" in out  # x: (2 * 5 / 15 + 2 * 1 / 15) / 2, y: 1 in its only image


def test_score_by_another_metric_says_what_is_predicted_nowhere(files, capsys):
    nowhere = submission.write(files["folder"] / "no.csv", [(i, c, "") for i in ("a.png", "b.png") for c in "xy"])
    _, out, _ = call(capsys, "score", nowhere, files["truth"], "--metric", "iou(average='pooled')")
    assert out.startswith("iou(average='pooled'): 0.0000 over 2 images x 2 classes\n")
    assert "WARNING: x is predicted nowhere, though 2 of 2 images have it\n" in out
    assert "WARNING: y is predicted nowhere, though 1 of 2 images have it\n" in out
    code, _, err = call(capsys, "score", nowhere, files["truth"], "--metric", "dise")
    assert (code, "no metric 'dise'; did you mean dice" in err) == (2, True)


def test_compare_says_which_is_better(files, capsys):
    _, out, _ = call(capsys, "compare", files["poor"], files["good"], files["truth"], "--groups", files["groups"])
    assert "gain +0.3000" in out
    assert "no significant difference (fewer than 6 groups can show none)" in out
    six = [(f"{n}.png", "x", "1 10") for n in range(6)]
    six_truth = submission.write(files["folder"] / "six.csv", six)
    six_poor = submission.write(files["folder"] / "six-poor.csv", [(i, c, "1 5") for i, c, _ in six])
    _, out, _ = call(capsys, "compare", six_poor, six_truth, six_truth)
    assert "p = 0.031, 6 groups, 6 images): B is better\n" in out  # 2 of 64 patterns
    _, out, _ = call(capsys, "compare", six_truth, six_poor, six_truth)
    assert "p = 0.031, 6 groups, 6 images): A is better\n" in out
    _, out, _ = call(capsys, "compare", files["good"], files["good"], files["truth"])
    assert "no significant difference" in out


def test_score_and_compare_at_another_mix(files, capsys):
    poses = files["folder"] / "poses.csv"
    poses.write_text("id,pose\na.png,tilted\nb.png,upright\n")
    asked = ("--strata", poses, "--mix", "tilted=.58,upright=.42")
    _, out, _ = call(capsys, "score", files["poor"], files["truth"], *asked, "--groups", files["groups"])
    assert "tilted: 0.8333 over 1 images\nupright: 0.5667 over 1 images" in out
    assert "at the mix tilted=.58,upright=.42: 0.7213" in out  # .58 * .8333 + .42 * .5667
    assert "no interval: a single group stands for a stratum, 2 groups (tilted 1, upright 1), 2 images" in out
    _, out, _ = call(capsys, "compare", files["poor"], files["good"], files["truth"], *asked)
    assert "at the mix tilted=.58,upright=.42: A 0.7213  B 1.0000\ngain +0.2787 (no interval" in out
    assert out.count("gain +0.3000 (95 % interval +0.1667 to +0.4333, p = 0.5, 2 groups, 2 images)") == 1
    assert "tilted: gain +0.1667" in out


@pytest.mark.parametrize(
    ("strata", "mix", "message"),
    [
        ("id,pose\na.png,tilted\n", None, "1 images have no stratum: b.png"),
        ("id,pose\na.png,t\nb.png,u\n", "t=.5,v=.5", "no share of 'u'"),
        ("id,pose\na.png,t\nb.png,u\n", "t:.5,u=.5", "--mix t:.5,u=.5: expected NAME=SHARE,NAME=SHARE, got 't:.5'"),
        ("id,pose\na.png,t\nb.png,u\n", "t=.5,t=.5", "got 't=.5'"),
        ("id,pose,hand\na.png,t,l\n", None, "and one more, got ['id', 'pose', 'hand']"),
        (None, "t=1", "--mix needs --strata"),
    ],
)
def test_a_mix_that_cannot_be_asked(files, capsys, strata, mix, message):
    poses = files["folder"] / "poses.csv"
    poses.write_text(strata or "")
    asked = [*(["--strata", poses] if strata else []), *(["--mix", mix] if mix else [])]
    for command in (("score", files["good"]), ("compare", files["good"], files["poor"])):
        code, _, err = call(capsys, *command, files["truth"], *asked)
        assert (code, message in err) == (2, True), err


def test_vote_validate_and_diff(files, capsys):
    out_file = files["folder"] / "vote.csv"
    three = [files["good"], files["poor"], files["good"]]
    assert call(capsys, "vote", *three, "-o", out_file)[0] == 0
    assert out_file.read_text() == files["good"].read_text()
    code, out, _ = call(capsys, "validate", out_file, "--like", files["truth"])
    assert (code, out.strip()) == (0, "4 rows, 2 images, 2 classes, 1 empty")
    assert call(capsys, "diff", files["good"], out_file)[1] == "all 4 masks are the same\n"


def test_diff_by_class_by_image_and_by_mask(files, capsys):
    other = files["folder"] / "other.csv"
    other.write_text(files["poor"].read_text().replace("b.png,y,30 4", "b.png,y,").replace("a.png,y,", "a.png,y,7 1"))
    code, out, _ = call(capsys, "diff", files["good"], other, "--top", "3")
    assert code == 0
    head, y, x, _, _, b, a, _, first, second, third, last = out.splitlines()
    assert head.split() == ["class", "Dice", "differ", "of", "all", "only", "A", "only", "B", "pixels", "A", "->", "B"]
    assert y.split() == ["y", "0.0001", "2", "of", "2", "1", "1", "4", "->", "1"]
    assert x.split() == ["x", "0.4000", "2", "of", "2", "0", "0", "20", "->", "10"]  # (2 * 5 / 15 + 2 * 1 / 15) / 2
    assert [line.split()[0] for line in (b, a)] == ["b.png", "a.png"]  # the least alike first
    assert {first, second} == {
        "0.0000  b.png  y  4 px -> 0 px  only in A",
        "0.0001  a.png  y  0 px -> 1 px  only in B",
    }
    assert third == "0.1333  b.png  x  10 px -> 5 px"
    assert last == "4 of 4 masks differ (the first 3 above); mean Dice between A and B 0.2000"
    assert "expected --top 0 or more" in call(capsys, "diff", files["good"], other, "--top", "-1")[2]


def test_repair_is_done_where_it_is_asked_for_and_told(files, capsys):
    broken, out_file = files["folder"] / "broken.csv", files["folder"] / "vote.csv"
    broken.write_text(files["good"].read_text().replace("1 10", "6 5 1 5 9"))
    said = f"warning: {broken}, image a.png, class x: the RLE text was repaired: dropped a last token"
    for asked in (
        ("score", broken, files["truth"]),
        ("compare", broken, files["good"], files["truth"]),
        ("vote", broken, files["good"], "-o", out_file),
    ):
        code, _, err = call(capsys, *asked)
        assert (code, "broken.csv, image a.png, class x: 5 tokens" in err) == (2, True)
        assert not out_file.exists()
        code, _, err = call(capsys, *asked, "--repair")
        assert (code, err.startswith(said)) == (0, True)
        assert err.count("\n") == 1  # once, however often it is read
    assert out_file.read_text() == files["good"].read_text()


def test_vote_weighs_classes(files, capsys):
    folder = files["folder"]
    two = submission.write(folder / "two.csv", [(i, c, "1 1") for i in ("a.png", "b.png") for c in ("x", "y")])
    (folder / "weights.json").write_text('{"y": [1, 3], "*": [3, 1]}')
    asked = ("vote", files["good"], two, "-o", folder / "vote.csv", "--class-weights", folder / "weights.json")
    assert call(capsys, *asked)[0] == 0
    voted = submission.read(folder / "vote.csv")
    assert [voted[i][c].text() for i in voted for c in "xy"] == ["1 10", "1 1", "5 10", "1 1"]
    code, _, err = call(capsys, *asked, "--weights", "1", "2")
    assert (code, "give one" in err) == (2, True)


def test_vote_takes_missing_rows_as_empty_only_when_told(files, capsys):
    short = submission.write(files["folder"] / "short.csv", [("a.png", "x", "1 10")])
    out_file = files["folder"] / "vote.csv"
    code, _, err = call(capsys, "vote", files["good"], short, "-o", out_file, "--need", "1")
    assert code == 2
    assert "a.png" in err
    assert not out_file.exists()
    assert call(capsys, "vote", files["good"], short, "-o", out_file, "--need", "1", "--missing", "empty")[0] == 0
    assert submission.diff(out_file, files["good"]) == []


def test_score_and_compare_in_another_format(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    for name in "ab":
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.zeros((2, 3), np.uint8))
    for name, text in (("truth", "1 2"), ("pred", "1 4")):
        (tmp_path / f"{name}.csv").write_text(f"id,rle_mask\na,{text}\nb,\n")
    asked = [tmp_path / "truth.csv", "--format", "tgs", "--images", tmp_path / "images"]
    code, out, _ = call(capsys, "score", tmp_path / "pred.csv", *asked)
    assert (code, "dice: 0.8333 over 2 images x 1 classes" in out.lower()) == (0, True)  # (2 * 2 / 6 + 1) / 2
    code, out, _ = call(capsys, "compare", tmp_path / "pred.csv", tmp_path / "truth.csv", *asked)
    assert (code, "A 0.8333  B 1.0000" in out) == (0, True)


@pytest.mark.parametrize("arguments", [("score", "none.csv", "none.csv"), ("validate", "none.csv"), ("audit", "none")])
def test_bad_input_is_one_line_and_exit_code_2(arguments, capsys):
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert "none" in err
    assert "Traceback" not in err


def test_a_folder_in_place_of_a_file_is_bad_input_too(tmp_path, capsys):
    code, _, err = call(capsys, "diff", tmp_path, tmp_path)
    assert (code, err.startswith("error: "), str(tmp_path) in err) == (2, True, True)


@pytest.fixture
def theirs(tmp_path):
    """A folder of .npy probabilities, and the images they are of."""
    (tmp_path / "probs").mkdir()
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0)
    for name in ("a", "b"):
        np.save(tmp_path / "probs" / f"{name}.npy", noise.uniform(0.1, 0.9, (2, 6, 8)).astype(np.float32))
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.zeros((12, 16), np.uint8))
    return tmp_path


def test_import_and_blend(theirs, capsys):
    one, two, out = (theirs / f"{name}.zarr" for name in ("one", "two", "out"))
    asked = ("import", theirs / "probs", "--classes", "x,y", "--images", theirs / "images")
    code, printed, err = call(capsys, *asked, "-o", one)
    assert (code, err) == (0, "")
    assert printed.strip() == f"{one}: 2 images x 2 classes at 6 x 8"
    assert call(capsys, *asked, "-o", one)[0] == 0  # again: nothing is left to do
    assert call(capsys, *asked, "-o", two, "--grid", 3, "4", "--kind", "arrays")[0] == 0
    assert call(capsys, "blend", one, two, "-o", out, "--weights", "3", "1")[0] == 0
    stores = [PredictionStore.open(path) for path in (one, two, out)]
    assert stores[2].sizes == {"a.png": (12, 16), "b.png": (12, 16)}
    fine = np.stack([resize.upsample(plane, (6, 8)) for plane in stores[1]["b.png"]])
    assert np.abs(stores[2]["b.png"] - (3 * stores[0]["b.png"] + fine) / 4).max() <= 1 / 64
    again = call(capsys, "blend", one, two, "-o", out, "--weights", "3", "1")
    assert again[:2] == (0, f"{out}: 2 images x 2 classes at 6 x 8\n")
    code, _, err = call(capsys, "blend", one, two, "-o", out)
    assert (code, "blended with other weights" in err) == (2, True)
    (theirs / "weights.json").write_text('{"x": [1, 0], "*": [0, 1]}')
    asked = ("blend", one, two, "-o", theirs / "mixed.zarr", "--class-weights", theirs / "weights.json")
    assert call(capsys, *asked)[0] == 0
    mixed = PredictionStore.open(theirs / "mixed.zarr")
    assert np.array_equal(mixed["b.png"][0], stores[0]["b.png"][0])
    assert np.abs(mixed["b.png"][1] - fine[1]).max() <= 1 / 64
    code, _, err = call(capsys, "blend", one, two, "-o", theirs / "no.zarr", "--weights", "1")
    assert code == 2
    assert "expected 2 weights" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--missing", "empty"), "missing mean nothing for"),
        (("--no-background",), "background mean nothing for"),
        (("--size", "3", "4", "--images", "."), "expected either --images or --size"),
        ((), "classes.txt is not there"),
        (("--classes", "x,y,z"), "a.npy: expected 3 channels"),
    ],
)
def test_import_says_what_does_not_fit(theirs, capsys, options, message):
    code, _, err = call(capsys, "import", theirs / "probs", "-o", theirs / "s.zarr", *options)
    assert code == 2
    assert message in err
    assert not (theirs / "s.zarr").exists()


@pytest.fixture
def data(tmp_path):
    for name, points in (("1", [[2, 2], [20, 2], [20, 20], [2, 20]]), ("2", [[5, 5], [25, 25], [25, 5], [5, 25]])):
        image = tmp_path / "train" / "DCM" / "ID001" / f"{name}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), np.full((32, 40), 90, np.uint8))
        target = tmp_path / "train" / "outputs_json" / "ID001" / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"annotations": [{"label": "x", "points": points}]}))
    return tmp_path


def test_audit_names_file_image_and_class(data, capsys):
    code, out, _ = call(capsys, "audit", data)
    assert code == 1
    assert "self-crossing" in out
    assert "2.json, class x" in out
    (data / "train" / "outputs_json" / "ID001" / "2.json").write_text("{")
    assert "unreadable-annotation" in call(capsys, "audit", data, "--classes", "x,y")[1]


def test_eda_writes_a_page(data, capsys):
    page = data / "eda.html"
    code, out, err = call(capsys, "eda", data, "--out", page)
    assert code == 0
    assert "no test images" in err
    assert str(page) in out
    assert "<html" in page.read_text(encoding="utf-8")


def test_models_lists_and_describes(capsys):
    assert "unet" in call(capsys, "models")[1].split()
    code, _, err = call(capsys, "models", "unett")
    assert code == 2
    assert "did you mean unet" in err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if name not in out] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("5", 'weights.json: expected {"CLASS": [numbers], "*": [numbers]}, got 5'),
        ('{"x": 1, "*": [1, 1]}', "weights.json, class x: expected a list of numbers, got 1"),
        ('{"x": ["a", 1], "*": [1, 1]}', "weights.json, class x: expected a list of numbers, got ['a', 1]"),
        ('{"*": [1]}', "expected 2 weights >= 0, one a submission, not all 0, got [1] for class x"),
    ],
)
def test_class_weights_that_are_none(files, tmp_path, capsys, content, message):
    (tmp_path / "weights.json").write_text(content)
    asked = ("-o", tmp_path / "o", "--class-weights", tmp_path / "weights.json")
    code, _, err = call(capsys, "vote", files["good"], files["good"], *asked)
    assert (code, message in err) == (2, True)


def test_groups_that_contradict_themselves_are_not_believed(files, tmp_path, capsys):
    (tmp_path / "p.csv").write_text("id,group\na.png,p\nb.png,q\na.png,q\n")
    code, _, err = call(capsys, "score", files["good"], files["good"], "--groups", tmp_path / "p.csv")
    assert (code, "p.csv, line 4, image a.png: q, but p further up" in err) == (2, True)
    (tmp_path / "s.csv").write_text("id,pose\na.png,up\nb.png,\n")
    code, _, err = call(capsys, "score", files["good"], files["good"], "--strata", tmp_path / "s.csv")
    assert (code, "s.csv, line 3, image b.png: pose is blank" in err) == (2, True)


def test_who_stops_reading_is_told_nothing():
    """segkit models | head: no traceback, no line of an error."""
    command = [sys.executable, "-c", "from segkit.cli import main; raise SystemExit(main(['models']))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # before it prints: it imports first
        assert process.stderr.read() == ""
    assert process.returncode == 141
