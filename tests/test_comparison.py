import numpy as np
import pytest

from simfunnel import comparison, kpis
from simfunnel.comparison import compare, differences
from simfunnel.errors import InputError
from simfunnel.replicate import run
from simfunnel.scenario import load_text

TINY = """
name: Tiny
start: 2026-10-01
horizon: 2 quarters
sources: {web: {rate: 2 per day}}
value: 1000
teams: {sellers: {size: 2}}
stages:
  open:
    work: {team: sellers, effort: 5 h, patience: {exponential: 2 days}}
    exits:
      won: {chance: 40%, after: {exponential: 10 days}}
      lost: {after: {exponential: 10 days}}
  won: {books: value}
"""


@pytest.fixture(scope="module")
def tiny():
    return load_text(TINY)


def test_a_scenario_against_itself_differs_by_nothing(tiny):
    table = compare(tiny, tiny, replications=4).table
    assert (table["difference"].dropna() == 0).all()
    assert (table.loc[table.metric == "wins", "prob_better"] == 0.5).all()


def test_the_table_holds_the_paired_difference_and_its_students_interval(tiny):
    from scipy import stats

    other = tiny.override({"teams.sellers.size": 3}, name="three")
    result = compare(tiny, other, replications=6, seed=5)
    change = result.alternatives["three"].values("wins") - result.baseline.values("wins")
    row = result.table[(result.table.metric == "wins") & (result.table.period == "2026Q4")].iloc[0]
    d = change["2026Q4"].to_numpy()
    assert row["difference"] == pytest.approx(d.mean())
    low, high = stats.t.interval(0.90, len(d) - 1, d.mean(), d.std(ddof=1) / np.sqrt(len(d)))
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["prob_better"] == pytest.approx(((d > 0) + 0.5 * (d == 0)).mean())


def test_less_is_better_for_metrics_that_hurt(tiny):
    worse = tiny.override({"teams.sellers.size": 1}, name="one")
    table = compare(tiny, worse, replications=4).table
    reneged = table[(table.metric == "reneged") & (table.period == "2027Q1")].iloc[0]
    assert reneged["difference"] > 0
    assert reneged["prob_better"] == 0
    assert kpis.METRICS["reneged"].better == -1


def test_common_luck_makes_a_difference_many_times_sharper_than_other_seeds_do(tiny):
    other = tiny.override({"teams.sellers.size": 3}, name="three")
    n = 30
    base = run(tiny, n, seed=1)
    paired = differences(base, {"same": run(other, n, seed=1)}, "all", ["wins"]).iloc[0]
    independent = differences(base, {"other": run(other, n, seed=2)}, "all", ["wins"]).iloc[0]
    narrow, wide = paired["high"] - paired["low"], independent["high"] - independent["low"]
    assert narrow < wide / 2


def test_a_precision_is_reached_and_the_first_replications_stay_the_same(tiny):
    other = tiny.override({"teams.sellers.size": 3}, name="three")
    result = compare(tiny, other, replications=10, precision=0.05, measure="wins")
    assert result.reached
    row = differences(result.baseline, result.alternatives, "all", ["wins"]).iloc[0]
    assert (row["high"] - row["low"]) / 2 <= 0.05 * result.baseline.values("wins", "all").mean().iloc[0]
    fixed = run(tiny, 10)
    first = result.baseline.values("wins").loc[:9]
    assert first.equals(fixed.values("wins"))


def test_a_precision_that_can_not_be_reached_is_said_so(tiny, monkeypatch):
    monkeypatch.setattr(comparison, "MOST", 20)
    other = tiny.override({"teams.sellers.size": 3}, name="three")
    assert compare(tiny, other, replications=10, precision=0.0001).reached is False


@pytest.mark.parametrize(("key", "value"), [("start", "2026-10-02"), ("horizon", "1 quarter"), ("currency", "EUR")])
def test_scenarios_of_other_times_or_currencies_are_refused(tiny, key, value):
    with pytest.raises(InputError, match=f"its {key} is"):
        compare(tiny, tiny.override({key: value}, name="other"), replications=2)


def test_two_alternatives_of_one_name_are_told_apart(tiny):
    result = compare(tiny, tiny, tiny, replications=2)
    assert list(result.alternatives) == ["Tiny (2)", "Tiny (3)"]
