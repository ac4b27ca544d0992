"""The training loop: epochs of steps, measured, validated, written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from segkit import optim
from segkit.averaging import EMA, SWA
from segkit.losses import DeepSupervision
from segkit.losses.deep import WEIGHTS
from segkit.models.checkpoints import save_weights
from segkit.optim import schedules
from segkit.training import checkpoint, log
from segkit.training.batches import Batch, EpochBatchSampler, TrainingData, make_loader, to_device
from segkit.training.config import TrainConfig
from segkit.training.identity import Identity
from segkit.training.monitor import Monitor
from segkit.training.setup import create_fabric, epoch_seed, metadata_of, rank_and_world, take_gpu
from segkit.training.tracker import LossTracker

Validate = Callable[[nn.Module], Mapping[str, float]]


class TrainingLoop:
    """A model, its data and its optimizer on a device.

    Args:
        model: The network, trained in place.
        data: See `fit`.
        config: All settings.
        loss: See `fit`.
        monitor: The score that decides.
        state: What `checkpoint.read` gave; None begins anew.
    """

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        config: TrainConfig,
        *,
        loss: Callable[..., Tensor],
        monitor: Monitor,
        state: dict[str, Any] | None,
    ) -> None:
        self.config, self.data, self.monitor = config, data, monitor
        if not isinstance(loss, DeepSupervision):
            loss = DeepSupervision(loss, weights=WEIGHTS | {"aux": config.aux_weight})
        self.loss = loss
        self.metadata = metadata_of(data)
        before = state or {"epoch": 0, "step": 0, "best": None, "best_epoch": 0, "soup": []}
        self.done: int = before["epoch"]
        self.step: int = before["step"]
        self.best: float | None = before["best"]
        self.best_epoch: int = before["best_epoch"]
        self.soup: list[list[float]] = before["soup"]  # [epoch, score] of its checkpoints, the best first
        (rank, world), cuda = rank_and_world(), take_gpu(config)
        self.sampler = EpochBatchSampler(
            len(data), batch_size=config.batch_size, epochs=range(self.done, config.epochs), seed=config.seed,
            rank=rank, world=world,
        )  # fmt: skip
        # Workers start first: they import and decode while this process imports and sets up.
        self.batches = iter(make_loader(data, self.sampler, workers=config.workers, pin_memory=cuda))
        self.fabric = create_fabric(config)

        self.module = model.to(memory_format=torch.channels_last) if config.channels_last else model
        if state:
            model.load_state_dict(state["model"])
        self.encoder = optim.encoder_of(model) if config.freeze_epochs else None
        self.frozen = [p for p in self.encoder.parameters() if p.requires_grad] if self.encoder else []
        optimizer = optim.create(
            model, config.optimizer, lr=config.lr, weight_decay=config.weight_decay,
            encoder_lr_mult=config.encoder_lr_mult,
        )  # fmt: skip
        self.model, self.optimizer = self.fabric.setup(torch.compile(model) if config.compile else model, optimizer)
        self.steps = -(-self.sampler.per_epoch // config.accumulate)  # of the optimizer, in an epoch
        total = config.epochs * self.steps
        warmup = min(round(config.warmup_epochs * self.steps), total - 1)
        self.schedule = schedules.create(
            config.schedule, optimizer, warmup=warmup, total=total, floor=config.lr_floor,
            start=config.swa_epoch * self.steps, high=config.swa_lr_mult, cycle=self.steps,
        )  # fmt: skip
        self.average: Any = None
        if config.averaging == "ema":
            self.average = EMA(model, decay=config.ema_decay)
        elif config.averaging == "swa":
            self.average = SWA(model)
        self.loss.to(self.fabric.device)
        if state:
            optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            self.fabric.strategy.precision.load_state_dict(state["scaler"])
            if self.average:
                self.average.load_state_dict(state["average"])

    def train(
        self,
        out: Path,
        history: log.History,
        identity: Identity,
        *,
        validate: Validate | None,
        loggers: Sequence[Any],
        progress: bool,
    ) -> dict[str, Any]:
        """Train every epoch that is left.

        Args:
            out: Folder of the run.
            history: The records so far.
            identity: What the run is, for the resume file.
            validate: See `fit`.
            loggers: See `fit`.
            progress: See `fit`.

        Returns:
            The state after the last epoch; empty where no epoch was left.
        """
        state: dict[str, Any] = {}
        for epoch in range(self.done, self.config.epochs):
            begun = perf_counter()
            shown = progress and self.fabric.is_global_zero
            record: log.Record = {"epoch": epoch + 1} | self._epoch(epoch, progress=shown)
            weights = self._averaged()
            is_best = validate is None
            if validate and ((epoch + 1) % self.config.validate_every == 0 or epoch + 1 == self.config.epochs):
                scores = self.validate(validate, weights)
                record |= {f"val_{name}": value for name, value in scores.items()}
                is_best = self._take(epoch + 1, self.monitor.value(scores))
            if is_best:
                self.best_epoch = epoch + 1
            record["seconds"] = perf_counter() - begun
            state = self._state(epoch + 1)
            if self.fabric.is_global_zero:
                self._write(out, weights, is_best=is_best)
                history.log(record)
                log.send(loggers, record)
                checkpoint.write(out / "resume.ckpt", state, identity)  # last: what it promises is there
                for file in {f"soup/{f.name}" for f in out.glob("soup/*.safetensors")} - set(self.soup_files()):
                    (out / file).unlink()
                if shown:
                    print(log.line(record, self.config.epochs, self.monitor.name), flush=True)
        self.fabric.barrier()
        return state

    def _epoch(self, epoch: int, *, progress: bool) -> log.Record:
        """One pass over the training set, and the numbers of its record."""
        config = self.config
        torch.manual_seed(epoch_seed(config.seed, epoch, self.fabric.global_rank))
        self.model.train()
        freeze = epoch < config.freeze_epochs
        if self.encoder is not None and freeze:
            self.encoder.eval()  # its norms keep their statistics
        if self.fabric.world_size == 1:  # several processes have agreed on the parameters they exchange
            for parameter in self.frozen:
                parameter.requires_grad_(not freeze)
        tracker = LossTracker(getattr(self.data, "ids", None), epoch)
        waited = stepped = 0.0
        begun = perf_counter()
        for step in log.bar(self.steps, f"epoch {epoch + 1}/{config.epochs}", show=progress):
            parts = min(config.accumulate, self.sampler.per_epoch - step * config.accumulate)
            self.loss.set_progress((self.step + step) / (config.epochs * self.steps))
            for part in range(parts):
                mark = perf_counter()
                batch = next(self.batches)
                waited += perf_counter() - mark
                batch = self.to_device(batch)
                mark = perf_counter()
                with self.fabric.no_backward_sync(self.model, enabled=part + 1 < parts):
                    value = self.loss(self.model(batch["image"]), batch["target"], batch.get("weight"))
                    self.fabric.backward(value / parts)
                tracker.update(value, self.loss.terms, batch["index"])
                stepped += perf_counter() - mark
            mark = perf_counter()
            if freeze:
                for parameter in self.frozen:
                    parameter.grad = None
            if config.clip is not None:
                self.fabric.clip_gradients(self.model, self.optimizer, max_norm=config.clip, error_if_nonfinite=False)
            lr = self.optimizer.param_groups[0]["lr"]
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.schedule.step()
            stepped += perf_counter() - mark
            if config.averaging == "ema":
                self.average.update(self.module)
        mark = perf_counter()
        means = tracker.means()
        stepped += perf_counter() - mark
        total = perf_counter() - begun
        if config.averaging == "swa" and epoch >= config.swa_epoch:
            self.average.update(self.module)
        self.step += self.steps
        self.done = epoch + 1
        if self.fabric.world_size > 1:
            shared = torch.tensor(list(means.values()), device=self.fabric.device)
            means = dict(zip(means, self.fabric.all_reduce(shared, reduce_op="mean").tolist()))
        return {
            "step": self.step, "lr": lr, **means, "train_seconds": total, "wait_seconds": waited,
            "step_seconds": stepped, "overhead_share": 1 - stepped / total,
        }  # fmt: skip

    def to_device(self, batch: Batch) -> Batch:
        """Bring a batch to the device, as floats.

        Args:
            batch: As the loader gives it.

        Returns:
            See `batches.to_device`.
        """
        return to_device(batch, self.fabric.device, self.data, channels_last=self.config.channels_last)

    def _averaged(self) -> nn.Module:
        """The weights to validate and to keep."""
        began = self.config.averaging != "swa" or self.done - 1 >= self.config.swa_epoch
        return self.average.module if self.average is not None and began else self.module

    def _take(self, epoch: int, score: float) -> bool:
        """Take note of a score; whether it is the best so far."""
        is_best = self.monitor.is_better(score, self.best)
        if is_best:
            self.best = score
        if self.config.averaging == "soup":
            self.soup = sorted([*self.soup, [epoch, score]], key=lambda one: -self.monitor.rank(one[1]))
            self.soup = self.soup[: self.config.soup_size]
        return is_best

    def soup_files(self) -> list[str]:
        """The checkpoints of a soup.

        Returns:
            Files below the run's folder, the best first.
        """
        return [_soup_file(int(epoch)) for epoch, _ in self.soup]

    def validate(self, validate: Validate, weights: nn.Module) -> dict[str, float]:
        """Score weights.

        Args:
            validate: See `fit`.
            weights: The network.

        Returns:
            {name: score}.
        """
        if self.fabric.world_size > 1:  # each process has normalised by its own share: they must judge one network
            for buffer in weights.buffers():
                torch.distributed.broadcast(buffer, 0)
        weights.eval()
        with torch.no_grad(), self.fabric.autocast():
            return {name: float(value) for name, value in validate(weights).items()}

    def _write(self, out: Path, weights: nn.Module, *, is_best: bool) -> None:
        """The weight files of an epoch."""
        if is_best:
            save_weights(weights, out / "model.safetensors", self.metadata)
        save_weights(weights, out / "last.safetensors", self.metadata)
        if _soup_file(self.done) in self.soup_files():
            save_weights(weights, out / _soup_file(self.done), self.metadata)

    def _state(self, epoch: int) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "step": self.step,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "soup": self.soup,
            "model": self.module.state_dict(),
            "average": self.average.state_dict() if self.average else {},
            "optimizer": self.optimizer.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
        }


def _soup_file(epoch: int) -> str:
    return f"soup/epoch{epoch:04d}.safetensors"
