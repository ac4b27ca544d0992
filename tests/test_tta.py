"""Views that undo themselves, are told apart, and are merged without ever being stacked."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segkit.tta import TTA, VIEWS

IMAGE = torch.randn(2, 1, 5, 7, generator=torch.Generator().manual_seed(0))
ALL = ["none", "hflip", "vflip", "d4", ["hflip", "vflip"], ["rot90", "antitranspose"]]

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


def test_eight_views_are_the_eight_symmetries():
    assert VIEWS.keys() == TWINS.keys()
    image = torch.arange(6.0).view(1, 1, 2, 3)
    seen = set()
    for name, view in VIEWS.items():
        turned = view.augment_image(image)
        assert np.array_equal(turned[0, 0].numpy(), TWINS[name](image[0, 0].numpy())), name
        assert torch.equal(view.deaugment_mask(turned), image), name
        seen.add(tuple(map(tuple, turned[0, 0].tolist())))
    assert len(seen) == 8


@pytest.mark.parametrize(
    ("views", "names"),
    [
        ("none", ("identity",)),
        ("hflip", ("identity", "hflip")),
        (["vflip", "hflip", "hflip"], ("identity", "vflip", "hflip")),
        (
            ["hflip", "d4", "rot90"],
            ("identity", "hflip", "rot90", "rot180", "rot270", "transpose", "vflip", "antitranspose"),
        ),
        ([], ("identity",)),
    ],
)
def test_every_view_is_taken_once(views, names):
    shown = []
    tta = TTA(lambda image: shown.append(image) or image, views)
    tta(IMAGE)
    assert tta.views == names
    assert len(shown) == len(names)


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
    views=st.lists(st.sampled_from(sorted(VIEWS)), max_size=5),
    merge=st.sampled_from(["mean", "gmean", "max"]),
    seed=st.integers(0, 1000),
)
def test_slow_twin(views, merge, seed):
    """Stack all views in NumPy and reduce: a model whose answer depends on place."""
    noise = np.random.default_rng(seed).uniform(0.01, 0.99, (4, 4))

    def model(image):
        return (image.sigmoid() * torch.from_numpy(noise)).expand(-1, 2, -1, -1)

    image = torch.from_numpy(np.random.default_rng(seed + 1).normal(size=(1, 1, 4, 4)))
    tta = TTA(model, views, merge, "probs")
    undo = {name: name for name in TWINS} | {"rot90": "rot270", "rot270": "rot90"}
    stack = []
    for name in tta.views:
        turned = torch.from_numpy(TWINS[name](image[0, 0].numpy()).copy())[None, None]
        stack.append([TWINS[undo[name]](plane) for plane in model(turned)[0].numpy()])
    stack = np.array(stack)
    reduced = {"mean": stack.mean(0), "max": stack.max(0), "gmean": np.exp(np.log(stack).mean(0))}[merge]
    np.testing.assert_allclose(tta(image)[0].numpy(), reduced, rtol=1e-12)


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


@pytest.mark.parametrize("merge", ["mean", "max"])
def test_one_view_is_held_at_a_time(merge):
    """When the model is called again, no output of an earlier call is alive."""
    outputs = []

    def model(image):
        assert all(output() is None for output in outputs)
        out = image.expand(-1, 3, -1, -1).clone()
        outputs.append(weakref.ref(out))
        return out

    TTA(model, "d4", merge)(IMAGE)
    assert len(outputs) == 8


def test_the_geometric_mean_does_not_underflow():
    tiny = TTA(lambda image: torch.full_like(image, 1e-12), "d4", "gmean", "probs")(IMAGE)
    torch.testing.assert_close(tiny, torch.full_like(IMAGE, 1e-12), rtol=1e-4, atol=0)
    zero = TTA(lambda image: torch.zeros_like(image), "d4", "gmean", "probs")(IMAGE)
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
        ({"merge": "median"}, "did you mean mean"),
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
    with pytest.raises(ValueError, match="eval mode"):
        TTA(lambda image: {"out": image, "aux": image})(IMAGE)
