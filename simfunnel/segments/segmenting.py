"""All tables of a file of orders, or of a scenario's simulated ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from simfunnel.errors import InputError
from simfunnel.formatting import share
from simfunnel.randomness import MAX_SEED
from simfunnel.replicate import Progress, records_of
from simfunnel.scenario import Scenario, load
from simfunnel.segments.asking import Choices, Segments
from simfunnel.segments.attributes import grade_shares
from simfunnel.segments.averaging import averaged
from simfunnel.segments.bookings import orders_of
from simfunnel.segments.classes import INACTIVE, LETTERS, PYRAMID, abc, pyramid_classes, pyramid_grade
from simfunnel.segments.columns import file_fault
from simfunnel.segments.foretelling import foretells, gradings_of
from simfunnel.segments.ledger import YEAR
from simfunnel.segments.lifetime import lifetime_table, lifetime_value
from simfunnel.segments.reading import read_orders
from simfunnel.segments.recency import rfm, rfm_table
from simfunnel.segments.shares import class_table


def segment_file(path: str | Path, choices: Choices | None = None, *, columns: str | Path | None = None) -> Segments:
    """All tables of a file of orders, as `read_orders` takes it. Raises InputError."""
    choices = choices or Choices()
    orders = read_orders(path, columns)
    first, last = orders["date"].min().date(), orders["date"].max().date()
    as_of = choices.as_of or last
    if as_of < first:
        raise file_fault(Path(path), f"there are no orders by {as_of}; the first is on {first}, the last on {last}")
    known = orders[orders["date"] < pd.Timestamp(as_of + timedelta(days=1))].reset_index(drop=True)
    notes = [*orders.attrs["said"], *_doubts(choices, as_of, first, min(as_of, last))]
    if len(known) < len(orders):
        notes.append(f"{len(orders) - len(known):,} orders after {as_of} were not looked at")
    tables = _tables(known, as_of, choices)
    notes += _all_stayed(tables["lifetime"])
    return Segments(Path(path).name, as_of, "", 0, None, tables, _grades(known, as_of, choices), tuple(notes))


def segment_scenario(
    scenario: Scenario,
    choices: Choices | None = None,
    *,
    replications: int = 20,
    seed: int = 1,
    progress: Progress | None = None,
) -> Segments:
    """All tables of a scenario's simulated orders: those of each replication, then their means.

    A customer is a prospect that booked something; orders of the warm-up count. Raises InputError where a figure is
    out of its range or nothing is ever booked, RunError where the model can't go on.
    """
    choices = choices or Choices()
    if not 1 <= replications <= 1_000_000:
        raise InputError(f"replications must be 1 to 1,000,000, not {replications}")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"a seed must be 0 to {MAX_SEED}, not {seed}")
    start = scenario.spec.start
    last = start + timedelta(days=math.ceil(scenario.spec.days) - 1)
    as_of = choices.as_of or last
    for name, day in (("as-of day", as_of), ("split", choices.split)):
        if day and not start <= day <= last:
            raise InputError(f"the {name} {day} is outside the scenario, which runs from {start} to {last}")
    if choices.split and not start < choices.split <= as_of:
        raise InputError(f"the split {choices.split} must come after {start} and not after {as_of}")
    found: list[dict[str, pd.DataFrame]] = []
    example: pd.DataFrame | None = None
    unsplit = booked = 0
    for number in range(replications):
        orders = orders_of(*records_of(scenario, number, seed=seed))
        orders = orders[orders["date"] < pd.Timestamp(as_of + timedelta(days=1))].reset_index(drop=True)
        booked += len(orders)
        example = orders if example is None else example
        try:
            found.append(_tables(orders, as_of, choices))
        except InputError:  # no orders on one side of the split
            found.append(_tables(orders, as_of, replace(choices, split=None)))
            unsplit += 1
        if progress:
            progress(number + 1, replications)
    if not booked or example is None:
        raise InputError(f"{scenario.name}: nothing was booked by {as_of} in {replications} replications (see `books`)")
    notes = [*scenario.warnings, *_doubts(choices, as_of, start, as_of)]
    if replications > 1:
        notes.append(
            f"tables are means over {replications} replications (shares are of the mean sums); customers.csv and "
            "grades.yaml are of replication 0"
        )
    if unsplit:
        notes.append(
            f"in {unsplit:,} replications there were no orders before or after the split; these don't count in it"
        )
    if found[0]["customers"]["frequency"].max() < 2:
        notes.append(
            "no customer of replication 0 ordered twice: retention and foretelling need a stage that books again"
        )
    tables = averaged(found, choices)
    notes += _all_stayed(tables["lifetime"])
    grades = _grades(example, as_of, choices) if len(example) else {}
    return Segments(scenario.name, as_of, scenario.spec.currency, replications, seed, tables, grades, tuple(notes))


def segment(
    path: str | Path,
    choices: Choices | None = None,
    *,
    columns: str | Path | None = None,
    replications: int = 20,
    seed: int = 1,
    progress: Progress | None = None,
) -> Segments:
    """All tables of a file: a scenario's where it is YAML, else those of its orders. Raises InputError, RunError."""
    if Path(path).suffix.lower() in (".yaml", ".yml"):
        return segment_scenario(load(path), choices, replications=replications, seed=seed, progress=progress)
    return segment_file(path, choices, columns=columns)


def _tables(orders: pd.DataFrame, as_of: date, choices: Choices) -> dict[str, pd.DataFrame]:
    """The tables of one history."""
    grade = partial(pyramid_grade, window=choices.window)
    scores, classes, letters = (
        rfm(orders, as_of),
        pyramid_classes(orders, as_of, choices.window),
        abc(orders, as_of=as_of),
    )
    values = lifetime_value(
        orders, as_of, margin=choices.margin, discount=choices.discount, period=choices.window, by=grade
    )
    customers = scores.merge(classes[["customer", "class"]].rename(columns={"class": "pyramid"}), on="customer")
    customers = customers.merge(letters[["customer", "class"]].rename(columns={"class": "abc"}), on="customer")
    customers = customers.merge(values[["customer", "realised", "expected"]], on="customer")
    tables = {
        "customers": customers,
        "rfm": rfm_table(scores),
        "pyramid": class_table(classes, [*PYRAMID, INACTIVE]),
        "abc": class_table(letters, LETTERS[:3]),
        "lifetime": lifetime_table(values, [*PYRAMID, INACTIVE]),
    }
    if choices.split:
        tables["foretells"] = foretells(orders, choices.split, gradings_of(choices.window))
    return tables


def _grades(orders: pd.DataFrame, as_of: date, choices: Choices) -> dict[str, dict[str, Any]]:
    return grade_shares(pyramid_grade(orders, as_of, choices.window), orders, name="class")


def _doubts(choices: Choices, as_of: date, first: date, last: date) -> Iterable[str]:
    """What the span of the data leaves in doubt."""
    window = timedelta(days=choices.window)
    yield (
        f"the window is the {choices.window:g} days up to {as_of}; lifetime values at {share(choices.margin)} margin "
        f"and {share(choices.discount)} interest a year"
    )
    if first > as_of - 2 * window:
        known = (as_of - first).days + 1
        yield (
            f"orders begin on {first}: {known:,} days, while retention looks at two windows; take a shorter window, or "
            "read retention and expected values with care"
        )
    if choices.split and last < choices.split + timedelta(days=YEAR - 1):
        days = (last - choices.split).days + 1
        yield f"the year after the split is {days:,} days long, as the orders end on {last}"


def _all_stayed(lifetime: pd.DataFrame) -> Iterable[str]:
    """A warning where nobody was seen to leave, for then expected values have nothing but the interest to end them."""
    classes = lifetime.loc[(lifetime["retention"] == 1) & (lifetime["customers"] > 0), "class"]
    if len(classes):
        yield (
            f"everyone who bought in the window before the last bought again ({', '.join(classes)}), so retention is "
            "taken as 100% and the expected value is margin / interest: more than it can be; a longer window or a "
            "longer history tells more"
        )
