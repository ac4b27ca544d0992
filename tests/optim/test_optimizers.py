"""Every optimiser by name takes a step; groups have their own rates and decays."""

import pytest
import timm
import torch
from timm.optim import param_groups_weight_decay
from torch import nn

from segkit import optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, image):
        return self.head(self.encoder(image).relu())


@pytest.mark.parametrize("name", optim.names())
def test_every_optimiser_takes_steps_that_lower_a_loss_and_can_be_resumed(name, tmp_path):
    torch.manual_seed(0)
    model, image = Net(), torch.randn(4, 1, 8, 8)
    optimizer = optim.create(model, name, lr=0.005, encoder_lr_mult=0.5)
    losses = []
    for _ in range(12):
        loss = (model(image) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[1:]) < losses[0]
    torch.save(optimizer.state_dict(), tmp_path / "resume.ckpt")
    other = optim.create(model, name, lr=0.005, encoder_lr_mult=0.5)
    other.load_state_dict(torch.load(tmp_path / "resume.ckpt", weights_only=True))
    assert other.param_groups[0]["lr"] == 0.005


def test_adamw_is_torchs_own_bit_for_bit():
    torch.manual_seed(0)
    ours, image = Net(), torch.randn(2, 1, 8, 8)
    theirs = Net()
    theirs.load_state_dict(ours.state_dict())
    groups = optim.parameter_groups(theirs, lr=0.01, weight_decay=0.1)
    pairs = [(ours, optim.create(ours, lr=0.01, weight_decay=0.1)), (theirs, torch.optim.AdamW(groups, lr=0.01))]
    for model, optimizer in pairs:
        for _ in range(3):
            model(image).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters()))


def test_only_weights_decay():
    free, decayed = optim.parameter_groups(Net(), lr=0.1, weight_decay=0.3)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0)
    assert {p.ndim for p in decayed["params"]} == {4}
    assert {p.ndim for p in free["params"]} == {1}


def test_the_encoder_has_a_rate_of_its_own():
    model = Net()
    optimizer = optim.create(model, "sgd", lr=0.1, encoder_lr_mult=0.01, momentum=0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rates[id(p)] for p in model.head.parameters()] == pytest.approx([0.1] * 2)
    assert [rates[id(p)] for p in model.encoder.parameters()] == pytest.approx([0.001] * 4)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.5}
    assert optimizer.param_groups[0]["lr"] == 0.1  # the rate that a log shows


def names_without_decay(model, **options):
    """Names of the parameters that do not decay."""
    groups = optim.parameter_groups(model, lr=0.1, weight_decay=0.3, **options)
    free = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    return {name for name, p in model.named_parameters() if id(p) in free}


@pytest.mark.parametrize("options", [{}, {"encoder_lr_mult": 0.1}])
def test_position_embeddings_do_not_decay_wherever_they_are(options):
    """A vision transformer says so itself; as the encoder of a network it is asked too."""

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.ModuleDict({"vit": timm.create_model("test_vit", img_size=32, num_classes=0)})
            self.head = nn.Conv2d(4, 2, 1)

    model = Network()
    free = names_without_decay(model, **options)
    assert {"encoder.vit.pos_embed", "encoder.vit.cls_token", "head.bias"} <= free
    assert not {"head.weight", "encoder.vit.patch_embed.proj.weight"} & free
    assert model.encoder["vit"].pos_embed.ndim == 3


def test_groups_are_timms():
    model = timm.create_model("test_vit", img_size=32, num_classes=3)
    theirs = param_groups_weight_decay(model, 0.3, no_weight_decay_list=model.no_weight_decay())
    ours = optim.parameter_groups(model, lr=0.1, weight_decay=0.3)
    assert [[id(p) for p in g["params"]] for g in ours] == [[id(p) for p in g["params"]] for g in theirs]
    assert [g["weight_decay"] for g in ours] == [g["weight_decay"] for g in theirs]


def test_what_needs_no_gradient_is_left_out():
    model = Net()
    model.encoder.requires_grad_(False)
    groups = optim.parameter_groups(model, lr=1.0, weight_decay=0.1)
    assert sum(len(group["params"]) for group in groups) == 2


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("adamv", {}, "did you mean adam"),
        ("fusedadam", {}, "no optimiser"),
        ("adamw", {"momentun": 0.9}, "does not take"),
        ("adamw", {"encoder_lr_mult": 0.0}, "freeze"),
    ],
)
def test_mistakes_are_named(name, settings, says):
    with pytest.raises(ValueError, match=says):
        optim.create(Net(), name, lr=0.1, **settings)


def test_a_model_without_an_encoder_says_so():
    with pytest.raises(ValueError, match="Linear has no part named encoder"):
        optim.create(nn.Linear(1, 1), lr=0.1, encoder_lr_mult=0.1)
