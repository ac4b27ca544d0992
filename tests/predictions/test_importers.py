"""Others' predictions come in whole: the values they meant, under the ids they belong to, or a named error."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segkit import predictions, rle
from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.predictions.importers import filling

CLASSES = ("a", "b_c", "c")
STEP = 1 / 64  # half a level: what a store rounds a logit to


def probs(seed: int, shape: tuple[int, ...] = (3, 20, 24)) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.03, 0.97, shape).astype(np.float32)


def logits(p: np.ndarray) -> np.ndarray:
    return np.log(p / (1 - p))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two originals of different sizes, in folders of persons."""
    for name, shape in (("p/one.png", (40, 48)), ("q/two.png", (41, 50))):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.zeros(shape, np.uint8))
    return tmp_path / "images"


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    np.save(folder / "one.npy", probs(1))
    np.savez_compressed(folder / "two.npz", whatever=probs(2).astype(np.float16))
    return folder


def test_arrays_take_the_ids_and_sizes_of_the_images(arrays: Path, images: Path, tmp_path: Path) -> None:
    store = predictions.import_arrays(arrays, tmp_path / "s.zarr", classes=CLASSES, images=images)
    assert store.ids == ("one.png", "two.png")
    assert store.sizes == {"one.png": (40, 48), "two.png": (41, 50)}
    assert (store.classes, store.grid, len(store.done)) == (CLASSES, (20, 24), 2)
    assert np.abs(store["one.png"] - logits(probs(1))).max() <= STEP + 1e-5
    assert np.abs(store["two.png"] - logits(probs(2))).max() <= STEP + 0.02  # float16


def test_ids_without_images_are_stems_and_sizes_their_own(arrays: Path, tmp_path: Path) -> None:
    store = predictions.import_arrays(arrays, tmp_path / "s.zarr", classes=CLASSES)
    assert store.sizes == {"one": (20, 24), "two": (20, 24)}
    store = predictions.import_arrays(arrays, tmp_path / "t.zarr", classes=CLASSES, images=(40, 48))
    assert store.sizes == {"one": (40, 48), "two": (40, 48)}
    known = {"two.jpg": (7, 8), "one.jpg": (9, 9), "three.jpg": (1, 1)}
    store = predictions.import_arrays(arrays, tmp_path / "u.zarr", classes=CLASSES, images=known)
    assert store.sizes == {"one.jpg": (9, 9), "two.jpg": (7, 8)}


def test_layouts_and_domains_say_the_same(tmp_path: Path) -> None:
    for name, array in (("chw", probs(1)), ("hwc", np.moveaxis(probs(1), 0, 2)), ("raw", logits(probs(1)))):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.png.npy", array)
    one = predictions.import_arrays(tmp_path / "chw", tmp_path / "1.zarr", classes=CLASSES)
    two = predictions.import_arrays(tmp_path / "hwc", tmp_path / "2.zarr", classes=CLASSES, layout="hwc")
    raw = predictions.import_arrays(tmp_path / "raw", tmp_path / "3.zarr", classes=CLASSES, domain="logits")
    assert one.ids == ("x.png",)
    assert np.array_equal(one["x.png"], two["x.png"])
    assert np.abs(one["x.png"] - raw["x.png"]).max() <= 2 * STEP


def test_one_class_needs_no_channel_and_certain_pixels_saturate(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "x.npy", np.array([[0.0, 1.0], [0.5, 1.0]]))
    store = predictions.import_arrays(tmp_path / "in", tmp_path / "s.zarr", classes=["k"])
    most = store.saturation
    assert store["x"].tolist() == [[[-most, most], [0, most]]]


@settings(max_examples=40, deadline=None)
@given(
    plane=hnp.arrays(np.float32, st.tuples(*[st.integers(3, 30)] * 2), elements=st.floats(-3, 3, width=16)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_shrinking_is_the_exact_area_average(plane: np.ndarray, size: tuple[int, int]) -> None:
    small = resize.resize_image(filling._logits(plane, "logits", 4.0, Path("x"), "k"), size)
    exact = resize.coverage_of_box(plane, 0, 0, plane.shape, size, (0, 0, *size))
    assert small.dtype == np.float32
    assert np.abs(small - exact).max() < 1e-4


def test_a_full_size_prediction_is_brought_to_1024_or_what_is_asked(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    yy, xx = np.mgrid[:1200, :900]
    disk = 1 / (1 + np.exp((np.hypot(yy - 700, xx - 400) - 250) / 6))
    np.save(tmp_path / "in" / "x.npy", disk.astype(np.float32))
    assert predictions.import_arrays(tmp_path / "in", tmp_path / "a.zarr", classes=["k"]).grid == (1024, 900)
    store = predictions.import_arrays(tmp_path / "in", tmp_path / "b.zarr", classes=["k"], grid=(300, 250))
    for threshold in (0.3, 0.5, 0.7):
        back = resize.runs_above(store.plane("x", "k"), store.sizes["x"], threshold)
        assert back.dice(rle.Runs.from_mask(disk > threshold)) > 0.998


def test_what_was_begun_goes_on_and_nothing_else_does(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "s.zarr"
    whole = predictions.import_arrays(arrays, tmp_path / "whole.zarr", classes=CLASSES)
    good = (arrays / "two.npz").read_bytes()
    stat = (arrays / "two.npz").stat()
    written = PredictionStore.write_logits

    def dies(self: PredictionStore, image: str, value: np.ndarray) -> None:
        if image == "two":
            raise KeyboardInterrupt
        written(self, image, value)

    monkeypatch.setattr(PredictionStore, "write_logits", dies)
    with pytest.raises(KeyboardInterrupt):
        predictions.import_arrays(arrays, out, classes=CLASSES)
    assert PredictionStore.open(out).done == {"one"}
    asked: list[str] = []
    monkeypatch.setattr(PredictionStore, "write_logits", lambda s, i, v: (asked.append(i), written(s, i, v))[0])
    store = predictions.import_arrays(arrays, out, classes=CLASSES)
    assert asked == ["two"]
    assert all(np.array_equal(store[i], whole[i]) for i in store.ids)
    predictions.import_arrays(arrays, out, classes=CLASSES)
    assert asked == ["two"]
    for other in ({"classes": ["c", "b_c", "a"]}, {"classes": CLASSES, "grid": (5, 5)}):
        with pytest.raises(ValueError, match="other images or with other settings"):
            predictions.import_arrays(arrays, out, **other)
    (arrays / "two.npz").write_bytes(good)
    assert (arrays / "two.npz").stat().st_mtime_ns != stat.st_mtime_ns
    with pytest.raises(ValueError, match=r"two\.npz has changed since"):
        predictions.import_arrays(arrays, out, classes=CLASSES)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_file_that_was_repaired_goes_in_where_the_import_stopped(arrays: Path, tmp_path: Path) -> None:
    np.savez(arrays / "two.npz", whatever=probs(2) * 2)
    with pytest.raises(ValueError, match=r"two\.npz, class a: expected probabilities in"):
        predictions.import_arrays(arrays, tmp_path / "s.zarr", classes=CLASSES)
    np.savez(arrays / "two.npz", whatever=probs(2))
    arrays.rename(tmp_path / "moved")
    store = predictions.import_arrays(tmp_path / "moved", tmp_path / "s.zarr", classes=CLASSES)
    assert np.abs(store["two"] - logits(probs(2))).max() <= STEP + 1e-5


def test_a_store_of_somebody_else_is_not_written_to(arrays: Path, tmp_path: Path) -> None:
    sizes = {"one": (20, 24), "two": (20, 24)}
    PredictionStore.create(tmp_path / "s.zarr", ids=sizes, classes=CLASSES, sizes=sizes, grid=(20, 24))
    with pytest.raises(ValueError, match="made of other images"):
        predictions.import_arrays(arrays, tmp_path / "s.zarr", classes=CLASSES)


BAD = {
    "beyond": (probs(1) * 3, {}, r"x\.npy, class a: expected probabilities in \[0, 1\], got .*logits, perhaps"),
    "probs as logits": (probs(1), {"domain": "logits"}, r"x\.npy: all values lie in \[0, 1\]"),
    "turned": (np.moveaxis(probs(1), 0, 2), {}, r"x\.npy: expected 3 channels .*\(20, 24, 3\); layout='hwc', perhaps"),
    "turned too": (probs(1), {"layout": "hwc"}, r"\(3, 20, 24\); layout='chw', perhaps"),
    "classes": (probs(1)[:2], {}, r"x\.npy: expected 3 channels in layout chw, got shape \(2, 20, 24\)"),
    "flat": (probs(1)[0], {}, r"x\.npy: expected 3 channels"),
    "no pixels": (np.zeros((3, 0, 4)), {}, r"x\.npy: expected 3 channels"),
    "bytes": ((probs(1) * 255).astype(np.uint8), {}, r"x\.npy: expected float .* got uint8"),
    "objects": (np.array([{}]), {}, r"x\.npy cannot be read"),
    "domain": (probs(1), {"domain": "prob"}, "expected domain probs or logits, got domain='prob'"),
    "layout": (probs(1), {"layout": "HWC"}, "expected layout chw or hwc, got layout='HWC'"),
    "twice": (probs(1), {"classes": ["a", "a", "c"]}, "each once"),
    "text": (probs(1), {"classes": "abc"}, "classes='abc'"),
    "no classes": (probs(1), {"classes": None}, r"classes\.txt is not there"),
    "image": (probs(1), {"images": {"xx.png": (1, 1)}}, r"x\.npy: 0 images go by the name 'x'"),
    "images": (probs(1), {"images": {"x.png": (1, 1), "x.jpg": (1, 1)}}, r"2 images go by the name 'x'"),
    "no images": (probs(1), {"images": "nowhere"}, "nowhere is not a folder"),
}


@pytest.mark.parametrize(("array", "options", "message"), BAD.values(), ids=BAD)
def test_bad_arrays_are_named(array: np.ndarray, options: dict, message: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "x.npy", array)
    with pytest.raises(ValueError, match=message):
        predictions.import_arrays(tmp_path / "in", tmp_path / "s.zarr", **{"classes": CLASSES, **options})


def test_nan_a_broken_file_and_a_missing_key_are_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    bad = probs(1)
    bad[1, 2, 3] = np.nan
    np.savez(tmp_path / "in" / "x.npz", one=bad, two=bad)
    with pytest.raises(ValueError, match=r"x\.npz cannot be read: it holds one, two; key=None"):
        predictions.import_arrays(tmp_path / "in", tmp_path / "s.zarr", classes=CLASSES)
    with pytest.raises(ValueError, match=r"x\.npz, class b_c: 1 values are NaN"):
        predictions.import_arrays(tmp_path / "in", tmp_path / "s.zarr", classes=CLASSES, key="two")
    (tmp_path / "in" / "x.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match=r"x\.npz cannot be read"):
        predictions.import_arrays(tmp_path / "in", tmp_path / "t.zarr", classes=CLASSES)
    (tmp_path / "in" / "x.npz").unlink()
    (tmp_path / "in" / "x.mat").touch()
    with pytest.raises(ValueError, match=r"holds no \.npy or \.npz files, but \.mat"):
        predictions.import_arrays(tmp_path / "in", tmp_path / "t.zarr", classes=CLASSES)
    with pytest.raises(ValueError, match="expected a folder"):
        predictions.import_arrays(tmp_path / "none", tmp_path / "t.zarr", classes=CLASSES)


# -- nnU-Net -----------------------------------------------------------------------------------------------------------
class Bomb:
    def __reduce__(self) -> tuple:
        return (Path("opened").touch, ())


@pytest.fixture
def nnunet(tmp_path: Path) -> Path:
    """Softmax over background and three classes, (C, 1, H, W), as its 2-D output is."""
    folder = tmp_path / "nnunet"
    folder.mkdir()
    (folder / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "c": 3, "a": 1, "b_c": 2, "ignore": 4}})
    )
    for n, name in enumerate(("one", "two")):
        raw = np.exp(np.random.default_rng(n).normal(0, 1, (4, 1, 20, 24)))
        np.savez_compressed(folder / f"{name}.npz", probabilities=(raw / raw.sum(0)).astype(np.float32))
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(Bomb()))
    return folder


def test_nnunet_drops_the_background_and_opens_no_pickle(
    nnunet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagesTs").mkdir()
    for name in ("one", "two"):
        cv2.imwrite(str(tmp_path / "imagesTs" / f"{name}_0000.png"), np.zeros((20, 24), np.uint8))
    store = predictions.import_nnunet(nnunet, tmp_path / "s.zarr", images=tmp_path / "imagesTs")
    assert (store.ids, store.classes) == (("one.png", "two.png"), CLASSES)
    assert not (tmp_path / "opened").exists()
    softmax = np.load(nnunet / "two.npz")["probabilities"][1:, 0]
    assert np.abs(store["two.png"] - np.clip(logits(softmax), -store.saturation, store.saturation)).max() < STEP + 1e-5


def test_nnunet_with_regions_has_no_background(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    (tmp_path / "in" / "dataset.json").write_text(json.dumps({"labels": labels}))
    np.savez(tmp_path / "in" / "x.npz", probabilities=probs(1, (2, 6, 6)))
    with pytest.raises(
        ValueError, match=r"expected 3 channels .* got shape \(2, 6, 6\); background=True takes the first"
    ):
        predictions.import_nnunet(tmp_path / "in", tmp_path / "s.zarr")
    store = predictions.import_nnunet(tmp_path / "in", tmp_path / "s.zarr", background=False)
    assert store.classes == ("whole", "core")
    assert np.abs(store["x"] - logits(probs(1, (2, 6, 6)))).max() <= STEP + 1e-5


# -- PNG ---------------------------------------------------------------------------------------------------------------
def save_maps(folder: Path, pattern: str, values: dict[str, np.ndarray]) -> None:
    for image, planes in values.items():
        for cls, plane in zip(CLASSES, planes):
            path = folder / pattern.format(image, cls)
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), plane)


@pytest.mark.parametrize("pattern", ["{}/{}.png", "{}_{}.png", "p/{}/{}.png"])
def test_class_maps_are_255ths(pattern: str, tmp_path: Path) -> None:
    values = {name: np.rint(probs(n, (3, 9, 7)) * 255).astype(np.uint8) for n, name in enumerate(("i", "k_d"))}
    save_maps(tmp_path / "in", pattern, values)
    store = predictions.import_class_maps(tmp_path / "in", tmp_path / "s.zarr", classes=CLASSES)
    assert store.ids == ("i", "k_d")
    for image, planes in values.items():
        assert np.abs(store[image] - logits(planes / 255)).max() <= STEP + 1e-5


def test_a_missing_class_map_is_an_error_or_empty(tmp_path: Path) -> None:
    save_maps(tmp_path / "in", "{}_{}.png", {"i": np.full((3, 4, 4), 200, np.uint8)})
    (tmp_path / "in" / "i_b_c.png").unlink()
    with pytest.raises(ValueError, match="image i has no class map of b_c"):
        predictions.import_class_maps(tmp_path / "in", tmp_path / "s.zarr", classes=CLASSES)
    store = predictions.import_class_maps(tmp_path / "in", tmp_path / "s.zarr", classes=CLASSES, missing="empty")
    assert (store.plane("i", "b_c") == -store.saturation).all()
    assert (store.plane("i", "c") > 1).all()


def test_bad_class_maps_are_named(tmp_path: Path) -> None:
    def fails(message: str, **options: object) -> None:
        with pytest.raises(ValueError, match=message):
            predictions.import_class_maps(tmp_path / "in", tmp_path / "s.zarr", classes=CLASSES, **options)
        if (tmp_path / "s.zarr").exists():
            assert not PredictionStore.open(tmp_path / "s.zarr").done
            (tmp_path / "s.zarr").rename(tmp_path / f"old{len(list(tmp_path.iterdir()))}")

    good = np.full((3, 4, 4), 200, np.uint8)
    save_maps(tmp_path / "in", "{}_{}.png", {"i": good // 200})
    fails("image i: its class maps hold 0 and 1 only")
    save_maps(tmp_path / "in", "{}_{}.png", {"i": good})
    fails("expected missing error or empty, got missing='skip'", missing="skip")
    cv2.imwrite(str(tmp_path / "in" / "i_a.png"), np.zeros((4, 4, 3), np.uint8))
    fails(r"i_a\.png: expected an 8-bit grey PNG, got uint8 \(4, 4, 3\)")
    cv2.imwrite(str(tmp_path / "in" / "i_a.png"), np.zeros((4, 4), np.uint16))
    fails(r"i_a\.png: expected an 8-bit grey PNG, got uint16")
    cv2.imwrite(str(tmp_path / "in" / "i_a.png"), np.zeros((4, 5), np.uint8))
    fails(r"image i: expected class maps of one size, got .*i_a\.png \(4, 5\)")
    save_maps(tmp_path / "in", "{}/{}.png", {"i": good})
    fails("image i, class a: both")
    cv2.imwrite(str(tmp_path / "in" / "b_i.png"), good[0])
    fails(r"b_i\.png is neither IMAGE/CLASS\.png nor IMAGE_CLASS\.png")
    (tmp_path / "in" / "b_i.png").rename(tmp_path / "in" / "a.png")
    fails(r"in.a\.png is neither IMAGE/CLASS\.png nor IMAGE_CLASS\.png")


def test_the_kind_of_a_source(arrays: Path, nnunet: Path, images: Path, tmp_path: Path) -> None:
    kinds = {arrays: "arrays", nnunet: "nnunet", images: "class-maps"}
    assert {path: predictions.kind_of(path) for path in kinds} == kinds
    assert set(kinds.values()) == set(predictions.KINDS)
    (tmp_path / "x.csv").touch()
    (tmp_path / "empty").mkdir()
    for bad, message in (
        (tmp_path / "none", "is not a folder"),
        (tmp_path / "empty", "got nothing"),
        (tmp_path / "x.csv", "masks in a CSV: segkit rle convert"),
    ):
        with pytest.raises(ValueError, match=message):
            predictions.kind_of(bad)
    (tmp_path / "empty" / "x.mat").touch()
    with pytest.raises(ValueError, match=r"got \.mat"):
        predictions.kind_of(tmp_path / "empty")


@pytest.mark.parametrize(
    "hidden", [".ipynb_checkpoints/one-checkpoint.npy", "__MACOSX/one.npy", "._one.npy", ".git/x.npy"]
)
def test_hidden_files_are_no_predictions(arrays: Path, tmp_path: Path, hidden: str) -> None:
    (arrays / hidden).parent.mkdir(exist_ok=True)
    np.save(arrays / hidden, probs(5))
    assert predictions.kind_of(arrays) == "arrays"
    assert predictions.import_arrays(arrays, tmp_path / "s.zarr", classes=CLASSES).ids == ("one", "two")


def test_hidden_files_are_no_images(arrays: Path, images: Path, tmp_path: Path) -> None:
    (images / "p" / ".ipynb_checkpoints").mkdir()
    cv2.imwrite(str(images / "p" / ".ipynb_checkpoints" / "one.png"), np.zeros((9, 9), np.uint8))
    store = predictions.import_arrays(arrays, tmp_path / "s.zarr", classes=CLASSES, images=images)
    assert store.sizes["one.png"] == (40, 48)


def test_a_mistaken_import_that_wrote_nothing_does_not_bar_the_right_one(arrays: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.zarr"
    with pytest.raises(ValueError, match="logits, perhaps"):
        predictions.import_arrays(_logits_in(tmp_path), out, classes=["k"])
    assert PredictionStore.open(out).done == set()
    store = predictions.import_arrays(_logits_in(tmp_path), out, classes=["k"], domain="logits")
    assert store.done == {"x"}
    with pytest.raises(ValueError, match="other images or with other settings"):  # that one holds something
        predictions.import_arrays(arrays, out, classes=CLASSES)
    empty = PredictionStore.create(tmp_path / "t.zarr", ids=["x"], classes=["k"], sizes={"x": (2, 2)}, grid=(2, 2))
    with pytest.raises(ValueError, match="other images or with other settings"):  # not made by an import
        predictions.import_arrays(arrays, empty.path, classes=CLASSES)


def _logits_in(folder: Path) -> Path:
    (folder / "raw").mkdir(exist_ok=True)
    np.save(folder / "raw" / "x.npy", np.array([[[3.0, -3.0], [0.5, 2.0]]]))
    return folder / "raw"
