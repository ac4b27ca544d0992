"""Views that undo themselves, are told apart, and are merged without ever being stacked."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segkit.tta import SYMMETRIES, TTA, OneView, as_views

IMAGE = torch.randn(2, 1, 5, 7, generator=torch.Generator().manual_seed(0))
ALL = ["none", "hflip", "vflip", "d4", "hflip, vflip", ["rot90", "antitranspose"]]

# What each view is in NumPy's words, on an (H, W) array.
TWINS = {
    "identity": lambda a: a,
    "rot90": lambda a: np.rot90(a, 1),
    "rot180": lambda a: a[::-1, ::-1],
    "rot270": lambda a: np.rot90(a, 3),
    "hflip": lambda a: a[:, ::-1],
    "vflip": lambda a: a[::-1],
    "transpose": lambda a: a.T,
    "antitranspose": lambda a: a[::-1, ::-1].T,
}


class Equivariant(nn.Module):
    """Pixelwise: what it says of a turned image is what it said, turned."""

    def forward(self, image):
        return torch.cat([image, image * 2 - 1, image.square()], 1)


def probs(image):
    return Equivariant()(image).sigmoid()


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("none", "identity"),
        ("hflip", "identity hflip"),
        (["vflip", "hflip", "hflip"], "identity vflip hflip"),
        ("hflip, d4, rot90", "identity hflip rot90 rot180 rot270 transpose vflip antitranspose"),
        ([], "identity"),
        ("hflip*vflip, rot90*rot90, hflip*hflip", "identity rot180"),
        (["hflip, vflip*hflip, rot90*hflip*vflip", "rot270"], "identity hflip rot180 rot270"),
    ],
)
def test_every_view_is_taken_once(spec, names):
    """Mirrors times mirrors times turns are 16 names and 8 views (a well-known library takes all 16)."""
    shown = []
    tta = TTA(lambda image: shown.append(image) or image, spec)
    tta(IMAGE)
    assert [view.name for view in tta.views] == names.split()
    assert len(shown) == len(names.split())


def test_mirrors_times_turns_are_eight_views():
    turns = ["identity", "rot90", "rot180", "rot270"]
    spec = [f"{h}*{v}*{turn}" for h in ("identity", "hflip") for v in ("identity", "vflip") for turn in turns]
    assert {view.name for view in as_views(spec)} == set(SYMMETRIES)


@pytest.mark.parametrize("views", ALL)
@pytest.mark.parametrize(("merge", "domain", "model"), [
    ("mean", "logits", Equivariant()),
    ("max", "logits", Equivariant()),
    ("mean", "probs", probs),
    ("gmean", "probs", probs),
    ("max", "probs", probs),
])  # fmt: skip
def test_an_equivariant_model_answers_as_without(views, merge, domain, model):
    """And so nothing is activated twice: what comes out is in the domain that went in."""
    before = IMAGE.clone()
    torch.testing.assert_close(TTA(model, views, merge, domain)(IMAGE), model(IMAGE))
    assert torch.equal(IMAGE, before)


@settings(max_examples=30, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(sorted(SYMMETRIES)), max_size=5),
    merge=st.sampled_from(["mean", "gmean", "max", 2, 0.5, -1.5, 30.0]),
    seed=st.integers(0, 1000),
    weighted=st.booleans(),
)
def test_slow_twin(chosen, merge, seed, weighted):
    """Stack all views in NumPy and reduce: a model whose answer depends on place."""
    noise = np.random.default_rng(seed).uniform(0.01, 0.99, (4, 4))

    def model(image):
        return (image.sigmoid() * torch.from_numpy(noise)).expand(-1, 2, -1, -1)

    image = torch.from_numpy(np.random.default_rng(seed + 1).normal(size=(1, 1, 4, 4)))
    weights = {name: 0.5 + place for place, name in enumerate(chosen)} if weighted and merge != "max" else {}
    tta = TTA(model, chosen, merge, "probs", weights=weights)
    undo = {name: name for name in TWINS} | {"rot90": "rot270", "rot270": "rot90"}
    stack = []
    for name in [view.name for view in tta.views]:
        turned = torch.from_numpy(TWINS[name](image[0, 0].numpy()).copy())[None, None]
        stack.append([TWINS[undo[name]](plane) for plane in model(turned)[0].numpy()])
    stack = np.array(stack)
    w = np.array([weights.get(view.name, 1.0) for view in tta.views])
    w = (w / w.sum())[:, None, None, None]
    if merge == "gmean":
        reduced = np.exp((w * np.log(stack)).sum(0))
    elif merge == "max":
        reduced = stack.max(0)
    else:
        p = 1 if merge == "mean" else merge
        reduced = ((w * stack**p).sum(0)) ** (1 / p)
    np.testing.assert_allclose(tta(image)[0].numpy(), reduced, rtol=1e-10)
    merged, spread = tta.uncertainty(image) if len(stack) > 1 else (tta(image), torch.zeros(1, 2, 4, 4))
    np.testing.assert_array_equal(merged.numpy(), tta(image).numpy())
    mean = (w * stack).sum(0)
    np.testing.assert_allclose(spread[0].numpy(), np.sqrt((w * (stack - mean) ** 2).sum(0)), atol=1e-10)
    entropy = -(mean * np.log2(mean) + (1 - mean) * np.log2(1 - mean))
    np.testing.assert_allclose(tta.uncertainty(image, "entropy")[1][0].numpy(), entropy, atol=1e-10)


def sides(image):
    """Channel 0 is what is seen left of the middle, 1 right of it, 2 all: the meaning a mirror swaps."""
    left = torch.zeros_like(image)
    left[..., : image.shape[-1] // 2] = 1
    return torch.cat([image * left, image * (1 - left), image], 1)


@pytest.mark.parametrize(("pairs", "classes"), [
    ([(0, 1)], None),
    ([(1, 0)], None),
    ([("left-lung", "right-lung")], ("left-lung", "right-lung", "heart")),
])  # fmt: skip
def test_classes_swap_under_a_mirror(pairs, classes):
    image = torch.randn(1, 1, 4, 6)
    expected = sides(image)
    torch.testing.assert_close(TTA(sides, "hflip", class_swaps=pairs, classes=classes)(image), expected)
    assert not torch.allclose(TTA(sides, "hflip")(image), expected)


def test_classes_swap_under_an_odd_number_of_mirrors_only():
    """A model that calls one hand "left" and its mirror image "right" by the sense of rotation of a corner."""
    corner = torch.tensor([[1.0, 2, 0], [0, 0, 0], [0, 0, 0]])

    def handed(image):
        turns = [torch.rot90(corner, k) for k in range(4)]
        left = any(torch.equal(image[0, 0], turn) for turn in turns)
        return torch.stack([image[0, 0] * left, image[0, 0] * (not left)])[None]

    image = corner[None, None]
    torch.testing.assert_close(TTA(handed, "d4", class_swaps=[(0, 1)])(image), handed(image))


@pytest.mark.parametrize("measure", [None, "std", "entropy"])
@pytest.mark.parametrize("merge", ["mean", "max"])
def test_one_view_is_held_at_a_time(merge, measure):
    """When the model is called again, no output of an earlier call is alive."""
    outputs = []

    def model(image):
        assert all(output() is None for output in outputs)
        out = image.expand(-1, 3, -1, -1).clone()
        outputs.append(weakref.ref(out))
        return out

    tta = TTA(model, "d4, scale(1.5), rotate(5)", merge)
    tta.uncertainty(IMAGE, measure) if measure else tta(IMAGE)
    assert len(outputs) == 10


def test_uncertainty_of_logits_is_of_their_probabilities():
    """Half of the views say .2 and half .8."""
    logit = float(np.log(4))

    def model(image):
        left = image[..., :1].mean() > image[..., -1:].mean()
        return torch.full_like(image, logit if left else -logit)

    tta = TTA(model, "hflip")
    merged, spread = tta.uncertainty(torch.arange(6.0).view(1, 1, 1, 6))
    torch.testing.assert_close(merged, torch.zeros(1, 1, 1, 6), atol=1e-6, rtol=0)
    torch.testing.assert_close(spread, torch.full((1, 1, 1, 6), 0.3))
    torch.testing.assert_close(tta.uncertainty(IMAGE, "entropy")[1], torch.ones(2, 1, 5, 7))
    with pytest.raises(ValueError, match="name more views"):
        TTA(model, "none").uncertainty(IMAGE)
    with pytest.raises(ValueError, match="did you mean std"):
        tta.uncertainty(IMAGE, "sd")


def test_sharpening_gives_no_nan():
    """A square root of logits is 28 % NaN elsewhere: here a power mean is of probabilities, and says so."""
    out = TTA(probs, "d4", 0.5, "probs")(IMAGE)
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out, probs(IMAGE))


@pytest.mark.parametrize("view", ["none", "hflip", "rot90", "transpose", "scale(0.7)", "shift(0.2, 0)", "rotate(8)"])
def test_one_view_alone_says_what_tta_merges(view):
    """Two views, the image and another: twice their mean less the first is the other, where it saw anything."""
    tta = TTA(sides, view, class_swaps=[(0, 1)])
    alone = OneView(sides, view, class_swaps=[(0, 1)])(IMAGE)
    assert alone.shape == (2, 3, 5, 7)
    expected = 2 * tta(IMAGE) - sides(IMAGE)
    seen = tta.views[-1].seen((5, 7), (5, 7), torch.device("cpu"))
    at = torch.ones(5, 7, dtype=torch.bool) if seen is None else seen
    torch.testing.assert_close(alone[..., at], expected[..., at], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="is 8 views"):
        OneView(sides, "d4")


def test_the_geometric_mean_does_not_underflow():
    tiny = TTA(lambda image: torch.full_like(image, 1e-12), "d4", "gmean", "probs")(IMAGE)
    torch.testing.assert_close(tiny, torch.full_like(IMAGE, 1e-12), rtol=1e-4, atol=0)
    zero = TTA(lambda image: torch.zeros_like(image), "d4", "gmean", "probs")(IMAGE)
    assert (zero == 0).all()


@pytest.mark.parametrize("power", [0.5, 2, 50, -2])
def test_power_means_do_not_underflow_either(power):
    tiny = TTA(lambda image: torch.full_like(image, 1e-30), "d4", power, "probs")(IMAGE)
    torch.testing.assert_close(tiny, torch.full_like(IMAGE, 1e-30), rtol=1e-3, atol=0)
    zero = TTA(lambda image: torch.zeros_like(image), "d4, rotate(5)", power, "probs")(IMAGE)
    assert (zero == 0).all()


def test_half_precision_is_merged_in_float32():
    """Eight times 60,000 overflows float16."""
    out = TTA(lambda image: torch.full_like(image, 60000.0).half(), "d4")(IMAGE)
    assert out.dtype == torch.float32
    assert (out == 60000).all()


def test_it_is_a_module_that_carries_its_model_and_needs_no_gradients():
    model = nn.Conv2d(1, 2, 3, padding=1)
    tta = TTA(model, "hflip")
    assert list(tta.parameters()) == list(model.parameters())
    out = tta(IMAGE)
    assert not out.requires_grad
    assert out.shape == (2, 2, 5, 7)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"views": "hflp"}, "did you mean hflip"),
        ({"views": ["vflip", "rot91"]}, "did you mean rot90"),
        ({"views": None}, "expected views as text such as 'hflip.*got None"),
        ({"views": 5}, "got 5"),
        ({"views": ["hflip", 3]}, "'hflip', 3"),
        ({"merge": None}, "expected merge mean, gmean, max, or the exponent.*got None"),
        ({"merge": "median"}, "did you mean mean"),
        ({"merge": 0.5}, "domain='probs'"),
        ({"merge": float("nan"), "domain": "probs"}, "exponent"),
        ({"weights": {"vflip": 2}}, "weights name 'vflip'; did you mean hflip"),
        ({"weights": {"hflip": 0}}, "leave out"),
        ({"weights": {"hflip": float("nan")}}, "above 0"),
        ({"weights": {"hflip": float("inf")}}, "above 0"),
        ({"class_swaps": (0, 1)}, r"pairs such as \[\(0, 1\)\], got 0"),
        ({"weights": {"*": 2}, "merge": "max"}, "does not use weights"),
        ({"domain": "logit"}, "'logits' or 'probs'"),
        ({"merge": "gmean"}, "take merge='mean'"),
        ({"class_swaps": [("a", "b")]}, "pass classes="),
        ({"class_swaps": [("left-long", "b")], "classes": ("left-lung", "b")}, "did you mean left-lung"),
        ({"class_swaps": [(0, 0)]}, "two different classes"),
        ({"class_swaps": [(0, 1), (1, 2)]}, "each class in one pair"),
        ({"class_swaps": [(0, 1, 2)]}, "pairs"),
        ({"class_swaps": [(0, -1)]}, "pairs"),
    ],
)
def test_a_mistake_is_named(arguments, says):
    with pytest.raises(ValueError, match=says):
        TTA(Equivariant(), **arguments)


def test_a_model_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="channel 5 but the model returned 3"):
        TTA(Equivariant(), class_swaps=[(0, 5)])(IMAGE)
    with pytest.raises(ValueError, match="3 channels but 2 classes"):
        TTA(Equivariant(), classes=("a", "b"))(IMAGE)
    with pytest.raises(ValueError, match=r"got a dict; .*eval mode"):
        TTA(lambda image: {"out": image, "aux": image})(IMAGE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("domain", ["logits", "probs"])
def test_an_output_that_is_not_finite_is_an_error_that_names_its_view(value, domain):
    def model(image):
        out = image.sigmoid()
        if image.shape[-2] > image.shape[-1]:  # turned
            out[0, 0, 1, 2] = value
        return out

    with pytest.raises(ValueError, match=r"(NaN|infinite values) for the view 'rot270'"):
        TTA(model, "hflip, rot270", domain=domain)(IMAGE)
    if domain == "logits":
        with pytest.raises(ValueError, match=r"(NaN|infinite values) for the view 'rot270'"):
            OneView(model, "rot270")(IMAGE)


@pytest.mark.parametrize("merge", ["mean", "gmean", "max", 0.5])
def test_logits_are_refused_as_probabilities(merge):
    """Elsewhere three quarters of them become NaN, or everything is foreground."""
    with pytest.raises(ValueError, match=r"values from -?\d.* for the view 'identity', which are no probabilities"):
        TTA(Equivariant(), merge=merge, domain="probs")(IMAGE)


@pytest.mark.parametrize("merge", ["mean", "gmean", "max", 0.5])
def test_what_half_precision_rounds_is_clipped(merge):
    out = TTA(lambda image: torch.full_like(image, 1.0005), "hflip", merge, "probs")(IMAGE)
    torch.testing.assert_close(out, torch.ones_like(IMAGE))
    out = TTA(lambda image: torch.full_like(image, -1e-7), "hflip", merge, "probs")(IMAGE)
    assert (out == 0).all()
