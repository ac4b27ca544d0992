"""Few persons, other mixes, paired tests: counted by hand, and against slow twins."""

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
    assert found.high - found.low > narrow.high - narrow.low  # 12 persons count as 58 %
    assert narrow.strata == {}


def test_a_stratum_of_one_person_has_no_interval_and_of_two_a_wide_one():
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


def test_a_person_in_two_strata_is_one_person():
    values = table([0.5, 0.9, 0.6, 0.8, 0.9, 0.7, 0.95, 0.85])
    persons = {i: f"p{int(i[1:]) // 2}" for i in values.index}
    strata = {i: "tilted" if i in ("i0", "i2", "i4") else "upright" for i in values.index}
    found = metrics.bootstrap(values, persons, strata=strata, mix=MIX)
    assert found.strata == {"tilted": 3, "upright": 4}
    assert found.groups == 4
    assert found.mean == pytest.approx(0.58 * 2 / 3 + 0.42 * np.mean([0.9, 0.8, 0.7, 0.95, 0.85]))
    assert np.isnan(found.low)  # one person is upright alone
    more = table([*values["x"], 0.9, 0.93])
    persons |= {"i8": "p4", "i9": "p4"}
    strata |= {"i8": "upright", "i9": "upright"}
    assert np.isfinite(metrics.bootstrap(more, persons, strata=strata, mix=MIX).low)


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


def test_one_person_says_nothing_about_others():
    values = table([0.5, 0.6])
    found = metrics.bootstrap(values, dict.fromkeys(values.index, "p"))
    assert (found.mean, found.groups, found.images) == (pytest.approx(0.55), 1, 2)
    assert np.isnan([found.low, found.high]).all()
    gain = metrics.compare(values, values + 0.1, dict.fromkeys(values.index, "p"))
    assert gain.gain == pytest.approx(0.1)
    assert np.isnan([gain.low, gain.high, gain.min_detectable_effect]).all()
    assert not gain.low > 0
    assert gain.p == 1  # both signs are as far from 0


def test_two_persons_reach_from_one_to_the_other():
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
def test_sign_flips_are_exchanges_of_whole_persons(seed, mixed, absent):
    """The slow twin swaps the rows of A and B and asks for the score again."""
    rng = np.random.default_rng(seed)
    a, b = table(rng.normal(0.8, 0.1, (8, 3))), table(rng.normal(0.82, 0.1, (8, 3)))
    if absent:
        hole = rng.random(a.shape) < 0.2
        a, b = a.mask(hole), b.mask(hole)
        if a.isna().all(axis=None):
            return
    persons = {i: f"p{int(i[1:]) // 2}" for i in a.index}
    more = {"strata": poses(a, 3), "mix": MIX} if mixed else {}
    seen = metrics.score(b, **more) - metrics.score(a, **more)
    hits = 0
    for flips in product([False, True], repeat=4):
        swap = np.repeat(flips, 2)[:, None] & np.ones(3, bool)
        first, second = a.where(~swap, b), b.where(~swap, a)
        hits += abs(metrics.score(second, **more) - metrics.score(first, **more)) >= abs(seen) - 1e-9
    found = metrics.compare(a, b, persons, **more)
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
