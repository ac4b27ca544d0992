"""Stage folds: which images are held out together, drawn once for a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segkit import folds
from segkit.files import nearest
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute, require
from segkit.recipe.stages.audit import AUDIT


def work(run: Run) -> None:
    """Write folds.csv: the same samples and settings give the same folds."""
    settings, samples = run.config.data, run.inputs.train
    k = min(settings.n_folds, len(set(samples.groups.values())))
    parts = list(run.read["strata"].values())
    strata = {i: "/".join(part.get(i, "") for part in parts) for i in samples.ids} if parts else None
    found = folds.assign(samples.groups, k=k, strata=strata, seed=settings.split_seed)
    folds.write(run.folder / "folds.csv", found, samples.groups)


def stratum(run: Run, name: str) -> Mapping[str, str]:
    """{image id: value} of one of the strata, or of a column of the metadata sheet (numbers in thirds)."""
    strata, sheet = run.inputs.strata, run.inputs.metadata
    if name in strata:
        return strata[name]
    columns = [] if sheet is None else [column for column in sheet.columns if column != "id"]
    if sheet is None or name not in columns:
        raise ValueError(f"--stratify {name}: {nearest(name, [*strata, *columns])}")
    values = sheet.set_index("id")[name]
    if values.dtype.kind == "f":
        values = (values.rank(pct=True) * 3).round().astype(str)
    return {image: str(values.get(group, "")) for image, group in run.inputs.groups.items()}


def _stratified(run: Run) -> dict[str, Any]:
    ids = run.inputs.train.ids
    found = {name: stratum(run, name) for name in run.config.data.stratify}
    return {"strata": {name: {i: values[i] for i in ids if i in values} for name, values in found.items()}}


def _trained(run: Run) -> bool:
    return any(run.folder.glob("fold*/last.safetensors"))


FOLDS = Stage(
    "folds",
    work,
    makes=("folds.csv",),
    groups=("data",),
    inputs=("train",),
    after=(AUDIT,),
    reads=_stratified,
    precious=_trained,
)


def run_stage(run: Run) -> None:
    """Draw the folds, where they are not drawn yet."""
    ran = execute(FOLDS, run)
    count = len(set(fold_of(run).values()))
    run.say(f"  {count} folds of {len(run.inputs.train)} images{'' if ran else ' (as before)'}")


def fold_of(run: Run) -> dict[str, int]:
    """Read {image id: fold} of the training images."""
    return folds.read(require(FOLDS, run) / "folds.csv")[0]


def asked_folds(run: Run) -> tuple[int, ...]:
    """Return the folds of --folds; of few groups (--limit) those that there are."""
    last, asked = max(fold_of(run).values()), run.config.run.folds
    there = tuple(fold for fold in asked if 0 <= fold <= last)
    if (there != asked and run.config.data.limit is None) or not there:
        raise ValueError(f"--folds {' '.join(map(str, asked))}: expected folds from 0 to {last}")
    return there


def ids_of(run: Run, fold: int, *, held_out: bool) -> list[str]:
    """List the training images of a fold, or all others."""
    own = fold_of(run)
    return [i for i in run.inputs.train.ids if (own[i] == fold) == held_out]
