"""RLE against hand-counted values, the starter kits' loop, pycocotools, and boolean arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pycocotools import mask as coco

from segkit import rle
from segkit.rle import Runs, at_least

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9)) | st.tuples(st.just(1), st.integers(1, 40))
masks = SHAPES.flatmap(lambda shape: npst.arrays(bool, shape))
LAYOUTS = [(order, start) for order in "CF" for start in (0, 1)]


def same_size(count: int) -> st.SearchStrategy[list[np.ndarray]]:
    return SHAPES.flatmap(lambda shape: st.tuples(*[npst.arrays(bool, shape)] * count).map(list))


def starter_kit(mask: np.ndarray) -> str:
    """What the notebooks paste: pad, differences, pairs."""
    pixels = np.concatenate([[0], mask.flatten().astype(int), [0]])
    edges = np.where(pixels[1:] != pixels[:-1])[0] + 1
    edges[1::2] -= edges[::2]
    return " ".join(str(x) for x in edges)


def slow_decode(text: str, shape: tuple[int, int], order: str, start: int) -> np.ndarray:
    flat = np.zeros(shape[0] * shape[1], bool)
    numbers = [int(t) for t in text.split()]
    for first, length in zip(numbers[::2], numbers[1::2]):
        for pixel in range(first - start, first - start + length):
            flat[pixel] = True
    return flat.reshape(shape, order=order)


def test_counted_by_hand():
    mask = np.array([[0, 1, 1, 0], [1, 1, 0, 1]])
    assert rle.encode(mask) == "2 2 5 2 8 1"
    assert rle.encode(mask, start=0) == "1 2 4 2 7 1"
    assert rle.encode(mask, order="F") == "2 4 8 1"
    assert rle.encode(mask, order="F", start=0) == "1 4 7 1"


def test_a_run_goes_on_over_the_end_of_a_row():
    mask = np.array([[0, 0, 1], [1, 0, 0]], bool)
    assert rle.encode(mask) == "3 2"
    assert Runs.from_mask(mask).array.tolist() == [[2, 4]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 3)])
def test_full_empty_and_last_pixel(shape):
    size = shape[0] * shape[1]
    full, empty, last = np.ones(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    last[-1, -1] = True
    assert rle.encode(full) == f"1 {size}"
    assert rle.encode(empty) == ""
    assert rle.encode(last) == f"{size} 1"
    for mask in (full, empty, last):
        for order, start in LAYOUTS:
            text = rle.encode(mask, order=order, start=start)
            assert np.array_equal(rle.decode(text, shape, order=order, start=start), mask)


@given(masks)
def test_round_trip_and_slow_twin(mask):
    for order, start in LAYOUTS:
        text = rle.encode(mask, order=order, start=start)
        back = rle.decode(text, mask.shape, order=order, start=start)
        assert back.dtype == bool
        assert np.array_equal(back, mask)
        assert np.array_equal(slow_decode(text, mask.shape, order, start), mask)
    assert rle.encode(mask) == starter_kit(mask)
    assert rle.encode(mask, order="F") == starter_kit(mask.T)


@given(masks)
def test_runs_are_the_mask(mask):
    runs = Runs.from_mask(mask)
    assert runs.area == mask.sum()
    assert bool(runs) == mask.any()
    assert np.array_equal(runs.mask(), mask)
    assert runs.shape == mask.shape
    assert runs.array.dtype == np.int64
    assert Runs.from_text(runs.text(), mask.shape) == runs
    assert (runs.array[1:, 0] > runs.array[:-1, 1]).all()  # sorted, apart


@given(same_size(2))
def test_algebra_is_that_of_boolean_arrays(pair):
    a, b = pair
    x, y = Runs.from_mask(a), Runs.from_mask(b)
    assert np.array_equal((x & y).mask(), a & b)
    assert np.array_equal((x | y).mask(), a | b)
    assert np.array_equal((x - y).mask(), a & ~b)
    assert x.intersection(y) == y.intersection(x) == (a & b).sum()
    assert (x == y) == np.array_equal(a, b)
    assert x.dice(y) == pytest.approx((2 * (a & b).sum() + 1e-4) / (a.sum() + b.sum() + 1e-4), abs=1e-12)
    assert x.iou(y) == pytest.approx(((a & b).sum() + 1e-4) / ((a | b).sum() + 1e-4), abs=1e-12)


@given(same_size(3), st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0, 2.0]), min_size=3, max_size=3))
def test_at_least_counts_weights(group, weights):
    runs = [Runs.from_mask(m) for m in group]
    counts = sum(m.astype(int) for m in group)
    for need in (1, 2, 3, 4):
        assert np.array_equal(at_least(runs, need).mask(), counts >= need)
    weighed = sum(w * m for w, m in zip(weights, group))
    for need in (0.1, 0.4, 0.9, 1.5):
        assert np.array_equal(at_least(runs, need, weights).mask(), weighed >= need - 1e-6)


def test_weights_that_do_not_add_up_in_binary_reach_their_sum():
    assert at_least([Runs([[0, 3]])] * 10, 1.0, [0.1] * 10).area == 3
    assert at_least([Runs([[0, 3]])] * 3, 0.3, [0.1] * 3).area == 3


def test_a_need_near_zero_still_keeps_uncovered_pixels_out():
    assert at_least([Runs([[1, 3]]), Runs([[5, 6]])], 1e-12).array.tolist() == [[1, 3], [5, 6]]


@pytest.mark.parametrize(
    ("need", "weights", "message"),
    [
        (0, None, "need above 0"),
        (float("nan"), None, "need above 0"),
        (1, [1], "expected 2 weights"),
        (1, [1, -1], "of 0 or more"),
    ],
)
def test_a_vote_that_cannot_be_counted(need, weights, message):
    with pytest.raises(ValueError, match=message):
        at_least([Runs([[0, 1]]), Runs([[0, 1]])], need, weights)
    with pytest.raises(ValueError, match="at least one mask"):
        at_least([], 1)


@settings(max_examples=50)
@given(same_size(2))
def test_pycocotools_agrees(pair):
    a, b = pair
    theirs = [coco.encode(np.asfortranarray(m.astype(np.uint8))) for m in (a, b)]
    ours = [Runs.from_mask(m) for m in (a, b)]
    assert [int(n) for n in coco.area(theirs)] == [r.area for r in ours]
    if a.any() and b.any():
        assert coco.iou([theirs[0]], [theirs[1]], [0])[0, 0] == pytest.approx(ours[0].iou(ours[1]), abs=1e-4)
    counts = {"size": list(a.shape), "counts": uncompressed(rle.encode(a, order="F", start=0), a.size)}
    assert np.array_equal(coco.decode(coco.frPyObjects(counts, *a.shape)).astype(bool), a)


def uncompressed(text: str, size: int) -> list[int]:
    """COCO's uncompressed counts of a column-major text that starts at 0."""
    counts, at = [], 0
    numbers = [int(t) for t in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2]):
        counts += [start - at, length]
        at = start + length
    return [*counts, size - at]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "1 tokens.*'1'"),
        ("1 2 3", "3 tokens.*'3'"),
        ("1 a", "token 2 of the RLE text: expected an integer of up to 18 digits, got 'a'"),
        ("1.0 2", r"token 1 of the RLE text: expected an integer of up to 18 digits, got '1\.0'"),
        ("1 1e1", "token 2 of the RLE text: expected an integer of up to 18 digits, got '1e1'"),
        ("1_0 2", "token 1 of the RLE text: expected an integer of up to 18 digits, got '1_0'"),
        ("1 ２", "token 2 of the RLE text: expected an integer of up to 18 digits, got '２'"),
        ("nan nan", "token 1 of the RLE text: expected an integer of up to 18 digits, got 'nan'"),
        ("1 " + "9" * 30, "token 2 of the RLE text: expected an integer of up to 18 digits, got '9{30}'"),
        ("9223372036854775807 9223372036854775807", "token 1 .* up to 18 digits"),
        ("0 1", "token 1 of the RLE text: start 0 is below 1"),
        ("-3 1", "token 1 of the RLE text: start -3 is below 1"),
        ("1 1 3 0", "token 4 of the RLE text: length 0 is below 1"),
        ("3 -1", "token 2 of the RLE text: length -1 is below 1"),
        ("5 2 1 2", "token 3 .* unsorted, '5 2' then '1 2'"),
        ("1 3 2 1", "token 3 .* overlapping, '1 3' then '2 1'"),
        ("1 1 1 1", "token 3 .* overlapping"),
        ("12 2", "token 1 .* '12 2' ends past the 12 pixels"),
        ("1 2 13 1", "token 3 .* '13 1' ends past the 12 pixels"),
    ],
)
def test_bad_texts_name_the_token(text, message):
    for order in "CF":
        with pytest.raises(ValueError, match=message):
            rle.decode(text, (3, 4), order=order)


@pytest.mark.parametrize("text", [None, float("nan"), 3, b"1 2"])
def test_what_a_csv_reader_makes_of_an_empty_cell_is_no_mask(text):
    with pytest.raises(ValueError, match="empty mask is the empty string"):
        rle.decode(text, (3, 4))


def test_touching_runs_are_one_run():
    assert rle.decode("1 2 3 2", (1, 5)).tolist() == [[True, True, True, True, False]]
    assert Runs.from_text("1 2 3 2 7 1").array.tolist() == [[0, 4], [6, 7]]
    assert Runs.from_text("  1  2\n3 2 ").text() == "1 4"


def test_the_last_pixel_is_inside_and_the_next_is_not():
    assert rle.decode("12 1", (3, 4))[2, 3]
    assert rle.decode("11 1", (3, 4), start=0)[2, 3]
    with pytest.raises(ValueError, match="past"):
        rle.decode("12 1", (3, 4), start=0)


@settings(max_examples=60)
@given(masks, st.data())
def test_from_region_is_the_padded_mask(mask, data):
    top, left, below, right = (data.draw(st.integers(0, 3)) for _ in range(4))
    whole = np.pad(mask, ((top, below), (left, right)))
    assert Runs.from_region(mask, top, left, whole.shape) == Runs.from_mask(whole)
    assert Runs.from_region(mask, top, left, whole.shape).shape == whole.shape


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (2, 0), (0, 3)])
def test_a_region_outside_the_image(place):
    with pytest.raises(ValueError, match="does not lie inside"):
        Runs.from_region(np.ones((2, 2), bool), *place, (3, 4))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.int8])
def test_integer_masks_are_set_where_not_zero(dtype):
    mask = np.array([[0, 1], [1, 0]]).astype(dtype)
    assert rle.encode(mask) == "2 2"
    assert rle.encode(np.array([[0, 255], [7, 0]], np.uint8)) == "2 2"


@pytest.mark.parametrize("bad", [np.zeros((2, 2), np.float32), np.full((2, 2), 0.7)])
def test_a_float_mask_is_not_thresholded_in_silence(bad):
    with pytest.raises(ValueError, match="threshold it first"):
        rle.encode(bad)
    with pytest.raises(ValueError, match="threshold it first"):
        Runs.from_region(bad, 0, 0, (4, 4))


@pytest.mark.parametrize("bad", [np.zeros(4, bool), np.zeros((1, 2, 2), bool)])
def test_a_mask_has_two_axes(bad):
    with pytest.raises(ValueError, match=r"\(height, width\)"):
        rle.encode(bad)


@pytest.mark.parametrize("runs", [[[0.5, 2.7]], [[0, 1, 2], [3, 4, 5]], [1, 2], [[float("nan"), 2]]])
def test_runs_are_integer_pairs(runs):
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        Runs(runs)


@pytest.mark.parametrize("runs", [[[3, 3]], [[4, 2]], [[-1, 2]], [[4, 6], [0, 2]], [[0, 4], [3, 6]]])
def test_runs_that_are_no_mask(runs):
    with pytest.raises(ValueError, match="run"):
        Runs(runs)


def test_unknown_layouts():
    with pytest.raises(ValueError, match="order='A'"):
        rle.encode(np.ones((1, 1), bool), order="A")
    with pytest.raises(ValueError, match="start=2"):
        rle.decode("1 1", (1, 1), start=2)
    with pytest.raises(ValueError, match="shape"):
        rle.decode("1 1", (1, -1))


def test_runs_without_a_shape():
    runs = Runs([[0, 2], [4, 6]])
    with pytest.raises(ValueError, match="no shape"):
        runs.mask()
    assert runs.mask((2, 3)).tolist() == [[True, True, False], [False, True, True]]
    assert runs.with_shape((2, 3)).shape == (2, 3)
    with pytest.raises(ValueError, match="past the 4 pixels"):
        runs.mask((2, 2))


def test_runs_of_one_shape_are_not_read_as_another():
    runs = Runs([[0, 3]], (2, 6))
    with pytest.raises(ValueError, match=r"\(2, 6\).*\(6, 2\)"):
        runs.mask((6, 2))
    with pytest.raises(ValueError, match=r"\(2, 6\).*\(6, 2\)"):
        runs.with_shape((6, 2))
    with pytest.raises(ValueError, match="different shapes"):
        runs & Runs([[0, 3]], (6, 2))
    with pytest.raises(ValueError, match="different shapes"):
        runs.intersection(Runs([[0, 3]], (6, 2)))
    assert (runs & Runs([[2, 9]])).shape == (2, 6)  # an unknown shape goes with any


def test_inputs_come_back_untouched():
    given_array, mask = np.array([[0, 2], [2, 3]]), np.eye(3, dtype=np.uint8)
    kept_array, kept_mask = given_array.copy(), mask.copy()
    a, b = Runs(given_array, (3, 3)), Runs.from_mask(mask)
    (a & b), (a | b), (a - b), a.dice(b), a.text(), at_least([a, b], 1, [0.5, 0.5])
    assert np.array_equal(given_array, kept_array)
    assert given_array.flags.writeable
    assert np.array_equal(mask, kept_mask)
    assert a == Runs([[0, 3]], (3, 3))
    with pytest.raises(ValueError, match="read-only"):
        a.array[0, 0] = 5


def test_masks_that_are_no_plain_block_of_memory():
    wide = np.zeros((4, 9), bool)
    wide[1:3, 2:7] = True
    for view in (wide[:, ::2], wide.T, wide[::-1], np.asfortranarray(wide)):
        assert rle.encode(view) == rle.encode(view.copy(order="C"))


def test_two_empty_masks_agree_and_one_empty_does_not():
    empty, some = Runs([], (2, 2)), Runs([[0, 1]], (2, 2))
    assert empty.dice(Runs([], (2, 2))) == empty.iou(empty) == 1.0
    assert some.dice(empty) == pytest.approx(1e-4 / (1 + 1e-4))
    assert hash(some) == hash(Runs([[0, 1]]))
    assert repr(some) == "Runs(1 runs, area 1, shape (2, 2))"


@given(masks, st.data())
def test_a_crop_is_that_part_of_the_mask(mask, data):
    height, width = mask.shape
    top, left = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
    bottom, right = data.draw(st.integers(top, height)), data.draw(st.integers(left, width))
    assert np.array_equal(Runs.from_mask(mask).crop(top, left, bottom, right), mask[top:bottom, left:right])


@given(masks)
def test_the_box_is_the_smallest_that_holds_every_pixel(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if mask.any() else None
    assert Runs.from_mask(mask).box() == box


def test_a_crop_outside_the_image_is_refused():
    with pytest.raises(ValueError, match=r"\(0, 0, 3, 1\) does not lie inside an image \(2, 2\)"):
        Runs([[0, 1]], (2, 2)).crop(0, 0, 3, 1)
    with pytest.raises(ValueError, match="no shape"):
        Runs([[0, 1]]).box()


@given(masks)
def test_parts_and_holes_joined_are_the_mask_without_holes(mask):
    runs = Runs.from_mask(mask)
    assert rle.joined(runs.components(), runs.shape) == runs
    assert rle.joined([runs, *runs.holes()]) == at_least([runs, *runs.holes()], 1)
    assert not rle.joined([])


@pytest.mark.parametrize("shape", [None, 5, (2,), (2, 3, 1), ("2", "3"), (2.5, 3), (-1, 3), (float("nan"), 3)])
def test_a_shape_that_is_none(shape):
    with pytest.raises(ValueError, match=r"expected a shape \(height, width\) of integers, got "):
        Runs([], (0, 0)).with_shape(shape)
