"""The analytic path against the plain one, and what it keeps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.losses import build, sums
from segkit.losses.statistics import CrossEntropySum, FocalSum, MinSum, PredictionSum, ProductSum, TargetSum

STATISTICS = [
    CrossEntropySum(),
    CrossEntropySum(0.1, (1.0, 2.0, 0.5)),
    CrossEntropySum(pos_weight=3.0),
    FocalSum(),
    FocalSum(0.0, 0.25),
    FocalSum(1.0),
    FocalSum(2.5, 0.75),
    ProductSum(),
    MinSum(),
    PredictionSum(),
    PredictionSum(2),
    TargetSum(),
    TargetSum(2),
]


def batch(seed=0, *, n=2, h=6, w=5, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 3, h, w, generator=draw, dtype=dtype) * 3
    return logits, torch.rand(n, 3, h, w, generator=draw, dtype=dtype)


def both(logits, target, weight, statistics, factors):
    results = []
    for compute in (sums.pixel_sums, sums.plain_sums):
        x = logits.clone(memory_format=torch.preserve_format).requires_grad_()
        values = compute(x, target, weight, statistics)
        ((values * factors).sum() + 0 * x.sum()).backward()
        results.append((values.detach(), x.grad))
    return results


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    block=st.sampled_from([1, 7, 40, 100, 10_000]),
    chosen=st.sets(st.sampled_from(range(len(STATISTICS))), min_size=1),
    weighted=st.booleans(),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_the_analytic_path_is_autograd(seed, shape, block, chosen, weighted, layout):
    """Any statistics together, any cut into blocks, either layout: the same sums and the same gradient."""
    n, h, w = shape
    logits, target = batch(seed, n=n, h=h, w=w)
    statistics = [STATISTICS[k] for k in sorted(chosen)]
    weight = batch(seed + 1, n=n, h=h, w=w)[1] if weighted else None
    draw = torch.Generator().manual_seed(seed)
    factors = torch.randn(len(statistics), n, 3, generator=draw, dtype=torch.float64)
    before = dict(sums.BLOCK)
    sums.BLOCK["cpu"] = block
    try:
        fused, plain = both(logits.to(memory_format=layout), target, weight, statistics, factors)
    finally:
        sums.BLOCK.update(before)
    torch.testing.assert_close(fused[0], plain[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(fused[1], plain[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_in_lower_precision(dtype):
    logits, target = batch(h=40, w=30, dtype=torch.float32)
    factors = torch.rand(len(STATISTICS), 2, 3)
    fused, plain = both(logits.to(dtype), target, None, STATISTICS, factors)
    assert fused[0].dtype == torch.float32
    assert fused[1].dtype == dtype
    torch.testing.assert_close(fused[0], plain[0])
    torch.testing.assert_close(fused[1], plain[1], rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-5)


def test_cross_entropy_is_exact_far_out():
    """Both ways of writing it, against float64, where small numbers matter most: a sure and right answer."""
    x = torch.tensor([-200.0, -30, -17, -5, -1e-4, 0, 1e-4, 5, 17, 30, 200]).view(1, 1, 1, -1)
    for y in (torch.zeros_like(x), torch.ones_like(x), torch.full_like(x, 0.3)):
        exact = sums.plain_sums(x.double().transpose(1, 3), y.double().transpose(1, 3), None, [CrossEntropySum()])
        found = sums.pixel_sums(x.transpose(1, 3), y.transpose(1, 3), None, [CrossEntropySum()])
        torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("spec", ["bce + dice + focal + tversky", "topk", "lovasz(errors='probs')", "boundary"])
def test_it_can_be_differentiated_twice(spec):
    logits, target = batch(h=3, w=2)
    loss = build(spec)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, target), logits.requires_grad_())


def test_a_target_that_learns_gets_its_gradient():
    """Distillation both ways: the plain path takes over."""
    logits, target = batch(h=3, w=2)
    loss = build("bce + dice + focal")
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), target.requires_grad_()))


def test_nothing_but_the_inputs_is_kept():
    """Four losses keep logits and target for the backward pass, and no other map."""
    logits, target = batch(h=64, w=64, dtype=torch.float32)
    logits.requires_grad_()
    kept = {}

    def keep(tensor):
        if tensor.numel() >= logits[0, 0].numel():
            kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        build("bce + dice + focal + tversky")(logits, target)
    assert set(kept) == {logits.data_ptr(), target.data_ptr()}
