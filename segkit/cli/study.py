"""An Optuna study over stored predictions: thresholds and steps of one store, or weights and thresholds of several."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from segkit.cli.shared import read_groups, read_truth

if TYPE_CHECKING:
    import optuna

    from segkit.ensemble import BlendSpace
    from segkit.ensemble.weights import Domain, Weights
    from segkit.masks import MaskSet
    from segkit.metrics import Metric
    from segkit.postprocess import Pipeline
    from segkit.predictions import PredictionStore
    from segkit.selection import Selection
    from segkit.studies import BlendObjective, PostprocessObjective
    from segkit.thresholds import PerClass, ScoreCurves

Search = Callable[..., "optuna.Study"]
"""search(objective, make, curves, made_of, trials) -> the study, its trials done."""


def study(
    inputs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="STORE... TRUTH")],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    trials: int = 100,
    workers: int = 1,
    metric: str = "dice",
    groups: Path | None = None,
    storage: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    multipart: tuple[str, ...] = (),
    weights_by_class: bool = False,
    thresholds_by_class: bool = False,
    domain: Literal["logits", "probs"] | None = None,
) -> int:
    """Search what suits your predictions, and keep what gains on groups that had no part in the search.

    Args:
        inputs: PredictionStores (.zarr), then the truth: a CSV like a submission, or a folder in the competition's
            layout. One store: thresholds and post-processing. Several: the weights of their blend and thresholds.
        out: The JSON to write, a Pipeline for `segkit submit --settings`.
        trials: Finished trials in all, those of earlier runs and other hosts included.
        workers: Processes that share them.
        metric: Such as "dice", "iou", "fbeta(beta=0.5, average='pooled')".
        groups: CSV with the columns id (or image_name) and group; default: the groups of TRUTH's folder, else each
            image by itself.
        storage: Journal file, or the URL of a database that several hosts share; default: OUT with the ending .journal.
        name: Of the study; default: OUT's.
        seed: Of the draws of a first run with one worker.
        multipart: Of one store: classes of several components, which keep them.
        weights_by_class: Of several stores: each class has its own weights.
        thresholds_by_class: Of several stores: each class has its own threshold.
        domain: Of several stores: what is averaged; default: logits.
    """
    import optuna

    from segkit import studies
    from segkit.metrics import parse
    from segkit.predictions import PredictionStore

    if len(inputs) < 2:
        raise ValueError(f"expected at least one store and the truth, got {', '.join(map(str, inputs))}")
    if trials < 1 or workers < 1:
        raise ValueError(f"--trials {trials}, --workers {workers}: expected at least 1")
    rule = parse(metric)
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
    stores, truth = [PredictionStore.open(path) for path in paths], read_truth(inputs[-1])

    def search(
        objective: PostprocessObjective | BlendObjective,
        make: Callable[[], Any],
        curves: ScoreCurves | None,
        made_of: object,
        trials: int,
    ) -> optuna.Study:
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
        group = _groups(groups, inputs[-1], [image for image in stores[0].ids if image in truth])
        if several:
            chosen = _blend(
                stores, truth, rule, group, search, inputs, of_several, workers=workers, trials=trials, seed=seed
            )
        else:
            chosen = _steps(stores[0], truth, rule, group, search, inputs, multipart, trials)
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with study {called}", file=sys.stderr)
        return 130
    except RuntimeError as error:  # of a worker
        raise ValueError(str(error)) from error
    chosen.save(out)
    print(out)
    return 0


def _steps(
    store: PredictionStore, truth: MaskSet, metric: Metric, groups: Mapping[str, str], search: Search,
    inputs: Sequence[Path], multipart: tuple[str, ...], trials: int,
) -> Pipeline:  # fmt: skip
    """Thresholds and steps of one store."""
    from segkit import studies
    from segkit.files import digest
    from segkit.metrics import count, full_score
    from segkit.postprocess import Pipeline, render
    from segkit.thresholds import curves

    found = curves(store, truth, metric) if metric.has_counts and metric.separable else None
    if found is None:
        print(f"{metric} has no threshold curves: thresholds stay at .5", file=sys.stderr)
    best = 0.5 if found is None else found.best()
    objective = studies.PostprocessObjective(store, truth, metric=metric, thresholds=best, multipart=multipart)
    plain = objective.scores(Pipeline()).cells.round(3)
    made_of = digest(["steps", str(metric), objective.ids, objective.classes, plain, multipart])
    make = partial(_make_steps, inputs[0], inputs[1], metric, best, multipart)
    trials = min(trials, objective.combinations or trials)
    study = search(objective, make, None, made_of, trials)
    choice = studies.choose(found, objective, groups, [t.params for t in study.get_trials() if t.values])
    counts = count(render(store, choice.setting, ids=objective.ids), objective.truth)
    _print(
        choice, groups, studies.cautions(counts, store.classes, metric, full_score=full_score(metric, objective.truth))
    )
    for step, settings in choice.setting.steps:
        print(f"  {step} for {', '.join(settings.get('only', store.classes))}")
    return choice.setting


def _make_steps(
    store: Path, truth: Path, metric: Metric, thresholds: PerClass, multipart: tuple[str, ...]
) -> PostprocessObjective:
    """The objective, made anew in a worker."""
    from segkit import studies
    from segkit.predictions import PredictionStore

    return studies.PostprocessObjective(
        PredictionStore.open(store), read_truth(truth), metric=metric, thresholds=thresholds, multipart=multipart
    )


def _blend(
    stores: Sequence[PredictionStore], truth: MaskSet, metric: Metric, groups: Mapping[str, str], search: Search,
    inputs: Sequence[Path], settings: Mapping[str, Any], *, workers: int, trials: int, seed: int | None,
) -> Pipeline:  # fmt: skip
    """Weights and thresholds of several stores."""
    import optuna

    from segkit import studies
    from segkit.files import digest

    domain: Domain = settings["domain"] or "logits"
    by_class = {key: settings[key] for key in ("weights_by_class", "thresholds_by_class")}
    with ExitStack() as stack:
        cache = stack.enter_context(TemporaryDirectory()) if workers > 1 else None  # the band is shared
        objective = _make_blend(inputs, metric, domain, by_class, cache, None)
        space = objective.space
        known = studies.blend_curves(space)
        cells = known.scores().cells.round(3)
        made_of = digest(["blend", str(metric), space.ids, space.classes, space.names, cells, domain, by_class])
        make = partial(_make_blend, inputs, metric, domain, by_class, cache, 1)
        study = search(objective, make, known, made_of, trials)
        found = objective.settings(study.best_params)[0]

        def search_part(part: BlendSpace) -> Weights:
            sampler = studies.CurveSampler(studies.blend_curves(part), seed=seed)
            inner = optuna.create_study(direction="maximize", sampler=sampler)
            wanted = studies.BlendObjective(part, **by_class)
            wanted.enqueue(inner)
            inner.optimize(wanted, n_trials=trials)
            return wanted.settings(inner.best_params)[0]

        choice = studies.choose_blend(space, groups, search_part, found=found, **by_class)
        pipeline = choice.setting
        assert pipeline.blend is not None
        counts = space.counts(pipeline.blend.weights, pipeline.thresholds)
        _print(choice, groups, studies.cautions(counts, space.classes, metric))
    return replace(pipeline, blend=replace(pipeline.blend, stores=[str(store.path) for store in stores]))


def _make_blend(
    inputs: Sequence[Path], metric: Metric, domain: Domain, by_class: Mapping[str, bool], cache: str | None,
    threads: int | None,
) -> BlendObjective:  # fmt: skip
    """The objective, made anew in a worker."""
    from segkit import studies
    from segkit.ensemble import BlendSpace
    from segkit.predictions import PredictionStore

    stores = [PredictionStore.open(path) for path in inputs[:-1]]
    truth = read_truth(inputs[-1])
    space = BlendSpace(stores, truth, metric=metric, domain=domain, cache=cache, workers=threads)
    return studies.BlendObjective(space, **by_class)


def _apart(out: Path, storage: str | Path, inputs: Sequence[Path]) -> None:
    """ValueError where what is written would overwrite what is read, or the study's own journal."""
    if out.is_dir():
        raise ValueError(f"-o {out} is a folder; expected a JSON file to write")
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


def _groups(groups: Path | None, truth: Path, ids: Sequence[str]) -> dict[str, str]:
    """{image: group} of all images; ValueError names those without."""
    from segkit.samples import Samples

    if groups is not None:
        known = dict(read_groups(groups))
    elif truth.is_dir():
        known = dict(Samples.from_folder(truth).groups)
    else:
        print("no --groups: each image counts as a group of its own", file=sys.stderr)
        return {image: image for image in ids}
    if lacking := [image for image in ids if image not in known]:
        raise ValueError(f"{groups}: {len(lacking)} images have no group: {', '.join(lacking[:3])} ...")
    return {image: known[image] for image in ids}


def _print(choice: Selection[Pipeline], groups: Mapping[str, str], notes: Sequence[str]) -> None:
    """What choosing gains on groups that had no part in it, and what is kept."""
    from segkit.metrics import MIN_GROUPS, bootstrap

    for row in choice.rows:
        print(f"{row.name}: {row.gain}")
    found = bootstrap(choice.scores, groups)
    print(f"untuned {choice.untuned:.4f}; tuned {choice.tuned:.4f}; held out {found}")
    if found.groups < MIN_GROUPS:
        print(f"{found.groups} groups: nothing is kept that fewer than {MIN_GROUPS} speak for")
    plain = " (a threshold of .5" + (", equal weights)" if choice.setting.blend else ", no steps)")
    print(f"kept: {choice.kept}{plain if choice.kept == 'nothing' else ''}")
    for note in notes:
        print(note)
