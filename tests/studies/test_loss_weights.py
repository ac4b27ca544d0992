"""Shares of a sum of losses: what is searched, what is stopped, what comes out."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from segkit import losses, studies

optuna.logging.set_verbosity(optuna.logging.WARNING)
EPOCHS = 9


def learns(weights, report, best=1.6):
    """A run whose score tells at once how far its share of Dice is from the best."""
    reach = 1 - abs(weights["dice"] - best)
    for epoch in range(1, EPOCHS + 1):
        report(epoch, reach * epoch / EPOCHS)
    return reach


def make(names=("bce", "dice")):
    return studies.LossWeightObjective(learns, names)


def study_of(objective, trials, seed=0):
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=seed))
    objective.enqueue(study)
    studies.optimise(study, objective, trials=trials)
    return study


def test_the_first_trial_is_the_plain_sum_and_is_never_stopped():
    seen = []
    objective = studies.LossWeightObjective(lambda weights, report: seen.append(weights) or 0.0)
    study = study_of(objective, 1)
    assert seen == [{"bce": 1.0, "dice": 1.0}]
    assert study.trials[0].state is TrialState.COMPLETE


@given(st.lists(st.floats(0.05, 20), min_size=1, max_size=4))
def test_weights_keep_the_ratios_and_add_up_to_the_number_of_losses(ratios):
    names = ["bce", "dice", "focal", "lovasz", "jaccard"][: len(ratios) + 1]
    objective = studies.LossWeightObjective(learns, names)
    weights = objective.weights({f"{name}/bce": ratio for name, ratio in zip(names[1:], ratios)})
    assert sum(weights.values()) == pytest.approx(len(names), abs=1e-3)
    for name, ratio in zip(names[1:], ratios):
        assert weights[name] == pytest.approx(weights["bce"] * ratio, abs=2e-3)


def test_the_hopeless_are_stopped_and_the_best_is_found():
    objective = make()
    study = study_of(objective, 24)
    stopped = [trial for trial in study.trials if trial.state is TrialState.PRUNED]
    whole = [trial for trial in study.trials if trial.state is TrialState.COMPLETE]
    assert len(stopped) >= 12
    assert {len(trial.intermediate_values) for trial in stopped} <= {1, 3, 9}  # the rungs
    assert all(len(trial.intermediate_values) == EPOCHS for trial in whole)
    best = max(study.trials, key=lambda t: 1 - abs(objective.weights(t.params)["dice"] - 1.6))
    assert best.state is TrialState.COMPLETE
    assert objective.finalists(study, 1) == [objective.weights(best.params)]


def test_finalists_are_distinct():
    objective = make()
    study = optuna.create_study(direction="maximize")
    for ratio, score in ((1.0, 0.9), (3.0, 0.8), (3.0, 0.8), (0.5, 0.7), (2.0, 0.1)):
        study.add_trial(
            optuna.trial.create_trial(
                params={"dice/bce": ratio},
                distributions={"dice/bce": optuna.distributions.FloatDistribution(0.05, 20, log=True)},
                value=score,
            )
        )
    assert objective.finalists(study, 3) == [
        {"bce": 1.0, "dice": 1.0}, {"bce": 0.5, "dice": 1.5}, {"bce": 1.3333, "dice": 0.6667}
    ]  # fmt: skip


def test_the_text_is_what_build_reads():
    objective = studies.LossWeightObjective(learns, ["bce", "tversky(alpha=0.3, beta=0.7)"])
    text = objective.text({"bce": 0.5, "tversky(alpha=0.3, beta=0.7)": 1.5})
    assert losses.build(text).weights == {"bce": 0.5, "tversky": 1.5}


def test_a_resumed_study_runs_what_is_left(tmp_path):
    objective = make()
    for trials in (3, 5, 5):
        study = studies.open_study("losses", tmp_path / "s.journal", seed=0)
        objective.enqueue(study)
        studies.optimise(study, objective, trials=trials)
    assert len(study.trials) == 5
    assert sum(trial.params == {"dice/bce": 1.0} for trial in study.trials) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"losses": ("bce",)}, "two or more different"),
        ({"losses": ("bce", "bce")}, "two or more different"),
        ({"losses": "bce"}, "two or more different"),
        ({"low": 1.5}, "smallest ratio to bce"),
        ({"reduction": 1}, "at least 2"),
        ({"first": 0}, "at least epoch 1"),
    ],
)
def test_bad_settings_say_what_is_wanted(settings, said):
    with pytest.raises(ValueError, match=said):
        studies.LossWeightObjective(learns, **settings)


def test_a_study_that_minimises_is_refused():
    with pytest.raises(ValueError, match="direction='maximize'"):
        optuna.create_study(direction="minimize").optimize(make(), n_trials=1)
