"""Few groups, other mixes, paired tests: counted by hand, and against slow twins."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit import metrics


def table(values, classes="xyz"):
    values = np.asarray(values, float).reshape(len(values), -1)
    return pd.DataFrame(values, index=[f"i{n}" for n in range(len(values))], columns=list(classes)[: values.shape[1]])


def alone(values):
    return {i: i for i in values.index}


def poses(values, tilted):
    return {i: "tilted" if n < tilted else "upright" for n, i in enumerate(values.index)}


MIX = {"tilted": 0.58, "upright": 0.42}


def test_the_mean_at_another_mix_is_the_shares_times_the_means():
    values = table([[0.5, 0.7], [0.9, 1], [0.8, 0.9], [1, 0.8]])
    found = metrics.score(values, strata=poses(values, 1), mix=MIX)
    assert found == pytest.approx((0.58 * 0.5 + 0.42 * 2.7 / 3 + 0.58 * 0.7 + 0.42 * 0.9) / 2)
    whole = metrics.score(values, strata=poses(values, 1), mix={"tilted": 0.25, "upright": 0.75})
    assert whole == pytest.approx(metrics.score(values))  # its own mix
    upright = metrics.score(values, strata=poses(values, 1), mix={"tilted": 0, "upright": 1})
    assert upright == pytest.approx(metrics.score(values.iloc[1:]))


def test_cells_that_are_not_counted_take_no_part_in_the_mix():
    """Over images that have the class: there the mix is what is left of it."""
    values = table([[0.5], [np.nan], [0.8], [1.0]])
    found = metrics.score(values, strata=poses(values, 2), mix=MIX)
    weights = np.array([0.29, 0.21, 0.21])
    assert found == pytest.approx(np.average([0.5, 0.8, 1.0], weights=weights))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9), st.floats(0.05, 0.95))
def test_the_mix_is_what_copies_of_images_would_give(seed, tilted, share):
    """A slow twin: a table in which each stratum is there as often as its share says."""
    rng = np.random.default_rng(seed)
    values = table(rng.random((10, 2)))
    share = round(share * 20) / 20
    strata = poses(values, tilted)
    rows = [np.arange(tilted)] * int(round(share * 20) * (10 - tilted)) + [np.arange(tilted, 10)] * int(
        round((1 - share) * 20) * tilted
    )
    copied = values.iloc[np.concatenate(rows)]
    copied.index = [f"c{n}" for n in range(len(copied))]
    found = metrics.score(values, strata=strata, mix={"tilted": share, "upright": 1 - share})
    assert found == pytest.approx(metrics.score(copied))


def test_the_interval_at_a_mix_is_the_textbooks_of_a_stratified_mean():
    rng = np.random.default_rng(3)
    values = table(np.r_[rng.normal(0.7, 0.1, 12), rng.normal(0.9, 0.02, 48)])
    found = metrics.bootstrap(values, alone(values), strata=poses(values, 12), mix=MIX, draws=20000)
    parts = values["x"].to_numpy()[:12], values["x"].to_numpy()[12:]
    error = np.sqrt(sum(s**2 * p.var(ddof=1) / len(p) for s, p in zip(MIX.values(), parts)))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.03)
    assert found.mean == pytest.approx(0.58 * parts[0].mean() + 0.42 * parts[1].mean())
    assert found.low < found.mean < found.high
    assert found.strata == {"tilted": 12, "upright": 48}
    assert (found.groups, found.images) == (60, 60)
    narrow = metrics.bootstrap(values, alone(values))
    assert found.high - found.low > narrow.high - narrow.low  # 12 groups count as 58 %
    assert narrow.strata == {}


def test_a_stratum_of_one_group_has_no_interval_and_of_two_a_wide_one():
    values = table([0.5, 0.7, 0.9, 0.9, 0.91, 0.92])
    one = metrics.bootstrap(values, alone(values), strata=poses(values, 1), mix=MIX)
    assert np.isnan([one.low, one.high]).all()
    assert np.isfinite(one.mean)
    assert one.strata == {"tilted": 1, "upright": 5}
    off = metrics.bootstrap(values, alone(values), strata=poses(values, 1), mix={"tilted": 0, "upright": 1})
    assert np.isfinite([off.low, off.high]).all()  # who is left out is not asked for
    two = metrics.bootstrap(values, alone(values), strata=poses(values, 2), mix=MIX)
    assert two.strata["tilted"] == 2
    assert two.high - two.low >= 0.58 * 0.2  # either of the two may stand for the stratum
    gain = metrics.compare(values, values + 0.01, alone(values), strata=poses(values, 1), mix=MIX)
    assert np.isnan([gain.low, gain.high, gain.min_detectable_effect]).all()
    assert gain.gain == pytest.approx(0.01)


def test_a_group_in_two_strata_is_one_group():
    values = table([0.5, 0.9, 0.6, 0.8, 0.9, 0.7, 0.95, 0.85])
    groups = {i: f"p{int(i[1:]) // 2}" for i in values.index}
    strata = {i: "tilted" if i in ("i0", "i2", "i4") else "upright" for i in values.index}
    found = metrics.bootstrap(values, groups, strata=strata, mix=MIX)
    assert found.strata == {"tilted": 3, "upright": 4}
    assert found.groups == 4
    assert found.mean == pytest.approx(0.58 * 2 / 3 + 0.42 * np.mean([0.9, 0.8, 0.7, 0.95, 0.85]))
    assert np.isnan(found.low)  # one group is upright alone
    more = table([*values["x"], 0.9, 0.93])
    groups |= {"i8": "p4", "i9": "p4"}
    strata |= {"i8": "upright", "i9": "upright"}
    assert np.isfinite(metrics.bootstrap(more, groups, strata=strata, mix=MIX).low)


@pytest.mark.parametrize(
    ("strata", "mix", "message"),
    [
        ({"i0": "tilted"}, MIX, "2 images have no stratum: i1, i2"),
        (None, {"tilted": 1.0}, "both or neither"),
        ("poses", None, "both or neither"),
        ("poses", {"tilted": 0.5, "upright": 0.3}, "add up to 1, got 0.8: tilted=0.5, upright=0.3"),
        ("poses", {"tilted": 1.0}, r"no share of 'upright', which images are in \(0 leaves them out\)"),
        ("poses", {"tilted": 1.58, "upright": -0.58}, "1.58 of 'tilted': expected a share"),
        ("poses", {"tilted": 0.5, "upright": 0.3, "tiltd": 0.2}, "0.2 of 'tiltd', but no image is in it; did you mean"),
        ("poses", {"tilted": float("nan"), "upright": 1}, "nan of 'tilted'"),
    ],
)
def test_a_mix_that_does_not_fit(strata, mix, message):
    values = table([0.5, 0.6, 0.7])
    strata = poses(values, 1) if strata == "poses" else strata
    for function in (
        lambda **m: metrics.score(values, **m),
        lambda **m: metrics.bootstrap(values, alone(values), **m),
        lambda **m: metrics.compare(values, values, alone(values), **m),
    ):
        with pytest.raises(ValueError, match=message):
            function(strata=strata, mix=mix)


def test_one_group_says_nothing_about_others():
    values = table([0.5, 0.6])
    found = metrics.bootstrap(values, dict.fromkeys(values.index, "p"))
    assert (found.mean, found.groups, found.images) == (pytest.approx(0.55), 1, 2)
    assert np.isnan([found.low, found.high]).all()
    gain = metrics.compare(values, values + 0.1, dict.fromkeys(values.index, "p"))
    assert gain.gain == pytest.approx(0.1)
    assert np.isnan([gain.low, gain.high, gain.min_detectable_effect]).all()
    assert not gain.low > 0
    assert gain.p == 1  # both signs are as far from 0


def test_two_groups_reach_from_one_to_the_other():
    a, b = table([0.5, 0.5]), table([0.51, 0.53])
    gain = metrics.compare(a, b, alone(a))
    assert (gain.low, gain.high) == pytest.approx((0.01, 0.03))
    assert gain.p == 0.5
    assert (gain.groups, gain.images) == (2, 2)


def test_sign_flips_counted_by_hand():
    """Gains of 3, 1, 1 points: of the 8 patterns of signs +++ and --- alone are as far from 0."""
    a = table([0.5, 0.5, 0.5])
    assert metrics.compare(a, a + table([0.03, 0.01, 0.01]), alone(a)).p == 2 / 8
    # +-5, +-3 and +-3 of 3, 1, -1, but not +-1
    assert metrics.compare(a, a + table([0.03, 0.01, -0.01]), alone(a)).p == 6 / 8
    assert metrics.compare(a, a + table([0.03, 0.0, 0.0]), alone(a)).p == 1
    six = table([0.5] * 6)
    assert metrics.compare(six, six + 0.01, alone(six)).p == 2 / 64


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_sign_flips_are_exchanges_of_whole_groups(seed, mixed, absent):
    """The slow twin swaps the rows of A and B and asks for the score again."""
    rng = np.random.default_rng(seed)
    a, b = table(rng.normal(0.8, 0.1, (8, 3))), table(rng.normal(0.82, 0.1, (8, 3)))
    if absent:
        hole = rng.random(a.shape) < 0.2
        a, b = a.mask(hole), b.mask(hole)
        if a.isna().all(axis=None):
            return
    groups = {i: f"p{int(i[1:]) // 2}" for i in a.index}
    more = {"strata": poses(a, 3), "mix": MIX} if mixed else {}
    seen = metrics.score(b, **more) - metrics.score(a, **more)
    hits = 0
    for flips in product([False, True], repeat=4):
        swap = np.repeat(flips, 2)[:, None] & np.ones(3, bool)
        first, second = a.where(~swap, b), b.where(~swap, a)
        hits += abs(metrics.score(second, **more) - metrics.score(first, **more)) >= abs(seen) - 1e-9
    found = metrics.compare(a, b, groups, **more)
    assert found.p == hits / 16
    assert found.gain == pytest.approx(seen)


def test_drawn_patterns_agree_with_all_of_them():
    rng = np.random.default_rng(5)
    a = table(rng.normal(0.8, 0.05, 13))
    b = a + table(rng.normal(0.01, 0.03, 13))
    drawn = metrics.compare(a, b, alone(a), draws=20000)
    gains = (b - a)["x"].to_numpy()
    every = np.array(list(product([-1, 1], repeat=13))) @ gains
    assert drawn.p == pytest.approx((np.abs(every) >= abs(gains.sum()) - 1e-12).mean(), abs=0.01)


def test_of_nothing_the_test_finds_something_as_often_as_it_says():
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        a = table(rng.normal(0.8, 0.1, 8))
        found.append(metrics.compare(a, a + table(rng.normal(0, 0.02, 8)), alone(a), draws=1).p)
    assert np.mean(np.array(found) <= 0.05) <= 0.1
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_the_minimum_detectable_effect_is_found_four_times_in_five():
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        a = table(rng.normal(0.8, 0.05, 60))
        noise = rng.normal(0, 0.02, 60)
        sure = 2.80 * 0.02 / np.sqrt(60)
        gain = metrics.compare(a, a + table(noise + sure), alone(a), draws=400)
        assert gain.min_detectable_effect == pytest.approx(sure, rel=0.4)
        found.append(gain.low > 0)
    assert 0.7 <= np.mean(found) <= 0.9


def test_cells_that_one_table_alone_leaves_out_cannot_be_paired():
    a = table([[0.5, 0.6], [0.7, 0.8]])
    with pytest.raises(ValueError, match=r"1 cells are NaN in one table only, .* image i1, class y"):
        metrics.compare(a, a.mask(a > 0.75), alone(a))
    both = a.mask(a > 0.75)
    assert metrics.compare(both, both + 0.1, alone(a)).gain == pytest.approx(0.1)


def test_what_cannot_be_asked():
    values = table([0.5, 0.6])
    for function in (
        lambda t: metrics.score(t),
        lambda t: metrics.bootstrap(t, {}),
        lambda t: metrics.compare(t, t, {}),
    ):
        with pytest.raises(ValueError, match="no image"):
            function(values.iloc[:0])
    for more in ({"draws": 0}, {"level": 1.0}, {"level": 0}):
        with pytest.raises(ValueError, match="level between 0 and 1"):
            metrics.bootstrap(values, alone(values), **more)
    nothing = metrics.bootstrap(values * np.nan, alone(values))
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()


def noisy(count, seed=0, spread=0.1):
    rng = np.random.default_rng(seed)
    return table(rng.normal(0.8, spread, (count, 3)))


def test_an_interval_holds_the_score_and_shrinks_with_groups():
    small, large = noisy(20), noisy(320)
    a = metrics.bootstrap(small, {i: i for i in small.index})
    b = metrics.bootstrap(large, {i: i for i in large.index})
    assert a.low < a.mean < a.high
    assert a.mean == pytest.approx(metrics.score(small))
    assert (a.groups, a.images) == (20, 20)
    assert (b.high - b.low) == pytest.approx((a.high - a.low) / 4, rel=0.4)
    # the textbook's interval of a mean
    sd = small.mean(axis=1).std(ddof=1) / np.sqrt(20)
    assert (a.high - a.low) == pytest.approx(2 * 1.96 * sd, rel=0.15)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    hits = 0
    for seed in range(100):
        values = noisy(40, seed)
        found = metrics.bootstrap(values, {i: i for i in values.index}, draws=300)
        hits += found.low <= 0.8 <= found.high
    assert 86 <= hits <= 100


def test_two_images_of_one_group_are_not_two_draws():
    values = noisy(30)
    twice = pd.concat([values, values.rename(index=lambda i: i + "-again")])
    groups = {i: i.split("-")[0] for i in twice.index}
    clustered = metrics.bootstrap(twice, groups)
    naive = metrics.bootstrap(twice, {i: i for i in twice.index})
    alone = metrics.bootstrap(values, {i: i for i in values.index})
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))
    assert clustered.high - clustered.low > 1.25 * (naive.high - naive.low)
    assert (clustered.groups, clustered.images) == (30, 60)


def test_cells_that_count_nothing_leave_every_draw_alone():
    values = noisy(12)
    values.loc[values.index[1:], "z"] = np.nan  # one image has the class: some draws lack it
    found = metrics.bootstrap(values, {i: i for i in values.index})
    assert np.isfinite([found.mean, found.low, found.high]).all()
    without = values.drop(columns="z").assign(z=np.nan)
    assert metrics.bootstrap(without, {i: i for i in values.index}).mean == pytest.approx(
        values[["x", "y"]].mean().mean()
    )


def test_level_draws_and_seed():
    values = noisy(25)
    groups = {i: i for i in values.index}
    assert metrics.bootstrap(values, groups) == metrics.bootstrap(values, groups)
    assert metrics.bootstrap(values, groups, seed=1) != metrics.bootstrap(values, groups)
    narrow, wide = (metrics.bootstrap(values, groups, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_comparison_is_paired_and_has_a_sign():
    a = noisy(30, spread=0.2)
    groups = {i: i for i in a.index}
    rng = np.random.default_rng(1)
    b = (a + 0.01 + rng.normal(0, 0.002, a.shape)).sample(frac=1, random_state=0)[["z", "x", "y"]]  # another order
    found = metrics.compare(a, b, groups)
    assert found.gain == pytest.approx(0.01, abs=0.002)
    assert 0 < found.low < found.gain < found.high
    assert found.min_detectable_effect == pytest.approx((found.high - found.low) / 2 * 2.8 / 1.96, rel=0.1)
    assert found.p == 1 / 2001  # none of the patterns drawn is as extreme
    assert found.min_detectable_effect < 0.005 < metrics.bootstrap(a, groups).high - metrics.bootstrap(a, groups).low
    back = metrics.compare(b, a, groups)
    assert (back.gain, back.low, back.high) == pytest.approx((-found.gain, -found.high, -found.low), abs=5e-4)
    same = metrics.compare(a, a, groups)
    assert (same.gain, same.low, same.high, same.min_detectable_effect, same.p) == (0, 0, 0, 0, 1)
    assert (same.groups, same.images) == (30, 30)


def test_tables_of_other_images_or_classes_cannot_be_compared():
    a = noisy(4)
    groups = {i: i for i in a.index}
    with pytest.raises(ValueError, match=r"1 images or classes: \['i3'\]"):
        metrics.compare(a, a.iloc[:3], groups)
    with pytest.raises(ValueError, match=r"1 images or classes: \['z'\]"):
        metrics.compare(a[["x", "y"]], a, groups)


def test_an_image_without_a_group_is_named():
    a = noisy(5)
    for function in (lambda g: metrics.bootstrap(a, g), lambda g: metrics.compare(a, a, g)):
        with pytest.raises(ValueError, match="4 images have no group: i1, i2, i3"):
            function({"i0": "p"})


def test_the_mean_is_over_images_then_classes():
    values = table([[1, 0], [np.nan, 0.5], [np.nan, 0.4]])
    assert metrics.score(values) == pytest.approx((1 + 0.3) / 2)  # not the mean of all cells
    assert metrics.score(table([[0.6, np.nan], [0.8, np.nan]])) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("gains", "significant"),
    [
        ([0.01] * 5, False),  # 2 / 32 = .0625: five groups cannot show it
        ([0.01] * 6, True),  # 2 / 64 = .031
        ([0.01, 0.02, 0.03, 0.02, 0.01, -0.001], False),  # 4 / 64 = .0625, though the interval lies above 0
        ([1e-9] * 8, False),  # rounding
        ([-0.01] * 8, False),
        ([0.02] * 7 + [-0.15], False),
    ],
)
def test_the_one_rule_of_significance(gains, significant):
    a = table(np.full(len(gains), 0.5))
    found = metrics.compare(a, a + table(gains), alone(a))
    assert found.is_significant() is significant
    assert ("B is better" in str(found)) is significant
    if found.low > metrics.results.ROUNDING:
        assert significant == (found.p <= 0.05 and found.groups >= metrics.MIN_GROUPS)


def test_six_is_the_fewest_that_the_test_can_show():
    assert 2 / 2**metrics.MIN_GROUPS <= 0.05 < 2 / 2 ** (metrics.MIN_GROUPS - 1)


def test_a_stricter_level_is_a_stricter_rule():
    a = table(np.full(6, 0.5))
    assert metrics.compare(a, a + 0.01, alone(a)).is_significant()
    strict = metrics.compare(a, a + 0.01, alone(a), level=0.99)
    assert (strict.p, strict.level) == (2 / 64, 0.99)
    assert not strict.is_significant()


def test_a_comparison_and_an_interval_are_one_line_each():
    a = table(np.full(6, 0.5))
    gain = metrics.compare(a, a + 0.01, alone(a))
    said = "gain +0.0100 (95 % interval +0.0100 to +0.0100, p = 0.031, 6 groups, 6 images): B is better"
    assert str(gain) == said
    assert str(gain.reversed()) == said.replace("+", "-").replace("B is", "A is")
    few = metrics.compare(a[:3], a[:3] + 0.01, alone(a))
    assert str(few).endswith(": no significant difference (fewer than 6 groups can show none)")
    assert str(metrics.bootstrap(a, alone(a))) == "0.5000 (95 % interval 0.5000 to 0.5000, 6 groups, 6 images)"
    one = metrics.bootstrap(a, dict.fromkeys(a.index, "p"), level=0.9)
    assert str(one) == "0.5000 (no interval: a single group stands for all, 1 groups, 6 images)"


def counted(seed, images=8):
    rng = np.random.default_rng(seed)
    target = rng.integers(1, 50, (images, 2))
    tp = rng.integers(0, target + 1)
    return metrics.Counts(tp, tp + rng.integers(0, 20, tp.shape), target)


def scored(counts, metric):
    return metrics.Scores.from_counts(counts, metric, [f"i{n}" for n in range(len(counts.tp))], "xy")


@pytest.mark.parametrize("metric", [metrics.Dice(average="pooled"), metrics.MeanIoU(), metrics.Dice()], ids=str)
def test_a_pooled_score_is_resampled_by_the_counts_of_its_groups(metric):
    """A slow twin: every resample is made by repeating images, and scored anew."""
    counts = counted(0)
    groups = {f"i{n}": f"g{n // 2}" for n in range(8)}
    found = metrics.bootstrap(scored(counts, metric), groups, draws=300, seed=1)
    drawn = metrics.resample.draw_groups((0, 0, 0, 0), 300, 1)
    slow = [
        metric.from_counts(counts.subset(np.repeat(np.arange(8), np.repeat(times, 2).astype(int)))) for times in drawn
    ]
    assert (found.low, found.high) == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=1e-6)
    assert found.mean == pytest.approx(metric.from_counts(counts))


@pytest.mark.parametrize("metric", [metrics.Dice(average="pooled"), metrics.IoU(average="pooled")], ids=str)
def test_sign_flips_of_a_pooled_score_exchange_the_counts_of_groups(metric):
    a, b = counted(1, 6), counted(2, 6)
    b = metrics.Counts(np.minimum(b.tp, a.target), np.minimum(b.tp, a.target) + 3, a.target)
    found = metrics.compare(scored(a, metric), scored(b, metric), {f"i{n}": n for n in range(6)})
    seen = metric.from_counts(b) - metric.from_counts(a)
    hits = 0
    for pattern in product([False, True], repeat=6):
        swap = np.array(pattern)[:, None]
        parts = [
            metrics.Counts(np.where(swap, p.tp, q.tp), np.where(swap, p.predicted, q.predicted), a.target)
            for p, q in ((b, a), (a, b))
        ]
        hits += abs(metric.from_counts(parts[1]) - metric.from_counts(parts[0])) >= abs(seen) - 1e-12
    assert found.gain == pytest.approx(seen)
    assert found.p == pytest.approx(hits / 64)


def test_a_pooled_score_at_another_mix_weighs_the_counts():
    counts, metric = counted(3, 4), metrics.Dice(average="pooled")
    strata = {"i0": "u", "i1": "u", "i2": "u", "i3": "t"}
    found = metrics.score(scored(counts, metric), strata=strata, mix={"u": 0.5, "t": 0.5})
    weights = np.array([2, 2, 2, 6]) / 3
    assert found == pytest.approx(scored(counts, metric).score(weights))
    assert found == pytest.approx(metric.from_counts(counts.subset([0, 1, 2, 3, 3, 3])), abs=1e-6)


def test_scores_of_different_truths_are_not_compared():
    a, b = counted(1), counted(2)
    with pytest.raises(ValueError, match="were scored against different truths, for instance image i0"):
        metrics.compare(scored(a, metrics.Dice()), scored(b, metrics.Dice()), {f"i{n}": n for n in range(8)})
