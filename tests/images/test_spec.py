"""An ImageSpec says everything, comes back from JSON, and refuses what means nothing."""

import json

import pytest

from segkit.images import ImageSpec


@pytest.mark.parametrize(
    "spec",
    [
        ImageSpec(),
        ImageSpec("rgb", normalize="imagenet"),
        ImageSpec(7, normalize="dataset", value_range=(0, 4095), dtype="float32"),
        ImageSpec(2, normalize=((0.1, 0.2), (0.3, 0.4)), value_range=((0, 1), (-5, 5))),
        ImageSpec("grey", normalize=(0.5, 0.25)),
    ],
)
def test_a_spec_comes_back_from_json(spec):
    assert ImageSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert hash(spec) == hash(ImageSpec.from_dict(spec.to_dict()))


def test_channels_are_counted():
    assert [ImageSpec(channels).num_channels for channels in ("grey", "rgb", 1, 3, 9)] == [1, 3, 1, 3, 9]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": "gray"}, 'expected "grey", "rgb" or a number'),
        ({"channels": 0}, "a number of 1 or more"),
        ({"channels": True}, "a number of 1 or more"),
        ({"normalize": "imagnet"}, 'expected "image", "imagenet", "dataset" or'),
        ({"normalize": "imagenet"}, "3 channels, got channels='grey'"),
        ({"normalize": (0.5,)}, "two numbers"),
        ({"normalize": ((0.5, 0.5), 1.0)}, "expected 1 numbers, one per channel"),
        ({"normalize": (0.5, 0.0)}, "above 0"),
        ({"normalize": (float("nan"), 1)}, "two numbers"),
        ({"value_range": (5, 5)}, "low < high"),
        ({"value_range": (0, float("inf"))}, r"expected \(low, high\)"),
        ({"value_range": ((0, 1), (0, 2))}, "one per channel"),
        ({"value_range": 3}, r"expected \(low, high\)"),
        ({"dtype": "float16"}, 'expected "uint8" or "float32"'),
    ],
)
def test_what_means_nothing_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ImageSpec(**values)


def test_an_unknown_field_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="unknown field 'chanels'; did you mean channels"):
        ImageSpec.from_dict({"chanels": 3})
