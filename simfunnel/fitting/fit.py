"""A history of deals as a scenario: every number with its interval, in a file that a person can read and edit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.importing import History
from simfunnel.errors import InputError
from simfunnel.fitting.arrivals import Arrivals, fit_arrivals
from simfunnel.fitting.durations import Durations, fit_durations
from simfunnel.fitting.figures import Z95, Estimate, QuantileTable, percent, sensible
from simfunnel.fitting.values import OTHER, Values, fit_values
from simfunnel.fitting.watching import daily_counts, watched
from simfunnel.scenario.documents import dump

WON, LOST, STAYS = "Won", "lost", "stays"
NEW, OPEN, TEAM = "new deals", "open deals", "sellers"
SELLING_TIME = 0.35  # of a seller's hours; surveys find 22% to 46%
HOURS_A_WEEK = 40.0  # Mon-Fri 09:00-17:00
_STILL_HERE = timedelta(days=90)  # an owner with no open deal and none created within this has left
_PERIODS = (("day", 1.0, 1.0), ("week", 7.0, 1.0), ("month", 365.25 / 12, 0.0))  # name, days, least count to say


@dataclass(frozen=True)
class Fitted:
    """A scenario fitted to a history.

    `tree` is the scenario as maps, lists, texts and numbers (see `simfunnel.scenario.from_tree`). `table` has a row
    for each fitted number: what (its place in the scenario), estimate, low, high (central 90%), unit, how, n.
    """

    tree: dict[str, Any] = field(repr=False)
    table: pd.DataFrame = field(repr=False)
    assumptions: tuple[str, ...]
    comments: dict[str, str] = field(repr=False)
    title: str = ""

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The scenario as YAML with comments on where its numbers come from; written to `path` if that is given."""
        lines = [self.title, "", "Assumed:", *(f"- {said}" for said in self.assumptions)]
        parts = [_comment(lines)]
        for key, value in self.tree.items():
            note = self.comments.get(key)
            parts.append(("\n" + _comment([note]) if note else "") + _section(key, value))
        text = "".join(parts)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


def fit(history: History, *, busy: float = 0.8, seed: int = 1, currency: str = "USD") -> Fitted:
    """Fit a scenario to a history of deals.

    Args:
        history: deals as known on a date (see `simfunnel.crm.read_crm`).
        busy: the share of their selling hours that the sellers are taken to be busy with new deals; sets the effort.
        seed: of the resampling behind the intervals.
        currency: of the values; an export doesn't say.

    Raises:
        InputError: no deals, or `busy` is not between 0 and 1.
    """
    if history.deals.empty:
        raise InputError("no deals")
    if not 0 < busy < 1:
        raise InputError(f"busy is a share between 0 and 1, not {busy:g}")
    followed, words = watched(history)
    durations = fit_durations(followed, whole_days=history.whole_days, seed=seed)
    arrivals = fit_arrivals(*daily_counts(history), seed=seed)
    values = fit_values(history.deals[history.deals["outcome"] == "won"], history.attributes)
    members = _members(history)
    effort = _effort(arrivals, len(members), busy)
    shares = {name: _shares(history, name) for name in history.attributes}
    tree = {
        "name": f"Fitted from {history.name}",
        "start": (history.as_of + timedelta(days=1)).isoformat(),
        "horizon": "2 quarters",
        "currency": currency,
        "fiscal_year_ends": "December",
        "calendar": {"days": "Mon-Fri", "hours": "09:00-17:00"},
        **({"attributes": {name: _written(found) for name, found in shares.items()}} if shares else {}),
        "sources": _sources(arrivals, history.open_stage),
        "value": _value(values, shares),
        **({"teams": {TEAM: {"selling_time": percent(SELLING_TIME), "members": members}}} if members else {}),
        "stages": _stages(durations, history.open_stage, effort),
    }
    rows = [*_duration_rows(durations, history.open_stage), *_arrival_rows(arrivals), *_value_rows(values)]
    rows += [row for name, found in shares.items() for row in _share_rows(name, found)]
    if effort is not None:
        how = f"assumed, so that {len(members)} sellers are {busy:.0%} busy"
        rows.append((f"stages.{history.open_stage}.work.effort", effort, np.nan, np.nan, "h", how, 0))
    table = pd.DataFrame(rows, columns=["what", "estimate", "low", "high", "unit", "how", "n"])
    said = (*words, *_assumptions(history, durations, arrivals, values, members, busy, currency))
    return Fitted(tree, table, said, _comments(values, durations, bool(members)), _title(history))


# --- what follows from the rest ---------------------------------------------------------------------------------------


def _members(history: History) -> list[dict[str, str]]:
    """Owners who hold an open deal or got a new one in the last 90 days, by name."""
    deals = history.deals
    recent = deals["created"] >= history.end - pd.Timedelta(_STILL_HERE)
    owners = deals.loc[recent | (deals["outcome"] == "open"), "owner"].dropna()
    return [{"name": str(name)} for name in sorted(owners[owners != ""].unique())]


def _effort(arrivals: Arrivals, members: int, busy: float) -> float | None:
    """Hours of work on a new deal that keep the members so busy; None where nobody is known or nothing comes."""
    per_week = arrivals.rate.value * 7
    return busy * members * SELLING_TIME * HOURS_A_WEEK / per_week if members and per_week > 0 else None


def _shares(history: History, name: str) -> dict[str, tuple[int, int]]:
    """Level -> (new deals with it, new deals), among deals created since closings are seen; every level of any deal."""
    deals = history.deals
    fresh = deals.loc[deals["created"] >= pd.Timestamp(history.observed_from), name]
    counts = (fresh if len(fresh) else deals[name]).value_counts()
    every = counts.reindex(sorted(deals[name].unique()), fill_value=0)
    return {str(level): (int(n), int(counts.sum())) for level, n in every.items()}


# --- the scenario's parts ---------------------------------------------------------------------------------------------


def _written(counts: dict[str, tuple[int, int]]) -> dict[str, str]:
    """Shares as percentages with one decimal that sum to 100% exactly (the largest remainders are rounded up)."""
    exact = {level: 1000 * n / total for level, (n, total) in counts.items()}
    whole = {level: int(x) for level, x in exact.items()}
    by_rest = sorted(exact, key=lambda level: whole[level] - exact[level])
    for level in by_rest[: 1000 - sum(whole.values())]:
        whole[level] += 1
    return {level: f"{tenths / 10:g}%" for level, tenths in whole.items()}


def _range(low: float, high: float, write: Any) -> str:
    """`A to B`, or just A where they look alike."""
    a, b = write(low), write(high)
    return str(a) if a == b else f"{a} to {b}"


def _sources(arrivals: Arrivals, stage: str) -> dict[str, Any]:
    """New deals at their rate, and a place for the deals that are open at the start."""
    rate = arrivals.rate
    unit, days = next((name, d) for name, d, least in _PERIODS if rate.value * d >= least)
    said = _range(rate.low * days, rate.high * days, lambda x: f"{sensible(x):g}") + f" per {unit}"
    source: dict[str, Any] = {"rate": said}
    if arrivals.weekday:
        source["weekday"] = {day: f"x{round(factor, 2):g}" for day, factor in arrivals.weekday.items()}
    return {NEW: {**source, "enters": stage}, OPEN: {"deals": []}}


def _value(values: Values | None, shares: dict[str, Any]) -> Any:
    """What a deal is worth: one distribution, or one for each level of an attribute; 1 where no value is known."""
    if values is None:
        return 1
    tables = {name: {"quantiles": _points(table, _amount)} for name, table in values.cases.items()}
    if values.by is None:
        return tables[OTHER]
    levels = shares[values.by]
    cases = {level: tables[level] for level in levels if level in tables}
    if len(cases) < len(levels):
        cases[OTHER] = tables[OTHER]
    return {"by": values.by, "cases": cases}


def _amount(value: float) -> float:
    """An amount with four significant digits, without a needless `.0`."""
    rounded = sensible(value, 4)
    return int(rounded) if rounded.is_integer() else rounded


def _points(table: QuantileTable, write: Any) -> dict[str, Any]:
    return {f"{share * 100:.4g}%": write(value) for share, value in zip(table.shares, table.values, strict=True)}


def duration(days: float) -> str:
    """A time as the scenario writes it.

    >>> duration(46.52), duration(1), duration(0.25), duration(0)
    ('46.5 days', '1 day', '6 h', '0 days')
    """
    if 0 < days < 1:
        return f"{sensible(days * 24):g} h"
    return f"{round(days, 1):g} day" + ("" if round(days, 1) == 1 else "s")


def _stages(durations: Durations, stage: str, effort: float | None) -> dict[str, Any]:
    """The open stage with its exits, lost being the rest, and what is won."""
    won, never = durations.chances["won"], durations.never
    times = {k: {"quantiles": _points(table, duration)} for k, table in durations.times.items()}
    work = {"work": {"team": TEAM, "effort": f"{sensible(effort, 2):g} h"}} if effort else {}
    exits = {
        WON: {"chance": _range(won.low, won.high, percent), "after": times["won"]},
        LOST: {"after": times["lost"]},
        STAYS: {"chance": _range(never.low, never.high, percent)},
    }
    return {stage: {**work, "exits": exits}, WON: {"books": "value"}}


# --- the table of all numbers -----------------------------------------------------------------------------------------

Row = tuple[str, float, float, float, str, str, int]


def _row(what: str, unit: str, found: Estimate) -> Row:
    return (what, found.value, found.low, found.high, unit, found.how, found.n)


def _duration_rows(durations: Durations, stage: str) -> Iterator[Row]:
    at = f"stages.{stage}.exits"
    for end, goal in (("won", WON), ("lost", LOST)):
        yield _row(f"{at}.{goal}.chance", "share", durations.chances[end])
        yield _row(f"{at}.{goal}.after (median)", "days", durations.medians[end])
    yield _row(f"{at}.{STAYS}.chance", "share", durations.never)


def _arrival_rows(arrivals: Arrivals) -> Iterator[Row]:
    yield _row(f"sources.{NEW}.rate", "per day", arrivals.rate)
    for day, factor in arrivals.weekday.items():
        yield (f"sources.{NEW}.weekday.{day}", factor, np.nan, np.nan, "factor", "mean of that day, shrunk", 0)


def _value_rows(values: Values | None) -> Iterator[Row]:
    for kind, mean in values.means.items() if values else ():
        alone = values is not None and values.by is None
        yield _row("value (mean)" if alone or kind == OTHER else f"value.{kind} (mean)", "amount", mean)


def _share_rows(name: str, counts: dict[str, tuple[int, int]]) -> Iterator[Row]:
    """Shares with Wilson's interval."""
    for level, (k, n) in counts.items():
        weight = Z95**2 / n
        middle = (k / n + weight / 2) / (1 + weight)
        half = Z95 / (1 + weight) * (k / n * (1 - k / n) / n + weight / (4 * n)) ** 0.5
        low, high = max(middle - half, 0.0), min(middle + half, 1.0)
        yield (f"attributes.{name}.{level}", k / n, low, high, "share", "share of new deals", n)


# --- words ------------------------------------------------------------------------------------------------------------


def _section(key: str, value: Any) -> str:
    """One top-level key as YAML; a lone scalar without the braces that the dumper puts around it."""
    text = dump({key: value})
    return text if isinstance(value, (dict, list)) else text.strip().removeprefix("{").removesuffix("}") + "\n"


def _comment(lines: list[str]) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for text in lines for line in text.splitlines() or [""])


def _title(history: History) -> str:
    counts = history.deals["outcome"].value_counts()
    said = ", ".join(f"{int(counts.get(outcome, 0)):,} {outcome}" for outcome in ("won", "lost", "open"))
    return f"Fitted from {history.name} as of {history.as_of}: {len(history.deals):,} deals ({said})."


def _assumptions(
    history: History,
    durations: Durations,
    arrivals: Arrivals,
    values: Values | None,
    members: list[dict[str, str]],
    busy: float,
    currency: str,
) -> tuple[str, ...]:
    """Everything that was taken for granted, in plain sentences."""
    said = [*history.assumptions, *durations.assumptions, *arrivals.assumptions]
    if (history.deals["created"] < pd.Timestamp(history.observed_from)).any():
        said.append(
            f"closings are seen from {history.observed_from} on: deals created earlier count from their age on that "
            "day, and new deals are counted from that day on"
        )
    said += values.assumptions if values else ["no value of a won deal is known: every win counts as 1"]
    if members:
        said.append(
            f"effort can't be seen in an export: it is set so that new deals keep {len(members)} sellers {busy:.0%} "
            f"busy, at {SELLING_TIME:.0%} of {HOURS_A_WEEK:.0f} hours a week (--busy changes it); times to close begin "
            "after that work"
        )
    else:
        said.append("no owners are known, so nobody's time limits the pipeline")
    if len(history.attributes) > 1:
        said.append("attributes are drawn independently of one another")
    said.append(
        f"values are in {currency} (--currency changes it); the fiscal year ends in December; no public holidays"
    )
    return tuple(said)


def _comments(values: Values | None, durations: Durations, has_team: bool) -> dict[str, str]:
    """A line on each section: where its numbers and intervals come from."""
    notes = {
        "attributes": "Shares among new deals.",
        "sources": "A to B is a central 90% interval: how well the recent level is known, how far it may wander, "
        "and bursts.\n"
        "Open deals are filled in by: simfunnel forecast --deals EXPORT",
        "stages": f"Chances: {durations.chances['won'].how}; A to B is a central 90% interval.\n"
        f"Lost is the rest; '{STAYS}' is the share that never closes. Times are quantiles of the days to each end.",
    }
    if values is not None:
        notes["value"] = f"Quantiles of the values of {values.means[OTHER].n:,} won deals."
    if has_team:
        notes["teams"] = "Owners of open or recent deals. Hours are assumed: see above."
    return notes
