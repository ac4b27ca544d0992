"""FC-DenseNet: its plan, its sizes, and checkpointing that changes nothing but memory."""

import pytest
import torch
from torch import nn

from segkit import models
from segkit.models.checkpoints import save_weights
from segkit.models.papers.fcdensenet import FCDenseNet


@pytest.mark.parametrize(("layers", "channels", "bottom"), [(56, 192, 48), (67, 288, 80), (103, 256, 240)])
def test_the_plan(layers, channels, bottom):
    """The name counts the convolutions; the last block keeps all its maps; only new maps go up from the bottom."""
    with torch.device("meta"):
        body = models.create(f"fcdensenet{layers}", classes=11).body
    assert sum(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in body.modules()) == layers
    assert body.head.in_channels == channels
    assert body.up[0].in_channels == bottom


@pytest.mark.parametrize("size", [(32, 32), (33, 63), (40, 71)])
def test_any_size_through_the_crop(size):
    body = models.create("fcdensenet56", classes=2, width=1 / 4).eval().body
    with torch.no_grad():
        assert body(torch.randn(1, 1, *size)).shape == (1, 2, *size)


def small(*, checkpointed, depths=(2, 1, 3, 1, 2)):
    torch.manual_seed(0)
    return FCDenseNet(depths, 32, 1, 2, width=1 / 8, checkpointed=checkpointed)  # 4 maps a layer, 6 first


def test_checkpointing_gives_the_same_gradients_and_counts_a_batch_once():
    """Dropout repeats itself, and running statistics are those of one pass, although each layer runs twice."""
    image = torch.randn(2, 1, 20, 24)
    nets = [small(checkpointed=flag).train() for flag in (False, True)]
    for net in nets:
        torch.manual_seed(1)
        net(image).square().mean().backward()
    plain, saved = nets
    for (key, a), (_, b) in zip(plain.named_parameters(), saved.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=key)
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), saved.buffers(), strict=True))
    assert {m.momentum for m in saved.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}


def test_compiled_checkpointing_gives_the_same_gradients_and_statistics():
    """One graph, dropout repeated; nothing is counted twice."""
    image = torch.randn(2, 1, 20, 24)
    plain, saved = (small(checkpointed=flag, depths=(1, 2, 1)).train() for flag in (False, True))
    for net in (plain, saved):
        torch.manual_seed(1)
        torch.compile(net, backend="aot_eager", fullgraph=True)(image).square().mean().backward()
    for (key, a), (_, b) in zip(plain.named_parameters(), saved.named_parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=key)
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), saved.buffers(), strict=True))


@pytest.mark.parametrize("compiled", [False, True])
def test_checkpointing_keeps_less_for_the_gradient(compiled):
    def kept(net):
        held = {}

        def pack(tensor):
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        run = torch.compile(net.train(), backend="aot_eager") if compiled else net.train()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            run(torch.randn(1, 1, 64, 64))
        return sum(held.values())

    assert kept(small(checkpointed=True, depths=(1, 4, 1))) < 0.7 * kept(small(checkpointed=False, depths=(1, 4, 1)))


def test_it_has_no_encoder_apart():
    """So that nothing freezes the whole network for one, and a file of a whole network still loads."""
    model = models.create("fcdensenet56", classes=1, width=1 / 4)
    assert model.encoder is None
    text = models.describe("fcdensenet56", classes=21, in_channels=3)
    assert "encoder     none" in text
    assert "parameters  1.38 M for 21 classes and images of 3 channels\n" in text


def test_a_file_of_the_whole_network_loads(tmp_path):
    model = models.create("fcdensenet56", classes=1, width=1 / 4)
    save_weights(model, tmp_path / "whole.safetensors")
    again = models.create("fcdensenet56", classes=1, width=1 / 4, weights=tmp_path / "whole.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
