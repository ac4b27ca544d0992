"""What averaging still has to choose once the last epoch is done: measured, and the better kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from segkit.averaging import average, greedy_soup, has_batch_norm, update_bn
from segkit.files import write_json
from segkit.models.checkpoints import State, load_weights, save_weights
from segkit.training.batches import Plan, loader, to_device
from segkit.training.settings import Settings

if TYPE_CHECKING:
    from segkit.training.loop import Run, Validate

OUTCOME = "averaging.json"


def chooses(settings: Settings, model: nn.Module, *, validated: bool) -> bool:
    """Whether anything is left to choose when the epochs are over."""
    if not validated:
        return False
    return settings.averaging == "soup" or (settings.averaging == "swa" and has_batch_norm(model))


def finish(run: Run, out: Path, validate: Validate) -> dict[str, Any]:
    """Score what could be saved, save the best as model.safetensors, and say so in averaging.json.

    Candidates: "best", what the run saved; of a soup "average", of all its checkpoints, and "greedy"; of SWA "swa", the
    average at the end; and the better of these with batch-norm statistics estimated anew on an epoch of training
    images, "..._bn". -> what averaging.json holds: scores of all, kept, and the epochs of a soup's members.
    """
    assert run.best is not None  # a run that chooses was validated
    model = copy.deepcopy(run.module)

    def score(state: State) -> float:
        model.load_state_dict(state)
        return run.validate(validate, model)["dice"]

    run.fabric.barrier()  # the files are the first process's
    states: dict[str, State] = {}
    scores = {"best": run.best}
    outcome: dict[str, Any] = {}
    if run.s.averaging == "soup":
        files = [out / name for name in run.soup_files()]
        soup = greedy_soup(files, score, scores=[dice for _, dice in run.soup])
        states = {"greedy": soup.state, "average": average(files)}
        scores |= {"greedy": soup.score, "average": score(states["average"])}
        outcome["epochs"] = [run.soup[member][0] for member in soup.members]
    else:
        states = {"swa": load_weights(out / "last.safetensors")}
        scores["swa"] = score(states["swa"])
    leader = max(states, key=lambda name: scores[name])
    model.load_state_dict(states[leader])
    if has_batch_norm(model):
        with run.fabric.autocast():
            update_bn(model, _images(run))
        states[f"{leader}_bn"] = model.state_dict()
        scores[f"{leader}_bn"] = run.validate(validate, model)["dice"]
    kept = max(scores, key=lambda name: scores[name])  # of equals the first: what the run saved
    outcome |= {"scores": scores, "kept": kept}
    if run.fabric.is_global_zero:
        if kept != "best":
            save_weights(states[kept], out / "model.safetensors")
        write_json(out / OUTCOME, outcome)
    run.fabric.barrier()
    return outcome


def _images(run: Run) -> Iterator[Tensor]:
    """The training images of one epoch more."""
    plan = Plan(
        len(run.data), batch_size=run.s.batch_size, epochs=range(run.s.epochs, run.s.epochs + 1), seed=run.s.seed,
        rank=run.fabric.global_rank, world=run.fabric.world_size,
    )  # fmt: skip
    for batch in loader(run.data, plan, workers=0, pin_memory=False):
        image, _ = to_device(
            batch, run.fabric.device, channels_last=run.channels_last, in_channels=getattr(run.data, "in_channels", 1)
        )
        yield image
