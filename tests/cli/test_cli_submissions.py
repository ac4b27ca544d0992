"""Submissions on the command line: made of stores under a study's settings, checked, and looked at."""

import json

import cv2
import numpy as np
import pytest

from segkit import cli, submission
from segkit.ensemble import Blend
from segkit.masks import as_masks
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore


def call(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def stores(tmp_path):
    """Two stores of two images and classes, of random logits."""
    out = []
    for number in range(2):
        store = PredictionStore.create(
            tmp_path / f"{number}.zarr", ids=["b.png", "a.png"], classes=["x", "y"],
            sizes={"a.png": (20, 30), "b.png": (16, 16)}, grid=(8, 8),
        )  # fmt: skip
        for image in store.ids:
            store[image] = np.random.default_rng(number).normal(0, 2, (2, 8, 8))
        out.append(store)
    return out


def test_submit_writes_what_the_pipeline_makes_of_a_store(stores, tmp_path, capsys):
    out = tmp_path / "out.csv"
    steps = [("remove_small", {"min_area": 5})]
    for settings, pipeline in ((None, Pipeline()), ("post.json", Pipeline(steps, thresholds={"x": 0.3, "*": 0.6}))):
        asked = []
        if settings:
            pipeline.save(tmp_path / settings)
            asked = ["--settings", tmp_path / settings]
        code, printed, _ = call(capsys, "submit", stores[0].path, "-o", out, *asked)
        assert (code, printed) == (0, f"{out}: 4 rows, 2 images, 2 classes, 0 empty\n")
        written = submission.read(out)
        assert list(written.rows) == [("b.png", "x"), ("b.png", "y"), ("a.png", "x"), ("a.png", "y")]
        for image, cls in written.rows:
            mask = pipeline.mask(stores[0].plane(image, cls), stores[0].sizes[image], cls)
            assert written[image][cls] == mask


def test_submit_writes_the_masks_of_a_blend(stores, tmp_path, capsys):
    out = tmp_path / "out.csv"
    blend = Blend([3, 1], domain="probs", stores=["one", "two"])
    pipeline = Pipeline([("fill_holes", {})], thresholds={"x": 0.4, "y": 0.5}, blend=blend)
    pipeline.save(tmp_path / "blend.json")
    paths = [store.path for store in stores]
    assert call(capsys, "submit", *paths, "-o", out, "--settings", tmp_path / "blend.json")[0] == 0
    wanted = render(stores, pipeline)
    assert all(submission.read(out)[i][c] == wanted[i][c] for i, c in wanted.rows)
    assert call(capsys, "submit", *paths, "-o", out)[0] == 0
    assert all(submission.read(out)[i][c] == render(stores)[i][c] for i, c in wanted.rows)


def test_submit_refuses_settings_of_another_kind(stores, tmp_path, capsys):
    Pipeline().save(tmp_path / "post.json")
    Pipeline(blend=Blend([1, 2, 3])).save(tmp_path / "blend.json")
    paths = [store.path for store in stores]
    for given, settings, message in (
        (paths, "post.json", "post.json was made for one store and has no weights for 2"),
        (paths, "blend.json", "blend.json: expected 2 weights"),
        (paths[:1], "blend.json", "blend.json: expected 1 weights"),
    ):
        code, _, err = call(capsys, "submit", *given, "-o", tmp_path / "o.csv", "--settings", tmp_path / settings)
        assert code == 2
        assert message in err
        assert not (tmp_path / "o.csv").exists()
    Pipeline(thresholds={"z": 0.4, "*": 0.5}).save(tmp_path / "post.json")
    code, _, err = call(capsys, "submit", paths[0], "-o", tmp_path / "o.csv", "--settings", tmp_path / "post.json")
    assert code == 2
    assert "z" in err


@pytest.mark.parametrize(
    ("wanted", "order", "said"),
    [
        (["0.zarr", "elsewhere/1.zarr"], (0, 1), ""),
        (["1.zarr", "0.zarr"], (0, 1), "error: {settings} weighs 1, 0 in this order, got 0, 1"),
        (["0.zarr", "1.zarr"], (1, 0), "error: {settings} weighs 0, 1 in this order, got 1, 0"),
        (["one.zarr", "two.zarr"], (0, 1), "{settings} weighs one.zarr, two.zarr; "),
        (["0.zarr", "two.zarr"], (0, 1), "{settings} weighs 0.zarr, two.zarr; "),
        ([], (1, 0), ""),
        ("0.zarr", (0, 1), "error: {settings} is not a saved Pipeline: blend: expected stores as a list of names, got"),
    ],
)
def test_submit_of_a_blend_wants_the_studys_order(stores, tmp_path, capsys, wanted, order, said):
    settings, out = tmp_path / "blend.json", tmp_path / "o.csv"
    blend = {"stores": wanted, "weights": [3, 1]}
    settings.write_text(json.dumps({"steps": [], "thresholds": 0.5, "blend": blend}))
    code, _, err = call(capsys, "submit", *(stores[n].path for n in order), "-o", out, "--settings", settings)
    assert err.startswith(said.format(settings=settings))
    assert bool(err) == bool(said)
    assert (code, out.exists()) == ((2, False) if said.startswith("error") else (0, True))


def test_stores_of_run_folders_go_by_the_folders(stores, tmp_path, capsys):
    for name, store in zip("ab", stores):
        (tmp_path / name).mkdir()
        store.path.rename(tmp_path / name / "test.zarr")
    settings = tmp_path / "blend.json"
    Pipeline(blend=Blend([3, 1], stores=["a/oof.zarr", "b/oof.zarr"])).save(settings)
    asked = ("-o", tmp_path / "o.csv", "--settings", settings)
    assert call(capsys, "submit", tmp_path / "a/test.zarr", tmp_path / "b/test.zarr", *asked)[::2] == (0, "")
    code, _, err = call(capsys, "submit", tmp_path / "b/test.zarr", tmp_path / "a/test.zarr", *asked)
    assert (code, "weighs a, b in this order, got b, a" in err) == (2, True)


def test_an_error_without_settings_names_no_settings(stores, tmp_path, capsys):
    other = PredictionStore.create(
        tmp_path / "other.zarr", ids=["b.png"], classes=["x"], sizes={"b.png": (9, 9)}, grid=(4, 4)
    )
    code, _, err = call(capsys, "submit", stores[0].path, other.path, "-o", tmp_path / "o.csv")
    assert code == 2
    assert err.startswith(f"error: {other.path} and ")


def test_validate_looks_past_the_end_where_sizes_are_known(tmp_path, capsys):
    path = submission.write(tmp_path / "s.csv", [("a.png", "x", "1 7"), ("b.png", "x", "")])
    (tmp_path / "sizes.csv").write_text("image_name,height,width\na.png,2,4\nb.png,2,4\n")
    assert call(capsys, "validate", path)[0] == 0
    assert call(capsys, "validate", path, "--size", "2", "4")[0] == 0
    assert call(capsys, "validate", path, "--sizes", tmp_path / "sizes.csv")[0] == 0
    code, _, err = call(capsys, "validate", path, "--size", "2", "3")
    assert (code, "line 2, image a.png, class x" in err, "ends past the 6 pixels" in err) == (2, True, True)
    (tmp_path / "sizes.csv").write_text("image_name,height,width\na.png,2,4\n")
    code, _, err = call(capsys, "validate", path, "--sizes", tmp_path / "sizes.csv")
    assert (code, "image b.png, class x: no size (height, width) is known" in err) == (2, True)
    code, _, err = call(capsys, "validate", path, "--sizes", tmp_path / "sizes.csv", "--size", "2", "4")
    assert (code, "got both" in err) == (2, True)


def test_flags_prints_and_writes_what_is_unexpected(tmp_path, capsys):
    def square(top):
        mask = np.zeros((20, 20), bool)
        mask[top : top + 4, 8:12] = True
        return mask

    masks = {f"t{n}.png": {"x": square(8 + n % 2)} for n in range(6)}
    truth = as_masks(masks)
    submission.write(tmp_path / "truth.csv", [(i, "x", truth[i]["x"]) for i in truth])
    found = as_masks({"fine.png": {"x": square(8)}, "odd.png": {"x": square(0)}})
    submission.write(tmp_path / "s.csv", [(i, "x", found[i]["x"]) for i in found])
    asked = ("flags", tmp_path / "s.csv", tmp_path / "truth.csv")
    code, out, _ = call(capsys, *asked, "--size", "20", "20", "-o", tmp_path / "flags.csv")
    first, last = out.splitlines()
    assert (code, first.startswith("odd.png, x: row 0.1 is outside")) == (0, True)
    assert last == "1 findings in 1 of 2 images"
    head, row = (tmp_path / "flags.csv").read_text().splitlines()
    assert (head, row.split(",")[:4]) == ("image,class,kind,value,low,high", ["odd.png", "x", "row", "0.1"])
    assert call(capsys, *asked, "--size", "20", "20", "--reach", "99")[1] == "0 findings in 0 of 2 images\n"
    code, _, err = call(capsys, *asked)
    assert (code, "the image's size is unknown" in err) == (2, True)


def test_flags_knows_the_sizes_of_a_folder(tmp_path, capsys):
    tiny = pytest.importorskip("tiny", reason="the tiny data set needs torch")
    tiny.draw(tmp_path, 5)
    (tmp_path / "train").rename(tmp_path / "test")
    tiny.draw(tmp_path, 6)
    rows = [(f"image{n}.png", cls, "") for n in range(5) for cls in ("left", "rare", "right")]
    submission.write(tmp_path / "s.csv", rows)
    code, out, _ = call(capsys, "flags", tmp_path / "s.csv", tmp_path)
    assert code == 0
    assert "image0.png, left: absent, unlike in every reference image" in out


# -- formats -----------------------------------------------------------------------------------------------------------
def sample(folder, text):
    (folder / "sample.csv").write_text(text)
    return folder / "sample.csv"


def test_submit_in_another_format(stores, tmp_path, capsys):
    like = sample(tmp_path, "ImageId_ClassId,EncodedPixels\na_y,1 1\nb_x,1 1\n")
    out = tmp_path / "out.csv.gz"
    code, printed, err = call(
        capsys, "submit", stores[0].path, "-o", out, "--like", like, "--format", f"{like} order=F"
    )
    assert (code, printed) == (0, f"{out}: 2 rows, 2 images, 2 classes, 0 empty\n")
    assert "does not tell start" in err
    form = submission.parse("severstal key={stem}_{class}")
    masks = form.read(out, stores[0].sizes, classes=("x", "y"))
    for image, cls in (("a.png", "y"), ("b.png", "x")):
        assert masks[image][cls] == Pipeline().mask(stores[0].plane(image, cls), stores[0].sizes[image], cls)
    code, _, err = call(capsys, "submit", stores[0].path, "-o", out, "--format", "no-such-competition")
    assert (code, "no format 'no-such-competition'" in err) == (2, True)


def test_submit_of_exclusive_classes_as_labels(tmp_path, capsys):
    store = PredictionStore.create(
        tmp_path / "s.zarr", ids=["a"], classes=["x", "y"], sizes={"a": (4, 4)}, grid=(2, 2), exclusive=True
    )
    store["a"] = np.array([[[2.0, 0], [0, 0]], [[0, 2], [2, 2]]])
    out = tmp_path / "out.csv"
    assert call(capsys, "submit", store.path, "-o", out, "--format", "labels size=2,2")[0] == 0
    assert out.read_text() == "image_id,PredictionString\na,1 2 2 2\n"


def test_validate_in_the_format_of_a_sample(tmp_path, capsys):
    like = sample(tmp_path, "id,rle_mask\na,1 1\nb,1 1\n")
    path = submission.parse("tgs").write(tmp_path / "s.zip", {i: {"salt": np.ones((2, 3), bool)} for i in ("a", "b")})
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((2, 3), np.uint8))
    for asked in (["--like", like], ["--format", "tgs"], ["--format", "tgs", "--images", tmp_path / "images"]):
        assert call(capsys, "validate", path, *asked)[:2] == (0, "2 rows, 2 images, 1 classes, 0 empty\n")
    cv2.imwrite(str(tmp_path / "images" / "c.png"), np.zeros((2, 3), np.uint8))
    code, _, err = call(capsys, "validate", path, "--format", "tgs", "--images", tmp_path / "images")
    assert (code, "image c.png of" in err) == (2, True)
    code, _, err = call(capsys, "validate", path)
    assert (code, "expected columns image_name, class, rle, got id, rle_mask" in err) == (2, True)
    code, _, err = call(capsys, "validate", tmp_path, "--format", "files suffix=.png", "--size", "2", "3")
    assert (code, "--size and --sizes mean nothing for the format files" in err) == (2, True)


def test_diff_and_vote_need_no_sizes_in_column_order(tmp_path, capsys):
    """Along the text votes and Dice are the same, whatever the image's shape."""
    form, noise = submission.parse("siim"), np.random.default_rng(0)
    masks = [{i: {"x": noise.random((7, 5)) < 0.5} for i in "ab"} for _ in range(3)]
    paths = [form.write(tmp_path / f"{n}.csv", m) for n, m in enumerate(masks)]
    out = tmp_path / "voted.csv"
    assert call(capsys, "vote", *paths, "-o", out, "--format", "siim objects=false")[0] == 0
    voted = form.read(out, (7, 5))
    for image in "ab":
        assert np.array_equal(voted[image]["mask"].mask(), sum(m[image]["x"].astype(int) for m in masks) >= 2)
    code, printed, _ = call(capsys, "diff", paths[0], paths[1], "--format", "siim")
    a, b = (m["a"]["x"] for m in masks[:2])
    dice = 2 * (a & b).sum() / (a.sum() + b.sum())
    assert code == 0
    assert f"{dice:.4f}  a  mask  {a.sum()} px -> {b.sum()} px" in printed


def test_vote_of_objects_finds_them_anew(tmp_path, capsys):
    form = submission.parse("airbus")
    one, two = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    one[0, :], two[0, 1:], two[3] = True, True, True
    paths = [form.write(tmp_path / f"{n}.csv", {"a": {"x": mask}}) for n, mask in enumerate((one, two, one | two))]
    code, _, err = call(capsys, "vote", *paths, "-o", tmp_path / "o.csv", "--format", "airbus")
    assert (code, "column-major text needs the image's shape" in err) == (2, True)
    assert call(capsys, "vote", *paths, "-o", tmp_path / "o.csv", "--format", "airbus", "--size", "4", "4")[0] == 0
    assert (tmp_path / "o.csv").read_text() == "ImageId,EncodedPixels\na,1 1 5 1 9 1 13 1\na,4 1 8 1 12 1 16 1\n"
