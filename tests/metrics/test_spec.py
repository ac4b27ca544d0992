"""One-line specs: what they mean, and what is refused with the nearest name."""

import pytest

from segkit.metrics import AveragePrecision, Combined, Dice, FBeta, IoU, parse


@pytest.mark.parametrize(
    ("spec", "metric"),
    [
        ("dice", Dice()),
        (" dice() ", Dice()),
        ("fbeta(beta=0.5, average='pooled')", FBeta(beta=0.5, average="pooled")),
        ("average_precision(iou_thresholds=[0.5, 0.75])", AveragePrecision(iou_thresholds=(0.5, 0.75))),
        ("0.4*dice + 0.6*iou", Combined({Dice(): 0.4, IoU(): 0.6})),
        ("dice + 2*iou(empty='skip')", Combined({Dice(): 1, IoU(empty="skip"): 2})),
    ],
)
def test_what_a_spec_means(spec, metric):
    assert parse(spec) == metric
    assert parse(str(metric)) == metric


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dise", "no metric 'dise'; did you mean dice"),
        ("dice(emty='one')", "dice has no setting 'emty'; did you mean empty"),
        ("dice('one')", "cannot read the metric"),
        ("dice(empty=open('x'))", "expected a plain value of empty"),
        ("dice(**{})", "cannot read the metric"),
        ("__import__('os')", "cannot read the metric"),
        ("dice; iou", "cannot read the metric"),
        ("", "cannot read the metric"),
        ("(" * 500, "cannot read the metric"),
        ("a.dice", "cannot read the metric"),
        ("iou*dice", "cannot read the metric"),
        ("1e999*dice", "weights above 0"),
    ],
)
def test_what_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        parse(spec)
