"""What averaging still has to choose once the last epoch is done: scored, and the best kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from segkit.averaging import average, greedy_soup, has_batch_norm, update_bn
from segkit.files import write_json
from segkit.models.checkpoints import State, load_weights, save_weights
from segkit.training.batches import EpochBatchSampler, make_loader
from segkit.training.config import TrainConfig

if TYPE_CHECKING:
    from segkit.training.loop import TrainingLoop, Validate

OUTCOME = "averaging.json"


def has_choice(config: TrainConfig, model: nn.Module, *, validated: bool) -> bool:
    """Whether anything is left to choose when the epochs are over.

    Args:
        config: Of the run.
        model: Of the run.
        validated: Whether there is a validation to choose by.

    Returns:
        True for a soup, and for SWA of a network with batch norms.
    """
    if not validated:
        return False
    return config.averaging == "soup" or (config.averaging == "swa" and has_batch_norm(model))


def choose_final_weights(loop: TrainingLoop, out: Path, validate: Validate) -> dict[str, Any]:
    """Score what could be saved, save the best as model.safetensors, and write averaging.json.

    Candidates are "best", what the run saved; of a soup "average", of all its checkpoints, and "greedy"; of SWA "swa",
    the average at the end; and the better of these with batch-norm statistics estimated anew on an epoch of training
    images, "..._bn".

    Args:
        loop: The run, all epochs done and validated.
        out: Its folder.
        validate: See `fit`.

    Returns:
        What averaging.json holds: the scores of all candidates, which is kept, and the epochs of a soup's members.
    """
    assert loop.best is not None  # a run that chooses was validated
    monitor, model = loop.monitor, copy.deepcopy(loop.module)

    def score(state: State) -> float:
        model.load_state_dict(state)
        return monitor.value(loop.validate(validate, model))

    loop.fabric.barrier()  # the files are the first process's
    states: dict[str, State] = {}
    scores = {"best": loop.best}
    outcome: dict[str, Any] = {}
    if loop.config.averaging == "soup":
        files = [out / name for name in loop.soup_files()]
        soup = greedy_soup(files, lambda s: monitor.rank(score(s)), scores=[monitor.rank(one) for _, one in loop.soup])
        states = {"greedy": soup.state, "average": average(files)}
        greedy = soup.score if monitor.mode == "max" else -soup.score
        scores |= {"greedy": greedy, "average": score(states["average"])}
        outcome["epochs"] = [loop.soup[member][0] for member in soup.members]
    else:
        states = {"swa": load_weights(out / "last.safetensors")}
        scores["swa"] = score(states["swa"])
    leader = max(states, key=lambda name: monitor.rank(scores[name]))
    model.load_state_dict(states[leader])
    if has_batch_norm(model):
        with loop.fabric.autocast():
            update_bn(model, _images(loop))
        states[f"{leader}_bn"] = model.state_dict()
        scores[f"{leader}_bn"] = monitor.value(loop.validate(validate, model))
    kept = max(scores, key=lambda name: monitor.rank(scores[name]))  # of equals the first: what the run saved
    outcome |= {"scores": scores, "kept": kept}
    if loop.fabric.is_global_zero:
        if kept != "best":
            save_weights(states[kept], out / "model.safetensors", loop.metadata)
        write_json(out / OUTCOME, outcome)
    loop.fabric.barrier()
    return outcome


def _images(loop: TrainingLoop) -> Iterator[Tensor]:
    """The training images of one more epoch."""
    config, fabric = loop.config, loop.fabric
    sampler = EpochBatchSampler(
        len(loop.data), batch_size=config.batch_size, epochs=range(config.epochs, config.epochs + 1), seed=config.seed,
        rank=fabric.global_rank, world=fabric.world_size,
    )  # fmt: skip
    for batch in make_loader(loop.data, sampler, workers=0, pin_memory=False):
        yield loop.to_device(batch)["image"]
