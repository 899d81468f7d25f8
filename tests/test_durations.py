"""Chances and times of closing: against statsmodels, a slow second route, and known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.duration.survfunc import CumIncidenceRight

from simfunnel.fitting.durations import Watched, aalen_johansen, fit_durations

Floats = NDArray[np.float64]
TRUTH = {"won": 0.5, "lost": 0.35, "never": 0.15}
TIMES = {"won": stats.gamma(2, scale=20), "lost": stats.expon(scale=20)}


def simulated(seed: int, n: int, *, before: float = 0.0, after: float = 400.0, whole_days: bool = False) -> Watched:
    """Deals born evenly from `before` days ahead of the watch to its end; those that closed before it are missing."""
    rng = np.random.default_rng(seed)
    born = rng.uniform(-before, after, n)
    end = rng.choice(list(TRUTH), n, p=list(TRUTH.values()))
    time = np.select(
        [end == "won", end == "lost"],
        [TIMES["won"].rvs(n, random_state=rng), TIMES["lost"].rvs(n, random_state=rng)],
        1e9,
    )
    seen = born + time > 0
    born, end, time = born[seen], end[seen], time[seen]
    if whole_days:
        closed_on = np.floor(born + time)
        born = np.floor(born)
        time = closed_on - born
        age = after - born - 0.5
    else:
        age = after - born
    is_open = time > age
    entry = np.where(born < 0, -born - (0.5 if whole_days else 0.0), -1.0)
    return Watched.whole(entry, np.where(is_open, age, time), np.where(is_open, "open", end).astype(str))


def small(seed: int, n: int = 60) -> Watched:
    """Few deals with many ties, some entering late."""
    rng = np.random.default_rng(seed)
    entry = np.where(rng.random(n) < 0.4, rng.integers(0, 10, n) - 0.5, -1.0)
    end = np.maximum(entry, 0) + rng.integers(1, 12, n)
    return Watched.whole(entry, np.ceil(end), rng.choice(["won", "lost", "open"], n))


def by_hand(watched: Watched) -> dict[str, dict[float, float]]:
    """Cumulative incidence by the definition: one deal and one age at a time, in exact order."""
    rows = list(zip(watched.entry, watched.end, watched.outcome, strict=True))
    still_open = 1.0
    ended = {"won": 0.0, "lost": 0.0}
    found: dict[str, dict[float, float]] = {"won": {}, "lost": {}, "open": {}}
    for age in sorted({end for _, end, outcome in rows if outcome != "open"}):
        at_risk = sum(1 for entry, end, _ in rows if entry < age <= end)
        closing = {k: sum(1 for _, end, outcome in rows if end == age and outcome == k) for k in ended}
        for k in ended:
            ended[k] += still_open * closing[k] / at_risk
            found[k][float(age)] = ended[k]
        still_open *= 1 - sum(closing.values()) / at_risk
        found["open"][float(age)] = still_open
    return found


@pytest.mark.parametrize("seed", range(3))
def test_curves_equal_statsmodels_cumulative_incidence_without_truncation(seed: int) -> None:
    watched = simulated(seed, 400, after=90)
    codes = np.select([watched.outcome == "won", watched.outcome == "lost"], [1, 2], 0)
    oracle = CumIncidenceRight(watched.end, codes)
    curves = aalen_johansen(watched)
    for number, end in enumerate(("won", "lost")):
        at = np.searchsorted(oracle.times, curves.ages)
        np.testing.assert_allclose(curves.ended[end], oracle.cinc[number][at], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_curves_with_late_entry_and_ties_equal_the_definition(seed: int) -> None:
    watched = small(seed)
    curves = aalen_johansen(watched)
    expected = by_hand(watched)
    used = curves.at_risk >= 1
    assert used.all()
    for k in ("won", "lost"):
        np.testing.assert_allclose(curves.ended[k], list(expected[k].values()), atol=1e-12)
    np.testing.assert_allclose(curves.open_share, list(expected["open"].values()), atol=1e-12)


def test_shares_of_every_age_sum_to_one() -> None:
    curves = aalen_johansen(simulated(1, 500, before=100, after=100))
    total = curves.open_share + curves.ended["won"] + curves.ended["lost"]
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


def test_a_span_split_in_two_tells_the_same() -> None:
    whole = simulated(2, 300, before=100, after=150)
    cut = 30.5
    late = np.maximum(whole.entry, cut)
    longer = whole.end > cut
    first, second = whole.entry < cut, longer
    split = Watched(
        entry=np.concatenate([whole.entry[first], late[second]]),
        end=np.concatenate([np.minimum(whole.end, cut)[first], whole.end[second]]),
        outcome=np.concatenate([np.where(longer, "open", whole.outcome)[first], whole.outcome[second]]),
        group=np.concatenate([whole.group[first], whole.group[second]]),
        deal=np.concatenate([whole.deal[first], whole.deal[second]]),
        weight=np.ones(int(first.sum() + second.sum())),
    )
    a, b = aalen_johansen(whole), aalen_johansen(split)
    assert split.deals == whole.deals
    np.testing.assert_allclose(a.open_share, b.open_share, atol=1e-12)


def test_a_weight_of_two_is_a_deal_that_comes_twice() -> None:
    one = small(3)
    weight = np.where(np.arange(60) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(60), weight.astype(int))
    doubled = Watched.whole(one.entry[twice], one.end[twice], one.outcome[twice])
    weighted = Watched(one.entry, one.end, one.outcome, one.group, one.deal, weight)
    np.testing.assert_allclose(aalen_johansen(weighted).open_share, aalen_johansen(doubled).open_share, atol=1e-12)


def test_first_ages_with_hardly_anybody_at_risk_do_not_end_the_curve() -> None:
    entry = np.concatenate([[-1.0], np.full(99, 10.0)])
    end = np.concatenate([[2.0], np.linspace(20, 60, 99)])
    outcome = np.concatenate([["won"], np.where(np.arange(99) % 2, "won", "lost")])
    curves = aalen_johansen(Watched.whole(entry, end, outcome))
    assert curves.open_share[0] == 1.0  # the one deal that was watched from birth closed: that says next to nothing
    assert curves.chance("lost") == pytest.approx(50 / 99)


# --- known truth ------------------------------------------------------------------------------------------------------


def errors(found: float, low: float, high: float, truth: float) -> float:
    """How many standard errors an estimate is off, by the width of its 90% interval."""
    return abs(found - truth) / ((high - low) / (2 * 1.645))


@pytest.mark.parametrize("whole_days", [False, True], ids=["times", "dates"])
def test_truth_is_found_from_censored_and_truncated_deals(whole_days: bool) -> None:
    watched = simulated(7, 8000, before=200, after=300, whole_days=whole_days)
    fitted = fit_durations(watched, whole_days=whole_days)
    for end in ("won", "lost"):
        chance = fitted.chances[end]
        assert errors(chance.value, chance.low, chance.high, TRUTH[end]) < 3.5
        middle = fitted.medians[end]
        assert errors(middle.value, middle.low, middle.high, TIMES[end].median()) < 3.5
        below = fitted.times[end].share_below(TIMES[end].ppf(np.arange(0.1, 1, 0.1)))
        np.testing.assert_allclose(below, np.arange(0.1, 1, 0.1), atol=0.04)
    assert errors(fitted.never.value, fitted.never.low, fitted.never.high, TRUTH["never"]) < 3.5


def test_ignoring_truncation_or_censoring_is_biased() -> None:
    watched = simulated(7, 8000, before=200, after=60)
    ours = fit_durations(watched, whole_days=False)
    won = ours.chances["won"]
    assert errors(won.value, won.low, won.high, TRUTH["won"]) < 3.5
    blind = Watched.whole(np.full(len(watched.end), -1.0), watched.end, watched.outcome)
    untruncated = fit_durations(blind, whole_days=False).chances["won"]
    assert errors(untruncated.value, untruncated.low, untruncated.high, TRUTH["won"]) > 6
    closed = watched.outcome != "open"
    naive_time = float(np.median(watched.end[(watched.outcome == "won") & (watched.entry < 0)]))
    middle = ours.medians["won"]
    assert errors(naive_time, middle.low, middle.high, TIMES["won"].median()) > 6
    naive_chance = float((watched.outcome[closed] == "won").mean())
    assert errors(naive_chance, won.low, won.high, TRUTH["won"]) > 6


def test_never_closing_is_sure_only_where_deals_were_watched_beyond_the_oldest_closing() -> None:
    long = fit_durations(simulated(11, 3000, after=1500), whole_days=False)
    short = fit_durations(simulated(11, 3000, after=40), whole_days=False)
    assert "never closes" in long.assumptions[0]
    assert "not well known" in short.assumptions[0]
    assert short.never.high - short.never.low > 5 * (long.never.high - long.never.low)
    assert short.never.low < TRUTH["never"] < short.never.high
    assert long.never.low < TRUTH["never"] < long.never.high
    # what is taken to close later does so beyond the oldest closing that was seen
    assert short.times["won"].values[-1] > 45


def test_where_every_deal_has_left_only_the_prior_says_that_some_may_stay() -> None:
    rng = np.random.default_rng(1)
    ends = np.where(rng.random(1000) < 0.3, "won", "lost")
    fitted = fit_durations(Watched.whole(np.full(1000, -1.0), rng.exponential(20, 1000), ends))
    assert "every deal had left by the age of" in fitted.assumptions[0]
    assert "1,000 exits" in fitted.assumptions[0]
    assert fitted.never.high < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after", "groups"), [(0.0, 400.0, 0), (200.0, 300.0, 0), (200.0, 300.0, 12)])
def test_interval_of_chances_covers_nine_times_in_ten(before: float, after: float, groups: int) -> None:
    sets = 300
    hits = dict.fromkeys(TRUTH, 0)
    for seed in range(sets):
        watched = simulated(1000 + seed, 500, before=before, after=after)
        if groups:
            shared = np.random.default_rng(seed).integers(0, groups, len(watched.end))
            watched = replace(watched, group=shared)
        fitted = fit_durations(watched, whole_days=False, seed=seed)
        for name, found in {**fitted.chances, "never": fitted.never}.items():
            hits[name] += found.low <= TRUTH[name] <= found.high
    error = (0.9 * 0.1 / sets) ** 0.5
    for name, count in hits.items():
        assert abs(count / sets - 0.9) < 3.5 * error, (name, count / sets)


# --- times ------------------------------------------------------------------------------------------------------------


def test_times_keep_the_mean_and_the_shape() -> None:
    watched = simulated(5, 5000, after=1e6)
    fitted = fit_durations(watched, whole_days=False)
    for end in ("won", "lost"):
        mine = watched.end[watched.outcome == end]
        table = fitted.times[end]
        assert 21 <= len(table.shares) <= 41
        assert table.mean == pytest.approx(mine.mean(), rel=0.01)
        assert table.values[0] >= 0
        assert list(table.values) == sorted(table.values)


def test_a_closing_on_a_day_is_spread_half_a_day_to_both_sides() -> None:
    n = 100
    watched = Watched.whole(np.full(n, -1.0), np.repeat([0.0, 7.0], n // 2), np.repeat("won", n))
    table = fit_durations(watched).times["won"]
    assert table.values[0] == 0
    assert table.values[-1] == 7.5
    assert float(table.share_below(3.0)) == pytest.approx(0.5, abs=0.01)
    assert float(table.share_below(7.0)) == pytest.approx(0.75, abs=0.01)


# --- hardly any data --------------------------------------------------------------------------------------------------


def test_no_deal_is_an_error() -> None:
    with pytest.raises(ValueError, match="no deals"):
        fit_durations(Watched.whole(np.array([]), np.array([]), np.array([], dtype=str)))


@pytest.mark.parametrize("n", [1, 5, 40])
def test_where_nothing_closed_the_answer_is_wide_and_says_so(n: int) -> None:
    fitted = fit_durations(Watched.whole(np.full(n, -1.0), np.linspace(1, 50, n), np.repeat("open", n)))
    won = fitted.chances["won"]
    assert won.low < 0.05
    assert won.high > 0.85
    assert "no deal has closed" in fitted.assumptions[0]
    low, high = fitted.times["won"].at([0.1, 0.9])
    assert high / low > 10


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_one_closing_tells_little(outcome: str) -> None:
    fitted = fit_durations(Watched.whole(np.array([-1.0]), np.array([9.0]), np.array([outcome])))
    assert fitted.chances[outcome].value > 0.5
    assert fitted.chances[outcome].high - fitted.chances[outcome].low > 0.5
    assert any("weak prior" in said for said in fitted.assumptions)
    table = fitted.times[outcome]
    assert table.at(0.05) < 9 < table.at(0.95)


def test_same_seed_same_numbers() -> None:
    watched = simulated(5, 300)
    assert fit_durations(watched, seed=3) == fit_durations(watched, seed=3)
    assert fit_durations(watched, seed=3) != fit_durations(watched, seed=4)


def test_a_few_deals_whose_exits_rest_do_not_stand_for_all() -> None:
    """Of 200, 40 are won early, 150 are watched for 30 days, and 10 for long on days that hardly count; one is won."""
    rng = np.random.default_rng(1)
    end = np.concatenate([rng.uniform(1, 25, 40), np.full(150, 30.0), np.full(9, 160.0), [150.0]])
    outcome = np.array(["won"] * 40 + ["open"] * 159 + ["won"])
    number = np.arange(200)
    slow = {"won": np.where(end > 100, 0.01, 1.0)}
    watched = Watched(np.full(200, -1.0), end, outcome, number, number, np.ones(200), ("won", "lost"), slow)
    curves = aalen_johansen(watched)
    assert curves.chance("won") + curves.never == pytest.approx(1.0)
    assert 0.2 < curves.chance("won") <= 1.0
