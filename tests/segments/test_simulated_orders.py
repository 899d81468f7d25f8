"""Orders of a simulation and what all tables tell of them."""

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest

import simfunnel as sf
from simfunnel import segments
from simfunnel.engines.records import BOOKED
from simfunnel.errors import InputError
from simfunnel.scenario import load_text
from simfunnel.segments import Choices, abc, class_table, foretells, lifetime_value, orders_of, pyramid, rfm, rfm_table
from simfunnel.segments.averaging import averaged
from tests.helpers import run, toy
from tests.orders import FIVE, REPEATING, orders


def test_every_booking_of_a_simulation_is_an_order_with_its_seller():
    model = toy(
        attributes={"size": {"small": "50%", "large": "50%"}, "amount": {"uniform": {"low": 1, "high": 2}}},
        sources={"list": {"at": "2026-01-05", "size": 40}, "web": {"rate": "1 per day"}},
        value={"by": "size", "cases": {"small": 10, "large": 100}},
        teams={"sellers": {"members": [{"name": "Ana"}, {"name": "Ben"}]}},
        stages={
            "lead": {"work": {"team": "sellers", "effort": "1 h"}, "exits": {"won": {"chance": "60%"}, "lost": {}}},
            "won": {"books": "value", "exits": {"again": {"after": "20 days"}}},
            "again": {"books": 5},
        },
    )
    records, plan = run(model)
    table = orders_of(records, plan)
    assert table["amount"].sum() == pytest.approx(records.money.amount[records.money.kind == BOOKED].sum())
    assert len(table) > 40
    columns = ["customer", "date", "amount", "source", "generation", "member", "size", "attribute amount"]
    assert list(table.columns) == columns
    first = table[table["amount"] != 5]
    assert (first["amount"] == first["size"].map({"small": 10, "large": 100})).all()
    assert set(table["member"]) == {"Ana", "Ben"}
    moves, won = records.moves, list(plan.place_names).index("won")
    mine = moves.prospect[(moves.goal == won) & (moves.member == list(plan.member_names).index("Ana"))]
    assert set(first.loc[first["member"] == "Ana", "customer"]) == set(mine)
    assert table["date"].min() >= pd.Timestamp("2026-01-05")
    days = (table["date"] - pd.Timestamp("2026-01-05")) / pd.Timedelta(days=1)
    assert np.sort(records.money.time[records.money.kind == BOOKED]) == pytest.approx(days.to_numpy(), abs=1e-6)
    assert set(table["source"]) == {"list", "web"}


def test_a_simulation_without_bookings_is_an_empty_table():
    table = orders_of(*run(toy()))
    assert table.empty
    assert pyramid(table)["customers"].sum() == 0
    with pytest.raises(InputError, match="toy: nothing was booked"):
        segments.segment_scenario(toy(), replications=2)


def test_in_a_simulation_the_retention_is_the_scenarios():
    """Who bought on day t buys again 50 days later with chance 67%; a window of 50 days sees each customer once."""
    model = load_text(REPEATING)
    found = segments.segment_scenario(model, Choices(window=50), replications=30)
    table = found.tables["lifetime"]
    buyers, again = 30 * table["buyers"].sum(), 30 * table["again"].sum()
    assert abs(again / buyers - 0.67) < 4 * math.sqrt(0.67 * 0.33 / buyers)
    small = table.set_index("class").loc["small"]
    rate, interest = small["again"] / small["buyers"], 1.1 ** (50 / 365) - 1
    assert small["expected"] == pytest.approx(small["margin"] * rate / (1 + interest - rate))
    assert found.tables["pyramid"]["customer_share"].sum() == pytest.approx(1)


def test_means_over_replications_are_those_of_the_single_ones():
    model = load_text(REPEATING)
    day = date(2027, 1, 1)
    together = segments.segment_scenario(model, Choices(split=day), replications=3)
    single = [orders_of(*sf.records_of(model, k)) for k in range(3)]
    as_of = date(2027, 12, 1)
    assert together.as_of == as_of
    counts = [pyramid(one, as_of)["customers"].to_numpy() for one in single]
    assert together.tables["pyramid"]["customers"].to_numpy() == pytest.approx(np.mean(counts, axis=0))
    captured = [foretells(one, day).set_index("grading")["captured"]["money"] for one in single]
    row = together.tables["foretells"].set_index("grading").loc["money"]
    assert row["captured"] == pytest.approx(np.mean(captured))
    assert row["captured_se"] == pytest.approx(np.std(captured, ddof=1) / math.sqrt(3))
    money = [one.groupby("customer")["amount"].sum().sum() for one in single]
    assert together.tables["abc"]["money"].sum() == pytest.approx(np.mean(money))
    per_measure = together.tables["rfm"].groupby("measure")["customers"].sum()
    assert per_measure.to_numpy() == pytest.approx(np.mean([one["customer"].nunique() for one in single]))


def test_a_score_that_some_replications_lack_counts_as_nobody_there():
    different = [rfm_table(rfm(FIVE, as_of=100)), rfm_table(rfm(orders(("a", 1, 10), ("b", 1, 10))))]
    others = {"pyramid": pyramid(FIVE), "abc": class_table(abc(FIVE), "ABC"), "customers": FIVE}
    others["lifetime"] = segments.lifetime_table(lifetime_value(FIVE))
    found = averaged([{**others, "rfm": table} for table in different], Choices())["rfm"]
    money = found[found["measure"] == "money"]
    assert money["score"].tolist() == [5, 4, 3, 2, 1]
    assert money["customers"].tolist() == [0.5, 0.5, 1.5, 0.5, 0.5]
    assert money["money"].tolist() == [200, 25, (15 + 20) / 2, 5, 0.5]
