"""Weights come back as they went, whatever their memory looks like."""

import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from segkit.models.checkpoints import load_metadata, load_weights, save_weights


class Net(nn.Module):
    """A convolution, a batch norm (an integer buffer) and two names for one weight."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.first = nn.Linear(5, 5, bias=False)
        self.tied = nn.Linear(5, 5, bias=False)
        self.tied.weight = self.first.weight


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_round_trip(tmp_path, memory):
    net = Net().to(memory_format=memory)
    file = tmp_path / "deep" / "net.safetensors"
    save_weights(net, file)
    state = load_weights(file)
    assert state.keys() == net.state_dict().keys()
    assert all(torch.equal(state[k], v) and state[k].dtype == v.dtype for k, v in net.state_dict().items())
    Net().load_state_dict(state)
    assert os.listdir(file.parent) == ["net.safetensors"]  # nothing left beside it


def test_tied_weights_are_written_once_and_views_are_not_lost(tmp_path):
    file = tmp_path / "net.safetensors"
    save_weights(Net(), file)
    assert ("first.weight" in load_file(file)) + ("tied.weight" in load_file(file)) == 1
    base = torch.arange(6.0)
    views = {"all": base, "head": base[:3], "step": base[::2], "turned": base.view(2, 3).T}
    save_weights(views, file)
    state = load_weights(file)
    assert all(torch.equal(state[k], v) for k, v in views.items())


def test_a_torch_file_of_tensors(tmp_path):
    torch.save(Net().state_dict(), tmp_path / "net.pth")
    assert load_weights(tmp_path / "net.pth").keys() == Net().state_dict().keys()


def test_empty_tensors_and_scalars(tmp_path):
    state = {"none": torch.zeros(0), "also": torch.zeros(0), "one": torch.tensor(3)}
    save_weights(state, tmp_path / "x.safetensors")
    again = load_weights(tmp_path / "x.safetensors")
    assert again["none"].shape == again["also"].shape == (0,)
    assert again["one"] == 3


def test_metadata_come_back_without_the_weights(tmp_path):
    file = tmp_path / "net.safetensors"
    stored = {"classes": ["Lunge", "\u5fc3"], "image": {"channels": "rgb", "value_range": None}, "size": [512, 384]}
    save_weights(Net(), file, stored)
    assert load_metadata(file) == stored
    assert load_weights(file).keys() == Net().state_dict().keys()
    save_weights(Net(), file)
    assert load_metadata(file) == {}
    save_file({"a": torch.zeros(1)}, file)  # another tool's
    assert load_metadata(file) == {}


def test_equal_weights_and_metadata_are_equal_bytes(tmp_path):
    """The library writes texts of the header in random order."""
    net, stored = Net(), dict.fromkeys("zyxabc", 1)
    for n in range(8):
        save_weights(net, tmp_path / f"{n}.safetensors", stored if n % 2 else dict(sorted(stored.items())))
    assert len({(tmp_path / f"{n}.safetensors").read_bytes() for n in range(8)}) == 1


@pytest.mark.parametrize(
    "texts", [{"segkit.tied": "{"}, {"segkit.tied": "[1]"}, {"segkit.tied": '{"b": "gone"}'}, {"segkit.metadata": "3"}]
)
def test_damaged_metadata_are_named(tmp_path, texts):
    file = tmp_path / "net.safetensors"
    save_file({"a": torch.zeros(1)}, file, metadata=texts)
    with pytest.raises(ValueError, match=r"net.safetensors .*write it again"):
        (load_metadata if "segkit.metadata" in texts else load_weights)(file)


@pytest.mark.parametrize("metadata", [{"a": float("nan")}, {"a": torch.zeros(1)}, {"a": object()}])
def test_metadata_that_json_cannot_say_are_refused(tmp_path, metadata):
    with pytest.raises(ValueError, match=r"net.safetensors: expected metadata that JSON can say"):
        save_weights(Net(), tmp_path / "net.safetensors", metadata)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_or_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"net.safetensors"):
        save_weights(Net(), tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"'step' is a int"):
        save_weights({"step": 3}, tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"none.safetensors"):
        load_weights(tmp_path / "none.safetensors")
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(ValueError, match=name):
            load_weights(tmp_path / name)
    torch.save({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, tmp_path / "nested.pth")
    with pytest.raises(ValueError, match=r"'state_dict', 'epoch'"):
        load_weights(tmp_path / "nested.pth")
    torch.save(Net(), tmp_path / "pickled.pth")
    with pytest.raises(ValueError, match=r"more than tensors"):
        load_weights(tmp_path / "pickled.pth")
