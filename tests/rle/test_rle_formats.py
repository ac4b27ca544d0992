"""COCO against pycocotools, every format to every other, repair against a set of pixels, parts against scikit-image."""

import json
import re
import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco
from skimage.measure import label

from segkit import rle
from segkit.rle import RepairWarning, Runs, convert, from_coco, repair, to_coco

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9)) | st.tuples(st.integers(1, 3), st.integers(1, 60))
masks = SHAPES.flatmap(lambda shape: npst.arrays(bool, shape))
EDGES = [np.zeros((3, 4), bool), np.ones((3, 4), bool), np.ones((1, 1), bool), np.zeros((1, 1), bool)]
EDGES += [np.arange(12).reshape(3, 4) == 11, np.arange(12).reshape(3, 4) == 0]


def theirs(mask):
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))


# -- COCO ------------------------------------------------------------------------------------------------------------
def agrees_with_pycocotools(mask):
    runs = Runs.from_mask(mask)
    assert to_coco(runs, counts="bytes") == theirs(mask)
    assert to_coco(runs)["counts"].encode() == theirs(mask)["counts"]
    listed = to_coco(runs, counts="list")
    assert coco.frPyObjects(listed, *mask.shape) == theirs(mask)
    for value in (theirs(mask), to_coco(runs), listed, {**listed, "counts": np.array(listed["counts"])}):
        assert from_coco(value) == runs
        assert from_coco(value).shape == mask.shape
    json.dumps([to_coco(runs), listed])


@given(masks)
def test_coco_is_that_of_pycocotools(mask):
    agrees_with_pycocotools(mask)


@pytest.mark.parametrize("mask", EDGES, ids=lambda m: f"{m.shape}, {m.sum()} set")
def test_coco_of_edges(mask):
    agrees_with_pycocotools(mask)


def test_coco_of_counts_that_need_many_characters_and_signs():
    mask = np.zeros((2048, 1500), bool)
    mask[5:7, 3] = mask[:, 700:705] = mask[100:2000, 1000] = mask[1, 1200] = mask[17:, 1499] = True
    agrees_with_pycocotools(mask)
    assert np.array_equal(Runs.from_mask(mask).transpose().mask(), mask.T)


def test_coco_counted_by_hand():
    mask = np.array([[0, 1], [1, 1]], bool)  # column by column: 0 1 1 1
    assert to_coco(Runs.from_mask(mask), counts="list") == {"size": [2, 2], "counts": [1, 3]}
    assert to_coco(Runs.from_mask(mask)) == {"size": [2, 2], "counts": "13"}


def test_empty_runs_inside_coco_counts_are_nothing():
    assert from_coco({"size": [1, 6], "counts": [0, 2, 0, 2, 2]}).array.tolist() == [[0, 4]]
    assert from_coco({"size": [1, 6], "counts": [2, 0, 4]}).array.tolist() == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2, 3, 4, 5, 6]], "polygons"),
        ("13", "keys 'size' and 'counts', got str"),
        ({"counts": "13"}, "got the keys"),
        ({"size": [2, 2], "counts": None}, "got NoneType"),
        ({"size": [2], "counts": "13"}, "height, width"),
        ({"size": [2, 2], "counts": [1, 2]}, r"add up to 3.*has 4"),
        ({"size": [2, 2], "counts": [1, 4]}, r"add up to 5.*has 4"),
        ({"size": [2, 2], "counts": []}, "add up to 0"),
        ({"size": [2, 2], "counts": ""}, "add up to 0"),
        ({"size": [2, 2], "counts": [5, -1]}, "count 2 is -1"),
        ({"size": [2, 2], "counts": [1.0, 3.0]}, "list of integers, got float64"),
        ({"size": [2, 2], "counts": [[1, 3]]}, r"shape \(1, 2\)"),
        ({"size": [2, 2], "counts": [2**63 - 1, 2**63 - 1, 6]}, "add up to"),
        ({"size": [2, 2], "counts": "1 3"}, "character 2 .* b' '"),
        ({"size": [2, 2], "counts": b"1\xff"}, "character 2"),
        ({"size": [2, 2], "counts": "1p"}, "character 2 .* b'p'"),
        ({"size": [2, 2], "counts": "1o"}, "cut off"),
        ({"size": [2, 2], "counts": "1" + "o" * 20 + "0"}, "no image is that large"),
    ],
)
def test_bad_coco(value, message):
    with pytest.raises(ValueError, match=message):
        from_coco(value)


def test_coco_wants_a_shape_and_a_known_kind():
    with pytest.raises(ValueError, match="with_shape"):
        to_coco(Runs([[0, 1]]))
    with pytest.raises(ValueError, match="counts='zip'"):
        to_coco(Runs([[0, 1]], (1, 1)), counts="zip")


# -- conversion ------------------------------------------------------------------------------------------------------
def same(a, b):
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


@settings(max_examples=40, deadline=None)
@given(masks)
def test_every_format_to_every_other(mask):
    written = {name: convert(mask, source="mask", target=name) for name in rle.FORMATS}
    for source, target in product(rle.FORMATS, rle.FORMATS):
        assert same(convert(written[source], mask.shape, source=source, target=target), written[target])
    for order, start in product("CF", (0, 1)):
        name = f"kaggle-{'rows' if order == 'C' else 'columns'}-{start}"
        assert written[name] == rle.encode(mask, order=order, start=start)
        assert written[f"{name}-relative"] == rle.encode(mask, order=order, start=start, relative=True)


def test_a_shape_that_is_missing_or_another():
    assert convert("1 2", source="kaggle-rows-1", target="kaggle-rows-0") == "0 2"
    for value, source, target in (
        ("1 2", "kaggle-columns-1", "kaggle-rows-1"),
        ("1 2", "kaggle-rows-1", "kaggle-columns-1"),
        ("1 2", "kaggle-rows-1", "coco"),
        ("1 2", "kaggle-rows-1", "mask"),
    ):
        with pytest.raises(ValueError, match="shape"):
            convert(value, source=source, target=target)
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(1, 4\)"):
        convert({"size": [2, 2], "counts": "13"}, (1, 4), source="coco", target="kaggle-rows-1")
    with pytest.raises(ValueError, match="no format 'kaggle'; known: kaggle-rows-1"):
        convert("", (1, 1), source="kaggle", target="coco")
    with pytest.raises(ValueError, match="expected Runs"):
        convert("1 2", source="runs", target="kaggle-rows-1")
    with pytest.raises(ValueError, match="repairs Kaggle text and COCO counts, not mask"):
        convert(np.ones((2, 2), bool), source="mask", target="runs", repair=True)


# -- repair ----------------------------------------------------------------------------------------------------------
def slow_repair(text, shape, order, start):
    """Pixel by pixel: whatever of the pairs is an integer run and lies inside the image."""
    flat = np.zeros(shape[0] * shape[1], bool)
    tokens = text.split()
    for first, length in zip(tokens[::2], tokens[1::2]):
        if all(re.fullmatch(r"[+-]?[0-9]{1,18}", token) for token in (first, length)):
            for pixel in range(int(first) - start, int(first) - start + int(length)):
                if 0 <= pixel < flat.size:
                    flat[pixel] = True
    return flat.reshape(shape, order=order)


def is_relative(text, shape):
    """Whole as relative starts, and overlapping as absolute ones."""
    numbers = [int(token) for token in text.split()]
    pairs = list(zip(numbers[::2], numbers[1::2]))
    pixels = [pixel for start, length in pairs for pixel in range(start, start + length)]
    whole = len(numbers) % 2 == 0 and min(numbers, default=0) >= 0 and all(length > 0 for _, length in pairs)
    return whole and len(set(pixels)) < len(pixels) and sum(numbers) <= shape[0] * shape[1]


TOKENS = st.integers(-3, 15).map(str) | st.sampled_from(["x", "1.0", "nan", "1_0", "２"])


@given(st.lists(TOKENS, max_size=12).map(" ".join), st.sampled_from("CF"), st.sampled_from([0, 1]))
def test_repair_keeps_what_can_be_kept_and_says_so_only_where_it_did(text, order, start):
    shape = (3, 4)
    try:
        runs, notes = repair(text, shape, order=order, start=start)
    except ValueError:
        assert is_relative(text, shape)
        return
    assert np.array_equal(runs.mask(), slow_repair(text, shape, order, start))
    assert (runs.array[1:, 0] > runs.array[:-1, 1]).all()
    try:
        whole = rle.decode(text, shape, order=order, start=start)
    except ValueError:
        assert notes
        with pytest.warns(RepairWarning, match="repaired: "):
            again = rle.decode(text, shape, order=order, start=start, repair=True)
        assert np.array_equal(again, runs.mask())
    else:
        assert not notes
        assert np.array_equal(whole, runs.mask())


@pytest.mark.parametrize(
    ("text", "left", "note"),
    [
        ("1 2 7", "1 2", "dropped a last token without a partner (token 3 '7')"),
        ("1 2 x 3 5 1.0", "1 2", "dropped pairs with a token that is no integer (token 3 'x' and 1 more)"),
        ("1 2 5 0", "1 2", "dropped runs whose length is below 1 (token 4 '0')"),
        ("1 2 13 1", "1 2", "dropped runs that lie outside the image (token 3 '13')"),
        ("11 3", "11 2", "cropped runs that reach out of the image (token 1 '11')"),
        ("0 3", "1 2", "cropped runs that reach out of the image (token 1 '0')"),
        ("5 2 1 2", "1 2 5 2", "sorted runs (token 3 '1')"),
        ("1 6 2 1 7 1", "1 7", "merged overlapping runs (token 3 '2')"),
    ],
)
def test_a_repair_says_what_it_did(text, left, note):
    runs, notes = repair(text, (3, 4))
    assert (runs.text(), notes) == (left, (note,))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert Runs.from_text(text, (3, 4), repair=True).text() == left
        assert convert(text, (3, 4), source="kaggle-rows-1", target="kaggle-rows-1", repair=True) == left
        assert rle.encode(rle.decode(text, (3, 4), repair=True)) == left
    assert [str(warning.message) for warning in told] == [f"the RLE text was repaired: {note}"] * 3
    assert [warning.filename for warning in told] == [__file__] * 3  # the line that asked for it


# -- relative starts ---------------------------------------------------------------------------------------------------
def siim_encode(mask):
    """Slow, as SIIM-ACR 2019 describes it: down the columns, each start counted from the end of the run before."""
    flat, out, at = mask.T.ravel(), [], 0
    while at < len(flat):
        gap = next((k for k, value in enumerate(flat[at:]) if value), None)
        if gap is None:
            break
        length = next((k for k, value in enumerate(flat[at + gap :]) if not value), len(flat) - at - gap)
        out += [gap, length]
        at += gap + length
    return " ".join(map(str, out))


@given(masks)
def test_relative_starts_are_those_of_siim(mask):
    text = siim_encode(mask)
    assert rle.encode(mask, order="F", start=0, relative=True) == text
    assert np.array_equal(rle.decode(text, mask.shape, order="F", start=0, relative=True), mask)
    assert repair(text, mask.shape, order="F", start=0, relative=True) == (Runs.from_mask(mask), ())


def test_relative_starts_counted_by_hand():
    mask = np.array([[1, 1, 0, 0, 1, 0, 1]], bool)
    assert rle.encode(mask, start=0, relative=True) == "0 2 2 1 1 1"
    assert rle.encode(mask, relative=True) == "1 2 2 1 1 1"  # only the first start knows where counting begins
    assert rle.decode("0 2 0 1", (1, 4), start=0, relative=True).tolist() == [[True, True, True, False]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 2 -1 1", "token 3 of the RLE text: a relative start is 0 or more, got '-1 1'"),
        ("0 2 1 0", "token 4 of the RLE text: length 0 is below 1"),
        ("0 2 9 2", "ends past the 12 pixels"),
        (f"{10**17} 1 " * 12, "add up to more than"),
        ("0 2 1", "3 tokens"),
    ],
)
def test_relative_texts_that_are_not_whole(text, message):
    with pytest.raises(ValueError, match=message):
        rle.decode(text, (3, 4), start=0, relative=True)


def test_repair_of_relative_texts_stops_where_nobody_knows_what_follows():
    asked = {"start": 0, "relative": True}
    assert repair("0 2 1 2 7", (3, 4), **asked).runs.text() == "1 2 4 2"
    assert repair("0 2 1 99", (3, 4), **asked) == (Runs([[0, 2], [3, 12]]), ("cropped runs that reach out of the "
                                                                            "image (token 3 '1')",))  # fmt: skip
    assert repair("0 2 1 0 1 1", (3, 4), **asked).runs.text() == "1 2 5 1"
    for bad in ("0 2 x 1 1 1", "0 2 -1 1"):
        with pytest.raises(ValueError, match="token 3 of the relative RLE text"):
            repair(bad, (3, 4), **asked)


@given(st.integers(0, 63), st.integers(0, 63), st.integers(4, 20), st.sampled_from("CF"))
def test_repair_refuses_relative_texts_as_absolute_ones(y, x, radius, order):
    """FAULTS A15: 15,294 px of such a text became 160."""
    yy, xx = np.mgrid[:64, :64]
    text = rle.encode((yy - y) ** 2 + (xx - x) ** 2 < radius**2, order=order, start=0, relative=True)
    for size in ((64, 64), *([None] if order == "C" else [])):
        with pytest.raises(ValueError, match=r"as relative starts they are whole; .* say relative=True"):
            repair(text, size, order=order, start=0)
    with pytest.raises(ValueError, match=r"runs are unsorted, .* say relative=True|overlapping"):
        rle.decode(text, (64, 64), order=order, start=0)


def test_whole_texts_are_repaired_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Runs.from_text("1 2 3 2", (3, 4), repair=True).text() == "1 4"
        assert not rle.decode("", (3, 4), repair=True).any()
    assert repair("1 2 90 9").runs.area == 11  # no shape, no end


def test_what_no_repair_can_guess():
    for bad in (None, float("nan"), 7):
        with pytest.raises(ValueError, match="empty mask is the empty string"):
            repair(bad, (3, 4))
    with pytest.raises(ValueError, match="shape"):
        repair("1 2", order="F")


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 4), st.integers(1, 5)), st.lists(st.integers(0, 6), max_size=8))
def test_coco_counts_that_do_not_fit_are_cut_or_followed_by_background(shape, counts):
    pixels = [bool(k % 2) for k, count in enumerate(counts) for _ in range(count)]  # down the columns
    wanted = np.array((pixels + [False] * shape[0] * shape[1])[: shape[0] * shape[1]]).reshape(shape[::-1]).T
    runs, notes = rle.repair_coco({"size": list(shape), "counts": counts})
    assert np.array_equal(runs.mask(), wanted)
    assert len(notes) == (sum(counts) != wanted.size)


@settings(max_examples=40, deadline=None)
@given(masks, st.data())
def test_compressed_counts_that_were_cut_off_keep_what_came_before(mask, data):
    whole = to_coco(Runs.from_mask(mask))
    cut = data.draw(st.integers(0, len(whole["counts"]) - 1))
    runs, notes = rle.repair_coco({**whole, "counts": whole["counts"][:cut]})
    assert notes
    kept, flat = runs.mask().T.ravel(), mask.T.ravel()
    end = np.flatnonzero(kept).max(initial=-1) + 1
    assert np.array_equal(kept[:end], flat[:end])
    assert rle.repair_coco(whole) == (Runs.from_mask(mask), ())


def test_repaired_coco_counts_are_told():
    value = {"size": [1, 4], "counts": "13o"}  # one 0, three 1, and a number that goes on
    assert rle.repair_coco(value).notes == ("dropped a last count that is cut off",)
    with pytest.warns(RepairWarning, match="COCO counts were repaired: dropped a last count"):
        assert convert(value, source="coco", target="kaggle-rows-1", repair=True) == "2 3"
    with pytest.raises(ValueError, match=r"\(1, 4\).*\(2, 2\)"), pytest.warns(RepairWarning):
        convert(value, (2, 2), source="coco", target="runs", repair=True)
    for counts in ([[0, 0, 1, 1]], [1, -1, 4], [1.5, 2], "1 3", "1p"):
        with pytest.raises(ValueError, match="COCO"):
            rle.repair_coco({"size": [1, 4], "counts": counts})


# -- runs ------------------------------------------------------------------------------------------------------------
def parts_of(mask, connectivity):
    labels = label(mask, connectivity=1 if connectivity == 4 else 2)
    return {tuple(np.flatnonzero(labels == k)) for k in range(1, labels.max() + 1)}


def pixels(parts):
    return {tuple(np.flatnonzero(part.mask())) for part in parts}


@given(masks)
def test_parts_are_those_of_scikit_image(mask):
    runs = Runs.from_mask(mask)
    for connectivity in (4, 8):
        parts = runs.components(connectivity=connectivity)
        assert pixels(parts) == parts_of(mask, connectivity)
        assert [p.array[0, 0] for p in parts] == sorted(p.array[0, 0] for p in parts)
        assert all(p.shape == mask.shape for p in parts)
    edge = np.ones_like(mask)
    edge[1:-1, 1:-1] = False
    at_edge = set(np.flatnonzero(edge))
    assert pixels(runs.holes()) == {part for part in parts_of(~mask, 4) if not at_edge & set(part)}


@given(masks)
def test_transpose_and_complement(mask):
    runs = Runs.from_mask(mask)
    assert runs.transpose() == Runs.from_mask(mask.T)
    assert runs.transpose().shape == mask.T.shape
    assert runs.transpose().transpose() == runs
    assert ~runs == Runs.from_mask(~mask)
    assert ~~runs == runs


def test_parts_of_edges():
    empty, full = Runs([], (3, 4)), Runs([[0, 12]], (3, 4))
    assert empty.components() == empty.holes() == full.holes() == []
    assert full.components() == [full]
    with pytest.raises(ValueError, match="connectivity=6"):
        full.components(connectivity=6)
    bare = Runs([[0, 1]])
    for ask in (bare.components, bare.holes, bare.transpose, bare.__invert__):
        with pytest.raises(ValueError, match="no shape"):
            ask()
