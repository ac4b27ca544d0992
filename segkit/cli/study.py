"""An Optuna study over stored predictions: thresholds and steps of one store, or weights and thresholds of several."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from segkit.cli.shared import read_groups

if TYPE_CHECKING:
    import optuna

    from segkit.ensemble import BlendSpace
    from segkit.masks import MaskSet
    from segkit.predictions import PredictionStore
    from segkit.studies import BlendChoice, Choice, blend_objective, postprocess_objective

Search = Callable[..., "optuna.Study"]
"""search(objective, make, curves, made_of) -> the study, its trials done."""

OF_A_BLEND = {
    "nothing": "equal weights at .5",
    "thresholds": "equal weights, tuned thresholds",
    "weights": "weights at .5",
    "thresholds and weights": "weights, tuned thresholds",
}
"""What is kept of a blend, in words."""


def study(
    inputs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="STORE... TRUTH")],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    trials: int = 100,
    workers: int = 1,
    groups: Path | None = None,
    storage: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    multipart: tuple[str, ...] = (),
    weights_by_class: bool = False,
    thresholds_by_class: bool = False,
    domain: Literal["logits", "probs"] | None = None,
) -> int:
    """Search what suits your predictions, and keep what persons gain from who had no part in the search.

    Args:
        inputs: PredictionStores (.zarr), then the truth: a CSV like a submission, or a folder in the competition's
            layout. One store: thresholds and post-processing, written as a Pipeline. Several: the weights of their
            blend and thresholds, written as a Pipeline too.
        out: The JSON to write.
        trials: Finished trials in all, those of earlier runs and other hosts included.
        workers: Processes that share them.
        groups: CSV with the columns id (or image_name) and group; default: the persons of TRUTH's folder, else each
            image by itself.
        storage: Journal file, or the URL of a database that several hosts share; default: OUT with the ending .journal.
        name: Of the study; default: OUT's.
        seed: Of the draws of a first run with one worker.
        multipart: Of one store: classes of several parts, which keep them.
        weights_by_class: Of several stores: each class has its own weights.
        thresholds_by_class: Of several stores: each class has its own threshold.
        domain: Of several stores: what is averaged; default: logits.
    """
    import optuna

    from segkit import studies
    from segkit.predictions import PredictionStore
    from segkit.samples import Truth

    if len(inputs) < 2:
        raise ValueError(f"at least one store and the truth are wanted, got {', '.join(map(str, inputs))}")
    if trials < 1 or workers < 1:
        raise ValueError(f"--trials {trials}, --workers {workers}: at least 1 is wanted")
    place, called = storage or out.with_suffix(".journal"), name or out.stem
    _apart(out, place, inputs)
    paths, several = inputs[:-1], len(inputs) > 2
    of_several = {"weights_by_class": weights_by_class, "thresholds_by_class": thresholds_by_class, "domain": domain}
    of_one = {"multipart": multipart}
    unused = [key for key, value in (of_one if several else of_several).items() if value]
    if unused:
        count = f"{len(paths)} stores" if several else "one store"
        raise ValueError(f"{', '.join(f'--{key}' for key in unused).replace('_', '-')}: means nothing for {count}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stores, truth = [PredictionStore.open(path) for path in paths], Truth.open(inputs[-1])

    def search(objective: Any, make: Callable[[], Any], curves: Any, made_of: object) -> optuna.Study:
        found = studies.open_study(called, place, seed=seed, curves=curves)
        _only_of(found, made_of)
        objective.enqueue(found)
        if workers == 1:
            studies.optimise(found, objective, trials=trials)
        else:
            studies.run_workers(make, called, place, trials=trials, workers=workers, seed=seed, curves=curves)
        done = len(found.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))
        print(f"study {called}: {done} trials, the best {found.best_value:.4f} on the images it searched on")
        return found

    try:
        person = _persons(groups, inputs[-1], [image for image in stores[0].ids if image in truth])
        if several:
            _blend(stores, truth, person, search, out, inputs, of_several, workers=workers, trials=trials, seed=seed)
        else:
            _steps(stores[0], truth, person, search, out, inputs, multipart)
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with study {called}", file=sys.stderr)
        return 130
    except RuntimeError as error:  # of a worker
        raise ValueError(str(error)) from error
    print(out)
    return 0


def _steps(
    store: PredictionStore, truth: MaskSet, person: Mapping[str, str], search: Search, out: Path,
    inputs: Sequence[Path], multipart: tuple[str, ...],
) -> None:  # fmt: skip
    """Thresholds and steps of one store -> a Pipeline."""
    from segkit import studies
    from segkit.files import digest
    from segkit.thresholds import curves

    found = curves(store, truth)
    best = found.best()
    objective = studies.postprocess_objective(store, truth, thresholds=best, multipart=multipart)
    made_of = digest(["steps", found.ids, found.classes, found.means.round(4), multipart])
    study = search(objective, partial(_make_steps, inputs[0], inputs[1], best, multipart), None, made_of)
    choice = studies.choose(found, objective, person, [t.params for t in study.get_trials() if t.values])
    _say(choice, person)
    choice.pipeline.save(out)


def _make_steps(
    store: Path, truth: Path, thresholds: dict[str, float], multipart: tuple[str, ...]
) -> postprocess_objective:
    from segkit import studies
    from segkit.predictions import PredictionStore
    from segkit.samples import Truth

    opened = PredictionStore.open(store)
    return studies.postprocess_objective(opened, Truth.open(truth), thresholds=thresholds, multipart=multipart)


def _blend(
    stores: Sequence[PredictionStore], truth: MaskSet, person: Mapping[str, str], search: Search, out: Path,
    inputs: Sequence[Path], settings: Mapping[str, Any], *, workers: int, trials: int, seed: int | None,
) -> None:  # fmt: skip
    """Weights and thresholds of several stores -> a Pipeline with a blend."""
    import optuna

    from segkit import studies
    from segkit.ensemble import Blend
    from segkit.files import digest
    from segkit.postprocess import Pipeline

    domain = settings["domain"] or "logits"
    by_class = {key: settings[key] for key in ("weights_by_class", "thresholds_by_class")}
    with ExitStack() as stack:
        cache = stack.enter_context(TemporaryDirectory()) if workers > 1 else None  # the band is shared
        objective = _make_blend(inputs, domain, by_class, cache, None)
        space = objective.space
        known = studies.blend_curves(space)
        made_of = digest(["blend", space.ids, space.classes, space.names, known.means.round(4), domain, by_class])
        study = search(objective, partial(_make_blend, inputs, domain, by_class, cache, 1), known, made_of)
        found = objective.settings(study.best_params)[0]

        def look(part: BlendSpace) -> Any:
            sampler = studies.CurveSampler(studies.blend_curves(part), seed=seed)
            inner = optuna.create_study(direction="maximize", sampler=sampler)
            wanted = studies.blend_objective(part, **by_class)
            wanted.enqueue(inner)
            inner.optimize(wanted, n_trials=trials)
            return wanted.settings(inner.best_params)[0]

        choice = studies.choose_blend(space, person, look, found=found, **by_class)
    print(f"equal weights at .5: {choice.held_out['nothing']:.4f}")
    _say(choice, person, blend=True)
    share = {cls: weights.tolist() for cls, weights in choice.weights.items()}
    blend = Blend(
        share if by_class["weights_by_class"] else next(iter(share.values())),
        domain=domain,
        stores=[str(store.path) for store in stores],
    )
    thresholds = choice.thresholds if by_class["thresholds_by_class"] else next(iter(choice.thresholds.values()))
    Pipeline(thresholds=thresholds, classes=space.classes, blend=blend).save(out)


def _make_blend(
    inputs: Sequence[Path], domain: Any, by_class: Mapping[str, bool], cache: str | None, threads: int | None
) -> blend_objective:
    from segkit import studies
    from segkit.ensemble import BlendSpace
    from segkit.predictions import PredictionStore
    from segkit.samples import Truth

    stores = [PredictionStore.open(path) for path in inputs[:-1]]
    space = BlendSpace(stores, Truth.open(inputs[-1]), domain=domain, cache=cache, workers=threads)
    return studies.blend_objective(space, **by_class)


def _apart(out: Path, storage: str | Path, inputs: Sequence[Path]) -> None:
    """ValueError where what is written would overwrite what is read, or the study's own journal."""
    if out.is_dir():
        raise ValueError(f"-o {out} is a folder; a JSON file to write is wanted")
    read = {path.resolve() for path in inputs}
    if out.resolve() in read:
        raise ValueError(f"-o {out} is one of the inputs; name another file to write")
    if "://" in str(storage):
        return
    if Path(storage).resolve() == out.resolve():
        raise ValueError(f"{storage} would hold the study's journal and what it finds; name another --storage or -o")
    if Path(storage).resolve() in read:
        raise ValueError(f"--storage {storage} is one of the inputs; name another")


def _only_of(study: optuna.Study, made_of: object) -> None:
    """ValueError where the study's trials were scored on other predictions or with other options."""
    known = study.user_attrs.get("made_of")
    if known is None:
        study.set_user_attr("made_of", made_of)
    elif known != made_of:
        raise ValueError(
            f"study {study.study_name} has trials of other predictions, truth or options; give another --name"
        )


def _persons(groups: Path | None, truth: Path, ids: Sequence[str]) -> dict[str, str]:
    """{image: person} of all images; ValueError names those without."""
    from segkit.samples import index

    if groups is not None:
        known = read_groups(groups)
    elif truth.is_dir():
        known = {item.id: item.person for item in index(truth)}
    else:
        print("no --groups: each image counts as a person of its own", file=sys.stderr)
        return {image: image for image in ids}
    if lacking := [image for image in ids if image not in known]:
        raise ValueError(f"{groups}: {len(lacking)} images have no person: {', '.join(lacking[:3])} ...")
    return {image: known[image] for image in ids}


def _say(choice: Choice | BlendChoice, person: Mapping[str, str], *, blend: bool = False) -> None:
    """What choosing gains on persons who had no part in it, and what is kept."""
    from segkit.metrics import MIN_GROUPS, bootstrap

    for what, gain in choice.gains.items():
        interval = f"95 % interval {gain.low:+.4f} to {gain.high:+.4f}, {gain.groups} persons"
        print(f"{what}: {gain.gain:+.4f} ({interval})")
    found = bootstrap(choice.table, person)
    print(f"tuned {choice.tuned:.4f}; held out {found.mean:.4f} (95 % interval {found.low:.4f} to {found.high:.4f})")
    if found.groups < MIN_GROUPS:
        print(f"{found.groups} persons: nothing is kept that fewer than {MIN_GROUPS} speak for")
    print(f"kept: {OF_A_BLEND[choice.kept] if blend else choice.kept}")
