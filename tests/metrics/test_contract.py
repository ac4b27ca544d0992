"""What every metric keeps to. A new metric is one file and one row here."""

from collections.abc import Callable
from math import hypot, inf, nan
from typing import NamedTuple

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import f1_score, fbeta_score, jaccard_score

from segkit.masks import MaskSet
from segkit.metrics import METRICS, Combined, Dice, Hausdorff, Metric, bootstrap, compare, parse
from segkit.rle import Runs

DIAGONAL = hypot(4, 4)


class Row(NamedTuple):
    """A metric as a spec, what it must give, and what must be refused.

    overlap: truth is rows 0 to 2 of a 4 x 4 image, the prediction rows 2 and 3: 4 pixels common of 12 and 8.
    nothing: both are empty. wrong: one is empty, the other full. right: both are full, or the same single pixel.
    other: the answer of another library, or of a slow twin, to two masks.
    """

    spec: str
    overlap: float
    nothing: float
    wrong: float
    right: float
    other: Callable[[np.ndarray, np.ndarray], float]
    refused: tuple[str, ...] = ()


def sklearn(function, **settings):
    return lambda pred, truth: function(truth.ravel(), pred.ravel(), **settings)


def outline(mask):
    return mask & ~ndimage.binary_erosion(mask)


def distances(pred, truth):
    """As MONAI measures them: outlines by erosion, exact distances to the other outline."""
    a, b = outline(pred), outline(truth)
    return ndimage.distance_transform_edt(~b)[a], ndimage.distance_transform_edt(~a)[b]


def slow_surface_dice(tolerance):
    def found(pred, truth):
        both = np.concatenate(distances(pred, truth))
        return (both <= tolerance).mean()

    return found


def slow_hausdorff(percentile, normalized=False):
    def found(pred, truth):
        value = max(np.percentile(each, percentile) for each in distances(pred, truth))
        return 1 - value / hypot(*pred.shape) if normalized else value

    return found


def slow_precision(thresholds):
    def found(pred, truth):
        (a, n), (b, m) = (ndimage.label(mask, np.ones((3, 3))) for mask in (pred, truth))
        ious = [
            [((a == i) & (b == j)).sum() / ((a == i) | (b == j)).sum() for j in range(1, m + 1)]
            for i in range(1, n + 1)
        ]
        out = []
        for threshold in thresholds:  # at .5 and above nobody can hit twice
            hits = sum(max(row, default=0) > threshold for row in ious)
            out.append(hits / (n + m - hits))
        return np.mean(out)

    return found


ROWS = [
    Row("dice", 8 / 20, 1, 0, 1, sklearn(f1_score), ("dice(empty='two')", "dice(average='micro')")),
    Row("dice(empty='zero', average='pooled')", 8 / 20, 0, 0, 1, sklearn(f1_score)),
    Row("iou", 4 / 16, 1, 0, 1, sklearn(jaccard_score), ("iou(empty=1)",)),
    Row("iou(empty='skip')", 4 / 16, nan, nan, 1, sklearn(jaccard_score)),
    Row("fbeta(beta=0.5)", 5 / 11, 1, 0, 1, sklearn(fbeta_score, beta=0.5), ("fbeta(beta=0)", "fbeta(beta=True)")),
    Row("fbeta(average='pooled', beta=2)", 20 / 56, 1, 0, 1, sklearn(fbeta_score, beta=2), ("fbeta(beta='2')",)),
    Row("mean_iou", 4 / 16, nan, 0, 1, sklearn(jaccard_score), ("mean_iou(average='x')",)),
    Row("average_precision(iou_thresholds=(0.2, 0.3))", 1 / 2, 1, 0, 1, slow_precision((0.5,)),
        ("average_precision(iou_thresholds=())", "average_precision(iou_thresholds=(50,))",
         "average_precision(iou_thresholds=0.5)", "average_precision(objects='pixels')")),
    Row("average_precision", 0, 1, 0, 1, slow_precision(np.arange(10, 20) / 20)),
    Row("average_precision(iou_thresholds=(0.2, 0.3), objects='mask')", 1 / 2, 1, 0, 1,
        lambda a, b: np.mean([(a & b).sum() > t * (a | b).sum() for t in (0.2, 0.3)])),
    Row("surface_dice(tolerance=0)", 8 / 18, 1, 0, 1, slow_surface_dice(0), ("surface_dice(tolerance=-1)",)),
    Row("surface_dice(empty='skip', tolerance=1.5)", 14 / 18, nan, nan, 1, slow_surface_dice(1.5)),
    Row("hausdorff", 2, 0, DIAGONAL, 0, slow_hausdorff(100), ("hausdorff(percentile=101)", "hausdorff(normalized=1)")),
    Row("hausdorff(percentile=95, normalized=True)", 1 - 2 / DIAGONAL, 1, 0, 1, slow_hausdorff(95, normalized=True)),
    Row("0.25 * dice + 0.75 * iou(average='pooled')", 0.1 + 3 / 16, 1, 0, 1,
        lambda a, b: sklearn(f1_score)(a, b) / 4 + sklearn(jaccard_score)(a, b) * 3 / 4,
        ("dice + dice", "0 * dice + iou", "0.4 * dice + 0.6 * hausdorff", "dice - iou", "True * dice + iou")),
    Row("0.4 * dice + 0.6 * hausdorff(normalized=True)", 0.16 + 0.6 * (1 - 2 / DIAGONAL), 1, 0, 1,
        lambda a, b: sklearn(f1_score)(a, b) * 0.4 + slow_hausdorff(100, normalized=True)(a, b) * 0.6),
]  # fmt: skip
# its own thresholds are too low for the slow twin: the twin is asked at .5
TWINS = {"average_precision(iou_thresholds=(0.2, 0.3))": "average_precision(iou_thresholds=(0.5,))"}
every = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.spec)


def rows_of(first, last, size=(4, 4)):
    mask = np.zeros(size, bool)
    mask[first : last + 1] = True
    return mask


def single(mask):
    return {"a": {"x": mask}}


def world(seed=0, images=8):
    """Predictions and truth of several images and two classes, none of them empty; sizes differ."""
    rng = np.random.default_rng(seed)
    sizes = [(12 + k, 17 - k) for k in range(images)]

    def blobs(size):
        return ndimage.gaussian_filter(rng.normal(size=size), 1.2) > 0.1

    made = [{f"i{k}": {c: blobs(size) for c in "xy"} for k, size in enumerate(sizes)} for _ in range(2)]
    assert all(mask.any() for given in made for row in given.values() for mask in row.values())
    return made


def masks_of(given, ignore=None):
    sizes = {image: row["x"].shape for image, row in given.items()}
    hidden = None if ignore is None else lambda image: Runs.from_mask(ignore[image])
    return MaskSet(given, ("x", "y"), lambda i, c: Runs.from_mask(given[i][c]), sizes=sizes, ignore=hidden)


@every
def test_values_counted_by_hand(row):
    metric, none, full, corner = parse(row.spec), rows_of(9, 9), rows_of(0, 3), rows_of(9, 9)
    corner[3, 3] = True
    for pred, truth, value in (
        (rows_of(2, 3), rows_of(0, 2), row.overlap),
        (none, none, row.nothing),
        (full, none, row.wrong),
        (none, full, 0 if np.isnan(row.wrong) else row.wrong),  # skip is of the truth that is empty
        (full, full, row.right),
        (corner, corner, row.right),
    ):
        assert metric(single(pred), single(truth)) == pytest.approx(value, abs=5e-5, nan_ok=True)


@every
def test_another_librarys_answer(row):
    pred, truth = world()
    table = parse(TWINS.get(row.spec, row.spec)).table(pred, truth)
    assert table.shape == (8, 2)
    for image in truth:
        for cls in "xy":
            assert table.loc[image, cls] == pytest.approx(row.other(pred[image][cls], truth[image][cls]), abs=2e-5)


@every
def test_the_score_is_the_mean_of_the_table_or_that_of_all_pixels(row):
    metric, (pred, truth) = parse(row.spec), world(1)
    score, table = metric(pred, truth), metric.table(pred, truth)
    assert table.index.tolist() == list(truth)
    assert table.columns.tolist() == ["x", "y"]
    if metric.average == "image":
        assert score == pytest.approx(table.mean().mean(), abs=1e-12)
        return
    if isinstance(metric, Combined):
        assert score == pytest.approx(sum(weight * each(pred, truth) for each, weight in metric.terms))
        return
    strip = [{"all": {c: _joined(given, c) for c in "xy"}} for given in (pred, truth)]
    assert score == pytest.approx(metric(*strip), abs=1e-9)


def _joined(given, cls):
    """All images as one, a single row of pixels."""
    return np.concatenate([masks[cls].ravel() for masks in given.values()])[None]


@every
def test_ignored_pixels_count_nowhere(row):
    metric, (pred, truth) = parse(row.spec), world(2)
    rng = np.random.default_rng(3)
    ignore = {image: rng.random(masks["x"].shape) < 0.3 for image, masks in truth.items()}
    hidden = masks_of(truth, ignore)
    cleaned = [{i: {c: m & ~ignore[i] for c, m in row.items()} for i, row in given.items()} for given in (pred, truth)]
    assert metric(pred, hidden) == metric(*cleaned)
    noise = {i: {c: m ^ ignore[i] for c, m in row.items()} for i, row in pred.items()}
    assert metric(noise, hidden) == metric(pred, hidden)


@every
def test_a_spec_is_what_the_metric_prints(row):
    metric = parse(row.spec)
    assert parse(str(metric)) == metric
    assert hash(parse(str(metric))) == hash(metric)
    assert parse(metric) is metric
    assert str(metric) == row.spec
    for spec in row.refused:
        with pytest.raises(ValueError):
            parse(spec)


@every
def test_counts_are_enough_where_it_says_so(row):
    metric, (pred, truth) = parse(row.spec), world(4)
    if not metric.has_counts:
        for ask in (lambda: metric.counts(pred, truth), lambda: metric.from_counts(Dice().counts(pred, truth))):
            with pytest.raises(ValueError, match="needs the masks themselves"):
                ask()
        assert not metric.separable
        return
    counts = metric.counts(pred, truth)
    assert metric.from_counts(counts) == pytest.approx(metric(pred, truth), abs=1e-15)
    assert metric.per_class(counts) == pytest.approx(metric.scores(pred, truth).per_class(), abs=1e-15)


@every
def test_scores_of_some_images_and_of_images_that_count_twice(row):
    metric, (pred, truth) = parse(row.spec), world(5)
    found, some = metric.scores(pred, truth), ["i6", "i0", "i3"]
    parts = [{image: given[image] for image in some} for given in (pred, truth)]
    assert found.subset(some).score() == pytest.approx(metric(*parts), abs=1e-12)
    weights = np.array([2, 0, 1, 0, 0, 3, 0, 1])
    copies = [f"i{k}" for k, times in enumerate(weights) for _ in range(times)]
    again = [{n: given[image] for n, image in enumerate(copies)} for given in (pred, truth)]
    assert found.score(weights) == pytest.approx(metric(*again), abs=1e-6)  # the 1e-4 of a quotient is not copied
    assert found.select("y").score() == pytest.approx(found.per_class()[1])


@every
def test_the_truth_itself_is_significantly_better_than_a_guess(row):
    metric, (pred, truth) = parse(row.spec), world(6, images=10)
    groups = {image: image for image in truth}
    guess, perfect = metric.scores(pred, truth), metric.scores(truth, truth)
    assert perfect.score() == row.right
    found = compare(guess, perfect, groups)
    assert found.gain == pytest.approx(abs(perfect.score() - guess.score()))
    assert found.is_significant()
    assert not compare(perfect, guess, groups).is_significant()
    interval = bootstrap(guess, groups)
    assert interval.mean == pytest.approx(guess.score())
    assert interval.low < interval.mean < interval.high


@every
def test_what_does_not_fit_is_named(row):
    metric = parse(row.spec)
    mask = rows_of(0, 1)
    with pytest.raises(ValueError, match="the prediction lacks image a, class x"):
        metric({}, single(mask))
    with pytest.raises(ValueError, match="image a, class x: masks of different shapes"):
        metric(single(mask[:3]), single(mask))


def test_every_metric_has_a_row():
    found = {type(each) for row in ROWS for each in _each(parse(row.spec))}
    assert found == set(METRICS.values())


def _each(metric: Metric):
    return [each for each, _ in metric.terms] if isinstance(metric, Combined) else [metric]


def test_lower_is_better_of_a_distance_only():
    lower = {row.spec for row in ROWS if not parse(row.spec).higher_is_better}
    assert lower == {"hausdorff"}
    assert Hausdorff().higher_is_better is False
    assert METRICS["hausdorff"](percentile=50, normalized=True).higher_is_better is True
    assert inf > Hausdorff()(single(rows_of(9, 9)), single(rows_of(0, 0))) == DIAGONAL
