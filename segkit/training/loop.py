"""The loop itself: epochs of steps, measured, validated, written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn

from segkit import optim
from segkit.averaging import EMA, SWA
from segkit.losses import DeepSupervision
from segkit.losses.deep import WEIGHTS
from segkit.models.checkpoints import save_weights
from segkit.optim import schedules
from segkit.training import checkpoint, log
from segkit.training.batches import Plan, loader, to_device
from segkit.training.settings import Settings
from segkit.training.watch import Watch

Validate = Callable[[nn.Module], Mapping[str, float]]


class Run:
    """A model, its data and its optimizer on a device, from `state` (of checkpoint.read) or from the beginning."""

    def __init__(
        self,
        model: nn.Module,
        train: Any,
        settings: Settings,
        *,
        loss: Any,
        state: dict[str, Any] | None,
        workers: int,
        accelerator: str,
        channels_last: bool,
        compile: bool,
    ) -> None:
        self.s, self.data, self.channels_last = settings, train, channels_last
        self.loss = (
            loss
            if isinstance(loss, DeepSupervision)
            else DeepSupervision(loss, weights=WEIGHTS | {"aux": settings.aux_weight})
        )
        before = state or {"epoch": 0, "step": 0, "best": None, "best_epoch": 0, "soup": []}
        self.done: int = before["epoch"]
        self.step: int = before["step"]
        self.best: float | None = before["best"]
        self.best_epoch: int = before["best_epoch"]
        self.soup: list[list[float]] = before["soup"]  # [epoch, Dice] of its checkpoints, the best first
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        cuda = torch.cuda.is_available() and accelerator in ("auto", "cuda", "gpu")
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        self.plan = Plan(
            len(train), batch_size=settings.batch_size, epochs=range(self.done, settings.epochs),
            seed=settings.seed, rank=rank, world=world,
        )  # fmt: skip
        # Workers start first: they import and decode while this process imports and sets up.
        self.batches = iter(loader(train, self.plan, workers=workers, pin_memory=cuda))
        self.fabric = _fabric(settings.precision, accelerator, world)

        self.module = model.to(memory_format=torch.channels_last) if channels_last else model
        if state:
            model.load_state_dict(state["model"])
        self.encoder = optim.encoder_of(model) if settings.freeze_epochs else None
        self.resting = [p for p in self.encoder.parameters() if p.requires_grad] if self.encoder else []
        optimizer = optim.create(
            model, settings.optimizer, lr=settings.lr, weight_decay=settings.weight_decay,
            encoder_lr=settings.encoder_lr,
        )  # fmt: skip
        self.model, self.optimizer = self.fabric.setup(torch.compile(model) if compile else model, optimizer)
        self.steps = -(-self.plan.per_epoch // settings.accumulate)  # of the optimizer, in an epoch
        total = settings.epochs * self.steps
        warmup = min(round(settings.warmup_epochs * self.steps), total - 1)
        self.schedule = schedules.create(
            settings.schedule, optimizer, warmup=warmup, total=total, floor=settings.lr_floor,
            start=settings.swa_epoch * self.steps, high=settings.swa_lr, cycle=self.steps,
        )  # fmt: skip
        self.average: Any = None
        if settings.averaging == "ema":
            self.average = EMA(model, decay=settings.ema_decay)
        elif settings.averaging == "swa":
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
        marks: dict[str, Any],
        *,
        validate: Validate | None,
        loggers: Sequence[Any],
        progress: bool,
    ) -> dict[str, Any]:
        """Every epoch that is left; -> the state after the last."""
        state: dict[str, Any] = {}
        for epoch in range(self.done, self.s.epochs):
            begun = perf_counter()
            shown = progress and self.fabric.is_global_zero
            record: log.Record = {"epoch": epoch + 1} | self._epoch(epoch, progress=shown)
            weights = self._averaged()
            is_best = validate is None
            if validate and ((epoch + 1) % self.s.validate_every == 0 or epoch + 1 == self.s.epochs):
                scores = self.validate(validate, weights)
                record |= {f"val_{name}": value for name, value in scores.items()}
                is_best = self.best is None or scores["dice"] > self.best
                if is_best:
                    self.best = scores["dice"]
                if self.s.averaging == "soup":
                    self.soup = sorted([*self.soup, [epoch + 1, scores["dice"]]], key=lambda one: -one[1])
                    self.soup = self.soup[: self.s.soup_size]
            if is_best:
                self.best_epoch = epoch + 1
            record["seconds"] = perf_counter() - begun
            state = self._state(epoch + 1, marks)
            if self.fabric.is_global_zero:
                if is_best:
                    save_weights(weights, out / "model.safetensors")
                save_weights(weights, out / "last.safetensors")
                if _soup_file(epoch + 1) in self.soup_files():
                    save_weights(weights, out / _soup_file(epoch + 1))
                history.log(record)
                log.send(loggers, record)
                checkpoint.write(out / "resume.ckpt", state)  # last: what it promises is there
                for file in {f"soup/{f.name}" for f in out.glob("soup/*.safetensors")} - set(self.soup_files()):
                    (out / file).unlink()
                if shown:
                    print(log.line(record, self.s.epochs), flush=True)
        self.fabric.barrier()
        return state

    def _epoch(self, epoch: int, *, progress: bool) -> log.Record:
        """One pass over the training set; -> the numbers of its record."""
        torch.manual_seed(_seed(self.s.seed, epoch, self.fabric.global_rank))
        self.model.train()
        resting = epoch < self.s.freeze_epochs
        if self.encoder is not None and resting:
            self.encoder.eval()  # its norms keep their statistics
        if self.fabric.world_size == 1:  # several processes have agreed on the parameters they exchange
            for parameter in self.resting:
                parameter.requires_grad_(not resting)
        watch = Watch(self.data, epoch)
        waited = stepped = 0.0
        begun = perf_counter()
        for step in log.bar(self.steps, f"epoch {epoch + 1}/{self.s.epochs}", show=progress):
            group = min(self.s.accumulate, self.plan.per_epoch - step * self.s.accumulate)
            self.loss.set_progress((self.step + step) / (self.s.epochs * self.steps))
            for part in range(group):
                mark = perf_counter()
                batch = next(self.batches)
                waited += perf_counter() - mark
                image, target = to_device(
                    batch, self.fabric.device, channels_last=self.channels_last,
                    in_channels=getattr(self.data, "in_channels", 1),
                )  # fmt: skip
                weight = batch["weight"].to(target.device, non_blocking=True) if "weight" in batch else None
                mark = perf_counter()
                with self.fabric.no_backward_sync(self.model, enabled=part + 1 < group):
                    value = self.loss(self.model(image), target, weight)
                    self.fabric.backward(value / group)
                watch.saw(value, self.loss.terms, batch["index"])
                stepped += perf_counter() - mark
            mark = perf_counter()
            if resting:
                for parameter in self.resting:
                    parameter.grad = None
            if self.s.clip is not None:
                self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.s.clip, error_if_nonfinite=False)
            lr = self.optimizer.param_groups[0]["lr"]
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.schedule.step()
            stepped += perf_counter() - mark
            if self.s.averaging == "ema":
                self.average.update(self.module)
        mark = perf_counter()
        means = watch.means()
        stepped += perf_counter() - mark
        total = perf_counter() - begun
        if self.s.averaging == "swa" and self._averages(epoch):
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

    def _averages(self, epoch: int) -> bool:
        """Whether SWA has begun by the end of this epoch; at the latest with the last."""
        return epoch >= self.s.swa_epoch

    def _averaged(self) -> nn.Module:
        """The weights to validate and to keep."""
        if self.average is None or (self.s.averaging == "swa" and not self._averages(self.done - 1)):
            return self.module
        return self.average.module

    def soup_files(self) -> list[str]:
        """Files of the soup's checkpoints below the run's folder, the best first."""
        return [_soup_file(int(epoch)) for epoch, _ in self.soup]

    def validate(self, validate: Validate, weights: nn.Module) -> dict[str, float]:
        if self.fabric.world_size > 1:  # each process has normalised by its own share: they must judge one network
            for buffer in weights.buffers():
                torch.distributed.broadcast(buffer, 0)
        weights.eval()
        with torch.no_grad(), self.fabric.autocast():
            scores = {name: float(value) for name, value in validate(weights).items()}
        if "dice" not in scores:
            raise ValueError(f"validate gave {', '.join(scores) or 'nothing'}; a score named 'dice' is wanted")
        return scores

    def _state(self, epoch: int, marks: dict[str, Any]) -> dict[str, Any]:
        return {
            "settings": marks,
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


def _fabric(precision: str, accelerator: str, world: int) -> Any:
    from lightning_fabric import Fabric  # 4 s

    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    fabric = Fabric(
        accelerator=accelerator, devices=local, num_nodes=world // local, precision=precision,
        strategy="ddp" if world > 1 else "auto",
    )  # fmt: skip
    fabric.launch()
    return fabric


def _soup_file(epoch: int) -> str:
    return f"soup/epoch{epoch:04d}.safetensors"


def _seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1)[0])
