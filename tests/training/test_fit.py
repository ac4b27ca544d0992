"""fit(): the same weights however a run is cut, shared out or watched."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import socket
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from tiny import CLASSES, SWAPS, network, same_weights, samples
from torch import Tensor, nn

from segkit.averaging import average, update_bn
from segkit.data import Augment, SegmentationData, medium
from segkit.images import ImageSpec
from segkit.inference import Validator
from segkit.losses import WeightedSum, build
from segkit.metrics import IoU
from segkit.models.checkpoints import load_metadata, load_weights
from segkit.samples import Annotation, Samples
from segkit.training import TensorBoard, TrainConfig, fit

SIZE = (32, 32)
SETTINGS = {field.name for field in fields(TrainConfig)}
bce = nn.functional.binary_cross_entropy_with_logits


@pytest.fixture
def given(tmp_path: Path):
    return samples(tmp_path / "data")


@pytest.fixture
def data(given, tmp_path):
    return SegmentationData(given, size=SIZE, cache=tmp_path / "cache")


def run(data, out, **options):
    """A short run on the CPU; -> the network and the result."""
    options = {
        "loss": bce,
        "epochs": 4,
        "batch_size": 2,
        "accelerator": "cpu",
        "progress": False,
        "key": "test",
    } | options
    model = options.pop("model", None) or network()
    config = TrainConfig(**{name: options.pop(name) for name in list(options) if name in SETTINGS})
    return model, fit(model, data, out=out, config=config, **options)


class Killed(Exception):
    pass


def scores(*values):
    """A validation that gives these Dice, one a call, and then dies."""
    left = list(values)

    def validate(model):
        if not left:
            raise Killed
        return {"dice": left.pop(0)}

    return validate


# -- the same weights --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("averaging", ["none", "ema", "swa", "soup"])
def test_a_killed_run_ends_at_the_weights_of_one_that_was_not(given, tmp_path, averaging):
    data = SegmentationData(given, size=SIZE, transform=medium(), class_swaps=SWAPS)
    options = {"averaging": averaging, "swa_start": 0.25, "soup_size": 2}
    after = [0.3, 0.3, 0.2]  # what is scored when the epochs are over: less than the best
    whole, result = run(data, tmp_path / "whole", validate=scores(0.1, 0.2, 0.3, 0.4, *after), **options)
    with pytest.raises(Killed):
        run(data, tmp_path / "cut", validate=scores(0.1, 0.2), **options)
    torch.load(tmp_path / "cut" / "resume.ckpt", weights_only=True)
    torch.manual_seed(99)  # whatever the new process draws before
    resumed, again = run(
        data, tmp_path / "cut", validate=scores(0.3, 0.4, *after), model=network(seed=5), **options
    )  # fmt: skip
    assert same_weights(whole, resumed)
    assert (result.best, result.best_epoch) == (again.best, again.best_epoch) == (0.4, 4)
    for name in ("model", "last"):
        first, second = (load_weights(tmp_path / run_ / f"{name}.safetensors") for run_ in ("whole", "cut"))
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert [record["epoch"] for record in again.history] == [1, 2, 3, 4]
    assert [record["loss"] for record in again.history] == [record["loss"] for record in result.history]


def test_a_finished_run_returns_at_once_and_says_so(data, tmp_path, monkeypatch, capsys):
    first, result = run(data, tmp_path / "run")
    assert not result.was_finished
    monkeypatch.setattr(SegmentationData, "raw", lambda self, index: pytest.fail("a batch was made"))
    second, again = run(data, tmp_path / "run", model=network(seed=5), progress=True, workers=1)
    assert again == replace(result, was_finished=True)
    assert "the run is finished (4 epochs)" in capsys.readouterr().out
    assert same_weights(first, second)


def test_what_changed_is_named_and_nothing_is_reused(given, data, tmp_path):
    def other(**options):
        return SegmentationData(given, size=SIZE, **options)

    def call(data=data, **options):
        run(data, tmp_path / "run", **{"epochs": 1, "key": None} | options)

    call()
    fixed = given.with_annotations({"image0.png": Annotation({})})
    changes = [
        ({"epochs": 2, "lr": 0.5}, r"config\.epochs was 1, is 2; config\.lr was 0\.001, is 0\.5"),
        ({"data": other(targets="nearest")}, r"data\.targets was soft, is nearest"),
        ({"data": other(transform=Augment(hflip=1))}, r"data\.transform was None, is \{.*hflip"),
        ({"data": SegmentationData(given.subset(given.ids[:3]), size=SIZE)}, r"data\.samples was \w+, is \w+"),
        ({"data": SegmentationData(fixed, size=SIZE)}, r"data\.samples was"),
        ({"loss": build("bce + dice")}, "loss was torch.nn.functional.binary_cross_entropy_with_logits"),
        ({"model": network(width=4)}, "model was"),
        ({"monitor": "iou"}, r"monitor\['name'\] was dice, is iou"),
        ({"validate": scores()}, "validate was None, is the local function scores"),
        ({"loss": lambda logits, target: bce(logits, target)}, r"loss was torch.* is a lambda"),
        ({"data": Weighted(0.0)}, r"data was None, is a Weighted without a method fingerprint"),
    ]
    for change, message in changes:
        with pytest.raises(ValueError, match=message):
            call(**change)
    call(workers=0, channels_last=False)  # how it is computed may change
    _, result = run(data, tmp_path / "run", epochs=2, lr=0.5, resume=False)
    assert len(result.history) == 2
    (tmp_path / "run" / "resume.ckpt").write_bytes(b"broken")
    with pytest.raises(ValueError, match="resume=False"):
        run(data, tmp_path / "run", epochs=2, lr=0.5)


def test_what_cannot_be_compared_needs_the_callers_word(data, tmp_path, capsys):
    def call(factor, out="run", **options):
        return run(
            data, tmp_path / out, epochs=1, loss=lambda logits, target: factor * bce(logits, target), **options
        )[1]  # fmt: skip

    call(1.0, key=None, progress=True)
    assert (
        "cannot be resumed after a kill without key=, as it cannot be compared: loss (a lambda)"
        in capsys.readouterr().out
    )
    with pytest.raises(ValueError, match=r"loss is a lambda.*another folder.*resume=False.*key="):
        call(2.0, key=None)
    assert call(1.0, key="the plain one").was_finished
    call(1.0, out="keyed", key={"loss": 1.0})
    assert call(1.0, out="keyed", key={"loss": 1.0}).was_finished
    with pytest.raises(ValueError, match=r"key was \{'loss': 1.0\}, is \{'loss': 2.0\}"):
        call(2.0, out="keyed", key={"loss": 2.0})
    with pytest.raises(ValueError, match=r"key was .* is None"):
        call(1.0, out="keyed", key=None)
    with pytest.raises(ValueError, match="key=<object"):
        call(1.0, out="other", key=object())


def test_validation_changes_nothing(data, tmp_path):
    def greedy(model):
        torch.rand(100)
        model(torch.rand(1, 1, *SIZE))
        return {"dice": 0.5, "dice/left": 0.25}

    alone, _ = run(data, tmp_path / "alone", epochs=3)
    _, result = run(data, tmp_path / "watched", epochs=3, validate=greedy)
    last = network()
    last.load_state_dict(load_weights(result.last))
    assert same_weights(alone, last)
    assert result.history[2]["val_dice/left"] == 0.25


def test_accumulated_batches_equal_a_larger_one(data, tmp_path):
    plain = {"norm": False, "dropout": 0.0}
    large, _ = run(data, tmp_path / "large", batch_size=4, model=network(**plain))
    small, _ = run(data, tmp_path / "small", batch_size=2, accumulate=2, model=network(**plain))
    for a, b in zip(large.parameters(), small.parameters()):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def trained_by_two(rank, given, out, port):
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    trained_by_one(given, out)


def trained_by_one(given, out):
    data = SegmentationData(given, size=SIZE)
    validate = Validator(data, threshold=0.1)
    model = network(norm=False, dropout=0.0)
    return run(data, out, model=model, epochs=3, batch_size=4, averaging="ema", validate=validate)[1]


def test_two_processes_train_as_one(given, tmp_path):
    """As torchrun starts them, but forked: they need not import everything again."""
    one = trained_by_one(given, tmp_path / "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    pair = [context.Process(target=trained_by_two, args=(rank, given, tmp_path / "two", port)) for rank in (0, 1)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(120)
    assert [process.exitcode for process in pair] == [0, 0]
    first, second = load_weights(one.last), load_weights(tmp_path / "two" / "last.safetensors")
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-5, rtol=1e-4)
    records = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    for a, b in zip(one.history, records, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["val_dice"] == pytest.approx(b["val_dice"], abs=0.01)


# -- what comes out ----------------------------------------------------------------------------------------------------
def test_it_learns_two_images_by_heart(tmp_path):
    data = SegmentationData(samples(tmp_path / "data", 2), size=(48, 48), cache=tmp_path / "cache")
    validate = Validator(data)
    model, result = run(
        data, tmp_path / "run", model=network(dropout=0.0, width=16), epochs=120, batch_size=2, lr=0.02,
        loss=WeightedSum({"bce": 1, "dice": 1}), validate=validate, validate_every=30, averaging="ema", ema_decay=0.9,
    )  # fmt: skip
    assert result.best > 0.95
    assert validate(model.eval())["dice"] == result.best
    assert {"loss", "loss/bce", "loss/dice", "lr", "step", "seconds"} <= result.history[0].keys()
    assert [record["epoch"] for record in result.history if "val_dice" in record] == [30, 60, 90, 120]


def test_best_and_last_are_kept_apart(data, tmp_path):
    seen: list[dict[str, Tensor]] = []

    def validate(model):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"dice": [0.1, 0.9, 0.5][len(seen) - 1]}

    model, result = run(data, tmp_path / "run", epochs=3, validate=validate)
    assert (result.best, result.best_epoch) == (0.9, 2)
    best, last = load_weights(result.model), load_weights(result.last)
    assert all(torch.equal(best[name], seen[1][name]) for name in best)
    assert all(torch.equal(last[name], seen[2][name]) for name in best)
    assert all(torch.equal(model.state_dict()[name], seen[1][name]) for name in best)
    with pytest.raises(ValueError, match="validate gave iou; expected a score named 'dice': pass monitor="):
        run(data, tmp_path / "other", epochs=1, validate=lambda model: {"iou": 1.0})


def test_a_validator_that_does_not_fit_is_refused_before_training(data, tmp_path, monkeypatch):
    monkeypatch.setattr(SegmentationData, "raw", lambda self, index: pytest.fail("a batch was made"))
    iou = Validator(data, metric=IoU())
    with pytest.raises(ValueError, match="monitor='dice': the validation gives iou, iou/left"):
        run(data, tmp_path / "run", validate=iou)
    with pytest.raises(ValueError, match="mode='min': iou is better higher"):
        run(data, tmp_path / "run", validate=iou, monitor="iou", mode="min")
    with pytest.raises(ValueError, match="mode='best'"):
        run(data, tmp_path / "run", mode="best")
    rgb = network()
    rgb.in_channels = 3
    with pytest.raises(ValueError, match="the network takes 3 channels, the data gives 1"):
        run(data, tmp_path / "run", model=rgb)


def test_any_metric_monitors(data, tmp_path):
    pooled = {"validate": Validator(data, metric=IoU(average="pooled")), "monitor": "iou/left", "key": None}
    _, result = run(data, tmp_path / "run", **pooled)
    assert result.best == max(record["val_iou/left"] for record in result.history)
    assert run(data, tmp_path / "run", **pooled)[1].was_finished
    with pytest.raises(ValueError, match=r"validate\['fingerprint'\]\['metric'\] was iou\(average='pooled'\), is iou"):
        run(data, tmp_path / "run", **pooled | {"validate": Validator(data, metric=IoU())})


def test_a_score_that_is_better_lower(data, tmp_path):
    values = iter([math.nan, 0.5, 0.2, 0.3])
    _, result = run(data, tmp_path / "run", validate=lambda model: {"error": next(values)}, monitor="error", mode="min")
    assert (result.best, result.best_epoch) == (0.2, 3)
    _, soup = run(
        data, tmp_path / "soup", lr=0.1, averaging="soup", monitor="error", mode="min",
        validate=lambda model: {"error": abs(float(model.head.bias.detach().sum()))},
    )  # fmt: skip
    assert soup.best == min(soup.averaging["scores"].values()) <= min(r["val_error"] for r in soup.history)


def test_model_files_say_what_they_take(given, tmp_path):
    data = SegmentationData(
        Samples.from_folder(tmp_path / "data", classes=CLASSES, image=ImageSpec(normalize="dataset")), size=SIZE
    )  # fmt: skip
    _, result = run(data, tmp_path / "run", epochs=1, averaging="soup", validate=Validator(data))
    for file in (result.model, result.last, tmp_path / "run/soup/epoch0001.safetensors"):
        said = load_metadata(file)
        assert ImageSpec.from_dict(said["image_spec"]) == data.image_spec
        assert (said["classes"], said["in_channels"], said["size"]) == (list(CLASSES), 1, [32, 32])


def test_swa_keeps_the_mean_of_the_last_epochs(data, tmp_path):
    ends: list[Tensor] = []
    run(data, tmp_path / "steps", validate=lambda m: ends.append(m.head.weight.clone()) or {"dice": 0.0})
    _, result = run(data, tmp_path / "swa", averaging="swa", swa_start=0.5)
    mean = load_weights(result.last)["head.weight"]
    torch.testing.assert_close(mean, (ends[2] + ends[3]) / 2)


def test_swa_holds_the_rate_that_it_averages_along(data, tmp_path):
    _, result = run(data, tmp_path / "run", averaging="swa", swa_start=0.5, schedule="swa", swa_lr_mult=0.3, lr=0.01)
    assert [record["lr"] for record in result.history][2:] == pytest.approx([0.003, 0.003])
    _, cyclic = run(data, tmp_path / "cyclic", averaging="swa", swa_start=0.5, schedule="swa-cyclic", lr=0.01)
    assert [record["lr"] for record in cyclic.history][2:] == pytest.approx([0.0005] * 2)  # at the end of each cycle


def by_number(wanted):
    """A validation that likes the head's bias to be near a number."""
    return lambda model: {"dice": 1 - abs(model.head.bias.sum().item() - wanted)}


def test_a_soup_keeps_the_checkpoints_that_help(data, tmp_path):
    ends: list[float] = []

    def watch(model):
        ends.append(float(model.head.bias.sum()))
        return {"dice": 0.0}

    run(data, tmp_path / "steps", validate=watch, lr=0.1)
    first, second = ends[1], ends[3]
    validate = by_number((first + second) / 2)  # no single epoch is there, a mean is nearer
    model, result = run(data, tmp_path / "soup", averaging="soup", soup_size=3, validate=validate, lr=0.1)
    files = sorted(f.name for f in (tmp_path / "soup" / "soup").iterdir())
    assert len(files) == 3
    found = result.averaging
    assert found["scores"].keys() == {"best", "greedy", "average", f"{leader(found)}_bn"}
    assert found["scores"]["greedy"] >= found["scores"]["best"]
    assert result.best == max(found["scores"].values()) == pytest.approx(validate(model)["dice"])
    assert {f"epoch{epoch:04d}.safetensors" for epoch in found["epochs"]} <= set(files)
    assert (found["kept"], len(found["epochs"])) == ("greedy", 2)
    mean = average([tmp_path / "soup" / "soup" / f"epoch{epoch:04d}.safetensors" for epoch in found["epochs"]])
    assert all(torch.equal(mean[name], value) for name, value in load_weights(result.model).items())
    last = load_weights(result.last)
    assert all(torch.equal(load_weights(tmp_path / "steps" / "last.safetensors")[name], last[name]) for name in last)


def leader(found):
    return max(("greedy", "average"), key=lambda name: found["scores"][name])


@pytest.mark.parametrize("better", [True, False])
def test_statistics_of_swa_are_estimated_anew_where_that_is_better(data, tmp_path, better):
    """Scored by how near the statistics are to those of the images that it trains on, or how far from them."""
    norm = "down.1.running_mean"

    def validate(model):
        away = float((model.state_dict()[norm] - anew[norm]).abs().sum()) if anew else 1.0
        return {"dice": -away if better else away}

    anew: dict[str, Tensor] = {}
    _, plain = run(data, tmp_path / "plain", averaging="swa", swa_start=0.5)
    model = network()
    model.load_state_dict(load_weights(plain.last))
    update_bn(model, [torch.stack([data[i]["image"] for i in range(4)])])
    anew.update(model.state_dict())
    told: list[dict] = []
    trained, result = run(
        data,
        tmp_path / "run",
        averaging="swa",
        swa_start=0.5,
        validate=validate,
        validate_every=4,
        loggers=[told.append],
    )
    assert result.averaging["kept"] == ("swa_bn" if better else "best")
    assert {"epoch": 4} | {f"averaging/{k}": v for k, v in result.averaging["scores"].items()} == told[-1]
    saved = trained.state_dict()[norm]
    assert torch.allclose(saved, anew[norm], atol=1e-2) is better
    assert torch.equal(trained.head.weight, load_weights(plain.last)["head.weight"])


def test_a_run_killed_while_it_chooses_goes_on_choosing(data, tmp_path):
    options = {"averaging": "soup", "epochs": 3}
    with pytest.raises(Killed):
        run(data, tmp_path / "run", validate=scores(0.1, 0.3, 0.2, 0.4), **options)
    assert not (tmp_path / "run" / "averaging.json").exists()
    calls: list[int] = []

    def validate(model):
        calls.append(1)
        return {"dice": 0.6 if len(calls) == 1 else 0.0}

    _, result = run(data, tmp_path / "run", validate=validate, **options)
    assert result.averaging["epochs"][:2] == [2, 3]
    assert (result.best, result.averaging["kept"]) == (0.6, "greedy")
    asked = len(calls)
    _, again = run(data, tmp_path / "run", validate=validate, **options)
    assert again == replace(result, was_finished=True)
    assert len(calls) == asked


class WithEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        net = network()
        self.encoder, self.head = net.down, nn.Conv2d(8, 3, 1)

    def forward(self, image):
        return self.head(self.encoder(image))


def test_a_resting_encoder_keeps_weights_and_statistics(data, tmp_path):
    torch.manual_seed(0)
    model = WithEncoder()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    moved: list[set[str]] = []

    def validate(net):
        moved.append({name for name, value in net.state_dict().items() if not torch.equal(value, start[name])})
        return {"dice": 0.0}

    run(data, tmp_path / "run", model=model, freeze_epochs=2, validate=validate, encoder_lr_mult=0.1)
    assert moved[0] == moved[1] == {"head.weight", "head.bias"}
    assert moved[2] == set(start)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_another_optimiser_trains_too(data, tmp_path):
    _, result = run(data, tmp_path / "run", optimizer="lion", schedule="one-cycle", lr=1e-3)
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_every_logger_is_told_each_epoch(data, tmp_path):
    told: list[dict] = []

    class Tracker:
        def log(self, record):
            record["mine"] = 1  # a logger's own copy
            told.append(record)

    called: list[dict] = []
    _, result = run(data, tmp_path / "run", epochs=2, loggers=[Tracker(), called.append, TensorBoard(tmp_path / "run")])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines == called == result.history
    assert [record["epoch"] for record in told] == [1, 2]
    assert "mine" not in lines[0]
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
    record = lines[1]
    assert record["step"] == 4
    assert 0 <= record["wait_seconds"] + record["step_seconds"] <= record["train_seconds"] <= record["seconds"]
    assert result.overhead_share >= result.wait_share > 0


def test_bf16_trains_near_float32(data, tmp_path):
    _, exact = run(data, tmp_path / "32")
    _, half = run(data, tmp_path / "16", precision="bf16-mixed")
    assert half.history[-1]["loss"] == pytest.approx(exact.history[-1]["loss"], rel=0.05)
    assert half.history[-1]["loss"] != exact.history[-1]["loss"]


def test_a_loss_that_is_not_finite_names_the_images(data, tmp_path):
    def loss(logits, target):
        broken = target[:, 2].amax() > 0  # images 1 and 3 have the class
        return bce(logits, target) + (float("nan") if broken else 0.0)

    with pytest.raises(ValueError, match=r"loss is nan in epoch 1 on images image[13]\.png"):
        run(data, tmp_path / "run", loss=loss, batch_size=1)


def test_an_auxiliary_output_counts_by_its_weight(data, tmp_path):
    class Aux(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network(norm=False, dropout=0.0)

        def forward(self, image):
            out = self.net(image)
            return {"out": out, "aux": torch.zeros_like(out)} if self.training else out

    _, alone = run(data, tmp_path / "alone", epochs=1, batch_size=4, model=network(norm=False, dropout=0.0))
    _, result = run(data, tmp_path / "aux", epochs=1, batch_size=4, model=Aux(), aux_weight=0.5)
    extra = 0.5 * float(torch.tensor(2.0).log())  # BCE of a logit of 0, whatever the target
    assert result.history[0]["loss"] == pytest.approx(alone.history[0]["loss"] + extra, rel=1e-5)


def test_smaller_outputs_are_judged_at_their_size(data, tmp_path):
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network(norm=False, dropout=0.0)

        def forward(self, image):
            out = self.net(image)
            return {"out": out, "deep": [torch.zeros_like(out[..., ::2, ::2])]} if self.training else out

    _, alone = run(data, tmp_path / "alone", epochs=1, batch_size=4, model=network(norm=False, dropout=0.0))
    _, result = run(data, tmp_path / "deep", epochs=1, batch_size=4, model=Deep())
    record = result.history[0]
    assert record["loss/deep_1"] == pytest.approx(float(torch.tensor(2.0).log()), rel=1e-5)
    assert record["loss"] == pytest.approx(alone.history[0]["loss"] + record["loss/deep_1"] / 2, rel=1e-5)


def test_the_weights_of_losses_move_on_with_training_and_with_a_run_that_goes_on(data, tmp_path):
    def loss():
        return build("bce; 0.5: 0.5*dice")

    _, whole = run(data, tmp_path / "whole", loss=loss())
    for record in whole.history:
        expected = record["loss/bce"] if record["epoch"] <= 2 else 0.5 * record["loss/dice"]
        assert record["loss"] == pytest.approx(expected, rel=1e-6)
    with pytest.raises(Killed):
        run(data, tmp_path / "cut", loss=loss(), validate=scores(0.1, 0.2, 0.3))
    _, cut = run(data, tmp_path / "cut", loss=loss(), validate=scores(0.1))
    assert [r["loss"] for r in cut.history] == [r["loss"] for r in whole.history]


class Weighted:
    """Noise, of which the upper half counts; below, the target is `below`."""

    def __init__(self, below):
        self.below = below

    def __len__(self):
        return 4

    def __getitem__(self, index):
        draw = torch.Generator().manual_seed(index)
        image, target = torch.rand(1, 8, 8, generator=draw), torch.rand(len(CLASSES), 8, 8, generator=draw)
        weight = torch.ones(1, 8, 8)
        weight[:, 4:], target[:, 4:] = 0, self.below
        return {"image": image, "target": target, "weight": weight, "index": index}


def test_pixels_of_weight_0_teach_nothing(tmp_path):
    models = [run(Weighted(y), tmp_path / str(y), loss=build("bce + dice"), epochs=2)[0] for y in (0.0, 1.0)]
    assert same_weights(*models)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64])
def test_masks_of_0_and_1_in_integers_are_learned_as_they_are(tmp_path, dtype):
    """FAULTS A5: albumentations and OpenCV give uint8 of 0 and 1, which are no 255th parts."""
    draw = torch.Generator().manual_seed(0)
    pairs = [(torch.rand(1, 8, 8, generator=draw), torch.rand(3, 8, 8, generator=draw) > 0.7) for _ in range(4)]
    ends = [
        run([(image, mask.to(kind)) for image, mask in pairs], tmp_path / str(kind), epochs=2)[0]
        for kind in (torch.float32, dtype)
    ]
    assert same_weights(*ends)


def test_masks_of_255_and_raw_images_are_refused(tmp_path):
    image, mask = torch.rand(1, 8, 8), torch.full((3, 8, 8), 255, dtype=torch.uint8)
    with pytest.raises(
        ValueError, match=r"sample \d: the target is torch.uint8 up to 255; expected 0 and 1: pass \(mask > 0"
    ):
        run([(image, mask)] * 4, tmp_path / "mask")
    with pytest.raises(ValueError, match=r"expected normalised float images, got torch\.uint8"):
        run([((image * 255).byte(), mask / 255)] * 4, tmp_path / "image")


def test_class_numbers_reach_a_loss_that_takes_them(tmp_path):
    rows = [(torch.rand(1, 8, 8), torch.randint(0, 3, (8, 8), dtype=torch.uint8)) for _ in range(4)]
    _, result = run(rows, tmp_path / "run", loss=nn.functional.cross_entropy, epochs=3, lr=0.05)
    assert result.history[-1]["loss"] < result.history[0]["loss"]


def test_wrong_settings_say_so(data, tmp_path):
    for options, message in (
        ({"averaging": "swag"}, "none, ema, swa, soup"),
        ({"averaging": "soup"}, "pass validate="),
        ({"soup_size": 0}, "soup_size"),
        ({"swa_lr_mult": 0.0}, "swa_lr_mult"),
        ({"schedule": "cosin"}, "cosine, poly, one-cycle"),
        ({"optimizer": "adamv"}, "did you mean adam"),
        ({"freeze_epochs": 4}, "fewer than the 4 epochs"),
        ({"freeze_epochs": 1}, "TinyUNet has no part named encoder"),
        ({"encoder_lr_mult": 0.5}, "TinyUNet has no part named encoder"),
        ({"epochs": 0}, "epochs=0"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"swa_start": 1.0}, "swa_start"),
    ):
        with pytest.raises(ValueError, match=message):
            run(data, tmp_path / "run", **options)
