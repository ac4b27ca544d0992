"""Stage: what one step of a run depends on, and the engine that runs it, skips it or refuses to.

A stage's key is the digest of the config groups, recipe facts and inputs that it declares, of what else it reads, and
of the keys of the stages that it needs. While a stage works it sees nothing else (`Run.scoped`): what it does not
declare cannot be read, so the key cannot lack what the result depends on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.files import digest, plain
from segkit.recipe.recipe import description
from segkit.recipe.stamps import Meter
from segkit.samples import Samples

if TYPE_CHECKING:
    from segkit.recipe.run import Run


def _nothing(run: Run) -> dict[str, Any]:
    return {}


def _no_stage(run: Run) -> tuple[Stage, ...]:
    return ()


def _replaceable(run: Run) -> bool:
    return False


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Args:
        name: Unique; also the name of its stamp.
        work: Reads what it needs through the run, and writes `makes` into the run folder.
        makes: Files and folders below the run folder, the proof that it is done.
        groups: Config groups that the result depends on.
        facts: Fields of Recipe that the result depends on.
        inputs: Parts of Inputs that it reads: "train", "test", "strata" ...; their content enters the key.
        needs: run -> stages whose files it reads.
        after: Stages that must be done before; their keys enter this one's only by what is read of them.
        reads: run -> {what, in words: value} of all else that the result depends on; the work finds it in `run.read`.
        precious: run -> whether what is there must not be replaced under another key, such as a trained fold.
        title: What messages call it.
    """

    name: str
    work: Callable[[Run], None]
    makes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    needs: Callable[[Run], tuple[Stage, ...]] = _no_stage
    after: tuple[Stage, ...] = ()
    reads: Callable[[Run], Mapping[str, Any]] = _nothing
    precious: Callable[[Run], bool] = _replaceable
    title: str = ""

    def all_needed(self, run: Run) -> Iterator[Stage]:
        """Yield every stage that this one builds on, directly or not."""
        for need in self.needs(run):
            yield need
            yield from need.all_needed(run)

    def depends_on(self, run: Run) -> dict[str, Any]:
        """List all that the result depends on, in plain values, the stages that it needs included."""
        return {
            "config": {group: plain(asdict(getattr(run.config, group))) for group in self.groups},
            "recipe": {fact: description(getattr(run.recipe, fact)) for fact in self.facts},
            "reads": {**_contents(self.inputs, run), **plain(dict(self.reads(run)))},
            "needs": {need.name: need.depends_on(run) for need in self.needs(run)},
        }

    def key(self, run: Run) -> str:
        """Digest of depends_on(), whatever the stage at work may read."""
        return digest(self.depends_on(run.unscoped or run))


def execute(stage: Stage, run: Run) -> bool:
    """Run a stage unless it is done with the same key.

    Args:
        stage: What to run.
        run: In whose folder.

    Returns:
        Whether it ran now.

    Raises:
        ValueError: Where a stage that it needs is not done or was done otherwise, or where the result would replace
            something precious that was made otherwise; it names what differs.
    """
    for before in (*stage.after, *stage.needs(run)):
        require(before, run)
    if find(stage, run) is not None:
        return False
    now = stage.depends_on(run)
    begun = run.stamps.begun(stage.name)
    if begun is not None and stage.precious(run) and digest(begun) != digest(now):
        raise ValueError(_refusal(stage, run, begun, now))
    run.stamps.begin(stage.name, now)
    with Meter() as meter:
        stage.work(run.scoped(stage))
    run.stamps.finish(stage.name, digest(now), meter)
    return True


def find(stage: Stage, run: Run) -> Path | None:
    """Find the folder in which a stage is done with the key of this run: its own, or that of a run it derives from.

    Args:
        stage: What is looked for.
        run: For which run.

    Returns:
        The folder, or None.
    """
    key = stage.key(run)
    for folder in run.folders:
        made = all((folder.path / name).exists() for name in stage.makes)
        if made and folder.key(stage.name) == key:
            return folder.path
    return None


def require(stage: Stage, run: Run) -> Path:
    """Return the folder in which a stage is done.

    Args:
        stage: What must be done.
        run: For which run.

    Returns:
        The folder.

    Raises:
        ValueError: Where it is not done, or was done otherwise; it says what to do.
    """
    run = run.unscoped or run
    folder = find(stage, run)
    if folder is not None:
        return folder
    before = run.stamps.begun(stage.name)
    if before is None or not run.stamps.key(stage.name):
        missing = next((name for name in stage.makes if not (run.folder / name).exists()), stage.name)
        raise ValueError(f"{run.folder / missing} is not there: run the stage {stage.title or stage.name} first")
    now = stage.depends_on(run)
    if digest(before) == digest(now):
        missing = next(name for name in stage.makes if not (run.folder / name).exists())
        raise ValueError(f"{run.folder / missing} is gone: run the stage {stage.title or stage.name} again")
    if stage.precious(run):
        raise ValueError(_refusal(stage, run, before, now))
    raise ValueError(
        f"the stage {stage.title or stage.name} was done with {differences(before, now)}: run it again first"
    )


def take_over(stage: Stage, source: Run, target: Run) -> None:
    """Copy the small artifacts of a finished stage into the folder of a run that goes on by itself from there.

    Args:
        stage: A stage that is done.
        source: The run that did it.
        target: A run that derives from it.
    """
    folder = require(stage, source)
    (target.folder / ".stages").mkdir(parents=True, exist_ok=True)
    for name in stage.makes:
        shutil.copyfile(folder / name, target.folder / name)
    for stamp in (folder / ".stages").glob(f"{stage.name}*.json"):
        shutil.copyfile(stamp, target.folder / ".stages" / stamp.name)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in words what differs between two results of `Stage.depends_on`, the cause rather than its consequences.

    Args:
        before: What a result was made with.
        now: What it would be made with.

    Returns:
        For instance "lr 0.01, not 0.5; other training labels".
    """
    found = list(dict.fromkeys(_differences(before, now)))
    return "; ".join(found) or "another version of segkit"


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for group in sorted({*before.get("config", {}), *now["config"]}):
        old, new = before.get("config", {}).get(group, {}), now["config"].get(group, {})
        for name in dict.fromkeys([*new, *old]):
            if old.get(name) != new.get(name):
                yield f"{name} {old.get(name)!r}, not {new.get(name)!r}"
    for part, word in (("recipe", "another"), ("reads", "other")):
        old, new = before.get(part, {}), now[part]
        yield from (f"{word} {name.replace('_', ' ')}" for name in new if old.get(name) != new[name])
    old, new = before.get("needs", {}), now["needs"]
    for name in new:
        if name in old:
            yield from _differences(old[name], new[name])
        else:
            yield f"no {name}"
    yield from (f"{name} beside" for name in old if name not in new)


def _contents(inputs: tuple[str, ...], run: Run) -> dict[str, Any]:
    """{what, in words: digest of its content} of parts of Inputs."""
    found: dict[str, Any] = {}
    for name in inputs:
        value = getattr(run.inputs, name)
        if name == "test_images":
            files = [[sample.id, sample.group, [(f.name, f.stat().st_size) for f in sample.files]] for sample in value]
            found["test images"] = digest([files, value.image_spec.to_dict()])
        elif isinstance(value, Samples):
            split = "training" if name == "train" else name
            found[f"{split} images"] = digest([value.ids, value.groups])
            found[f"{split} labels or pixels"] = value.fingerprint()
        elif name == "everything":
            found["samples"] = [one.fingerprint() for one in value]
        else:
            found[name] = digest(value.to_csv() if hasattr(value, "to_csv") else value)
    return found


def _refusal(stage: Stage, run: Run, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    place = run.folder / (stage.makes[0].partition("/")[0] if stage.makes else "")
    return (
        f"{place} was made with {differences(before, now)}: name another --out to keep it, "
        f"or delete {place} to make it again"
    )
