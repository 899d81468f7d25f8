"""Pictures of a forecast's quarter, its deals and a bridge: readable, whatever the numbers and names."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from simfunnel import plots
from simfunnel.forecasting.bridging import STEPS, rounded_steps
from simfunnel.plots.forecasts import _axis, _whole
from tests.test_plots import assert_readable

BANDS = ("0.1", "0.25", "0.5", "0.75", "0.9")


def added_up(now=60, end=92, won=2e6, more=1e6):
    """A quarter of which `now` days are over."""
    start = pd.Timestamp("2026-10-01")
    past = [{"at": start + pd.Timedelta(days=k), "known": True, "now": won * k / now} for k in range(now + 1) if now]
    rows = [{"at": r["at"], "known": True} | dict.fromkeys(BANDS, r["now"]) for r in past]
    for k in [now, *range(now + 5, end, 7), end]:
        ahead = (k - now) / max(end - now, 1) * more
        quantiles = {b: won + ahead * f for b, f in zip(BANDS, (0.7, 0.9, 1.0, 1.1, 1.3), strict=True)}
        rows.append({"at": start + pd.Timedelta(days=k), "known": False} | quantiles)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("table", "target"),
    [
        (added_up(), 3e6),
        (added_up(), None),
        (added_up(now=0, won=0.0), 3e6),
        (added_up(now=91), 2.3e6),
        (added_up(now=1), 2e7),
        (added_up(won=0.0, more=0.0), None),
        (added_up(won=0.0, more=0.0), 10.0),
    ],
    ids=["usual", "no target", "first day", "last day", "far target", "nothing", "nothing and a target"],
)
@pytest.mark.parametrize("replications", [1, 200])
def test_the_quarter_is_readable(table, target, replications):
    figure = plots.quarter(
        table, period="2026Q4", replications=replications, target=target, currency="EUR", note="as of 2026-11-30"
    )
    assert_readable(figure)
    assert "2026Q4" in figure.get_suptitle()


def deals(count=15, name="D-{}", won=True, value=2e5):
    day = date(2026, 12, 1)
    dates = [day + timedelta(days=4 * k) if won else None for k in range(count)]
    return pd.DataFrame(
        {
            "deal": [name.format(k) for k in range(count)],
            "stage": "open",
            "age": 3.0,
            "value": np.linspace(value, value / 10, count),
            "member": ["Ana", ""] * (count // 2) + ["Bo"] * (count % 2),
            "expected in 2026Q4": np.linspace(value, value / 10, count) * 0.4,
            "won by end of 2026Q4": 0.4,
            **{f"date P{q}": pd.Series(dates, dtype=object) for q in (10, 50, 90)},
        }
    )


@pytest.mark.parametrize(
    "table",
    [deals(), deals(1), deals(name="客户 $x_{}$ " + "long " * 20), deals(won=False), deals(value=0.0)],
    ids=["usual", "one", "names", "never won", "worthless"],
)
def test_the_deals_are_readable(table):
    assert_readable(plots.deals(table, currency="EUR", note="as of 2026-11-30"))


def steps(changes, start=3_616_204.0):
    """A bridge's table with these changes."""
    reached = start + np.concatenate([[0.0], np.cumsum(changes)])
    table = pd.DataFrame({"step": ["before", *STEPS], "expected": reached, "change": [np.nan, *changes], "se": 9000.0})
    after = {"step": "after", "expected": reached[-1], "change": np.nan, "se": 9000.0}
    return pd.concat([table, pd.DataFrame([after])], ignore_index=True)


MIXED = [520e3, -279e3, -421e3, 80e3, -60e3, -438e3, 20e3, -5e3, -188e3, 44e3]


@pytest.mark.parametrize(
    ("changes", "start"),
    [(MIXED, 3.6e6), (np.array(MIXED) / 50, 3.6e6), ([0.0] * 10, 3.6e6), ([0.0] * 10, 0.0), (MIXED, 0.0)],
    ids=["usual", "small steps", "no steps", "nothing", "from nothing"],
)
def test_the_bridge_is_readable(changes, start):
    table = steps(changes, start)
    names = ("2026-11-15", "2026-11-30")
    assert_readable(plots.bridge(table, rounded_steps(table), period="2026Q4", names=names, currency="EUR"))


def test_amounts_of_a_bridge_stand_above_what_the_simulation_leaves_open():
    table = steps(MIXED, 3.6e6)
    figure = plots.bridge(table, rounded_steps(table), period="2026Q4", names=("a", "b"))
    said = [text.xy[1] for text in figure.axes[0].texts][1:-1]
    assert (np.array(said) >= table["expected"].to_numpy()[1:-1] + 2 * 9000 - 1e-6).all()
    assert max(said) < figure.axes[0].get_ylim()[1]


def test_a_waterfall_begins_at_zero_unless_its_steps_would_not_be_seen():
    assert _axis(pd.Series([100.0, 60.0]), 100.0)[0][0] == 0
    (low, _), cut = _axis(pd.Series([100.0, 95.0]), 100.0)
    assert cut
    assert low == 90


def test_amounts_of_a_bridge_keep_the_figures_that_add_up():
    rounded = rounded_steps(steps(MIXED))
    assert [_whole(x, rounded, "+") for x in rounded[1:3]] == ["+520k", "−279k"]
    assert _whole(rounded[0], rounded, "") == "3,616k"
    assert _whole(12.0, [12.0, 1.0], "") == "12"
