"""Bridge between two forecasts of one quarter: what changed the expected bookings, and by how much.

Between the two lies a path of forecasts that each change one thing, in this order, all on the same draws:

1. *won*: deals won since count with what they booked;
2. *lost*: deals lost since (or gone from the export) count nothing;
3. the clock moves to the later date, and each deal stands where it then stood: *time passed* is what that does to deals
   that stand where they stood (they did not close in the time that has passed), *pulled in* and *pushed out* what it
   does to those that moved to another stage, by the sign of it;
4. *new deals*: deals that came since, less the fall in what is expected of deals not yet created;
5. *value changes*; *other changes* (another owner or segment);
6. *rates*: all figures of the model but the next; 7. *capacity*: its teams and calendar.

Each step has also what it does to others through the sellers' time. The steps add up to the whole difference by their
making: each is a difference of neighbours on the path, or a part of one, replication by replication.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from simfunnel.calendars import quarter_of
from simfunnel.crm import History
from simfunnel.errors import InputError, not_among
from simfunnel.forecasting.contributions import booked_by_deal, read_replications
from simfunnel.forecasting.deal_changes import Change, Rows, Span
from simfunnel.forecasting.forecast import check_target, prepared
from simfunnel.forecasting.windows import says_values
from simfunnel.numerics import Floats
from simfunnel.periods import quarter_name
from simfunnel.replicate import Progress
from simfunnel.scenario import Scenario, from_tree
from simfunnel.units import middle

if TYPE_CHECKING:
    import pandas as pd

STEPS = (
    "won",
    "lost",
    "time passed",
    "pulled in",
    "pushed out",
    "new deals",
    "value changes",
    "other changes",
    "rates",
    "capacity",
)
CAPACITY = ("teams", "calendar")
NOT_CREATED = "(not yet created)"


@dataclass(frozen=True)
class Bridge:
    """What leads from one forecast of a quarter's bookings to a later one.

    `totals` has a row a replication and a column for the bookings `before` and after each step; the last one's are
    those of the later forecast. `table` has a row for `before`, each step, and `after`: how many deals the step
    concerns; expected (the bookings reached), their change and its Monte Carlo standard error `se`; p50 and its
    change; chance of the target and its change (NaN without one). `deals` has a row a deal: what became of it, its
    stage and value then and now, what was and is expected of it in the quarter, and its change in each step; the last
    row is for all others. Its columns add up to the steps.
    """

    period: str
    since: date
    until: date
    currency: str
    target: float | None
    seed: int
    totals: pd.DataFrame
    table: pd.DataFrame
    deals: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def replications(self) -> int:
        """How many replications."""
        return len(self.totals)


@dataclass(frozen=True)
class _State:
    """A point of the path: a model, a date, the deals open then, and what is booked for certain by deal."""

    model: Scenario
    day: date
    rows: Rows
    certain: dict[str, float]


def bridge(
    before: Scenario,
    after: Scenario | None,
    deals_before: History,
    deals_after: History,
    *,
    period: str | None = None,
    target: float | None = None,
    replications: int = 300,
    seed: int = 1,
    workers: int = 1,
    progress: Progress | None = None,
) -> Bridge:
    """The bridge from the forecast of `before` as of its history's date to that of `after` as of the later one's.

    Args:
        before: the earlier forecast's model.
        after: the later one's; the same unless given.
        deals_before: the history as the earlier forecast knew it; its date is that forecast's.
        deals_after: as the later one knew it, of the same deals.
        period: the fiscal quarter, such as 2026Q4; the one in which the later forecast begins unless said.
        target: the bookings wanted in it; the later model's unless given.
        replications: how many of each forecast on the path. The first and the last are those of `forecast`.
        seed: the seed that all share.
        workers: how many processes.
        progress: told after each replication of each forecast.

    Raises:
        InputError: where dates, quarter, deals and models don't fit.
    """
    after = after or before
    span = _quarter(before, after, deals_before, deals_after, period)
    if target is None and after.spec.target is not None:
        target = float(middle(after.spec.target))
    check_target(after, target)
    notes = [] if says_values(after.spec) else ["no value of a won deal is known: bookings are the number of wins here"]
    change = Change(deals_before, deals_after, span, notes, before, after)
    path = _path(before, after, change, notes)
    measure = _Measure(span, change.ids, replications, seed, workers, progress, len(path))
    moves = _walk(path, measure, change)
    notes += measure.notes
    return _bridge(moves, change, measure, target, after.spec.currency, notes)


def _quarter(before: Scenario, after: Scenario, first: History, second: History, wanted: str | None) -> Span:
    """The quarter of the bridge. Raises InputError where there is no such one, or the dates are the wrong way round."""
    ends = after.spec.fiscal_year_ends
    if before.spec.fiscal_year_ends != ends or before.spec.currency != after.spec.currency:
        raise InputError("the two models differ in currency or in the end of the fiscal year; a bridge needs the same")
    if second.as_of < first.as_of:
        raise InputError(f"the later forecast's date, {second.as_of}, lies before the earlier one's, {first.as_of}")
    known: dict[str, tuple[date, date]] = {}
    day = second.as_of + timedelta(days=1)
    for _ in range(8 if wanted else 1):
        begin, end = quarter_of(day, ends)
        known[quarter_name(begin, ends)] = (begin, end)
        day = end
    if wanted is not None and wanted not in known:
        raise InputError(f"--period: {not_among(wanted, 'quarter that both forecasts see', known)}")
    name = wanted or next(iter(known))
    return Span(name, *known[name], ends)


# --- the path ---------------------------------------------------------------------------------------------------------


def _path(before: Scenario, after: Scenario, change: Change, notes: list[str]) -> dict[str, _State]:
    """The forecasts from the one to the other; each is named after what leads to it."""
    then, now = change.then, change.now
    standing = {i: then[i] | {"stage": now[i]["stage"], "age": now[i]["age"]} for i in now if i in then}
    start = _State(before, change.since, dict(then), dict(change.sure_then))
    path = {"before": start}
    got = {i: change.sure_now.get(i, 0.0) for i in change.won}
    here = replace(start, rows=_without(then, change.won), certain=start.certain | got)
    path["won"] = here
    kept = {i: then[i] for i in change.kept}
    path["lost"] = here = replace(here, rows=kept, certain=_without(here.certain, change.undone))
    path["clock"] = here = replace(here, day=change.until, rows=standing)
    fresh = [i for i in change.came if i in now]
    sure = {i: change.sure_now[i] for i in change.came if i in change.sure_now}
    here = replace(here, rows=_ordered(standing | {i: now[i] for i in fresh}, now), certain=here.certain | sure)
    path["new deals"] = here
    path["values"] = here = replace(here, rows=dict(now), certain=dict(change.sure_now))
    rated = _rated(before, after, notes)
    if rated is not None:
        path["rates"] = replace(here, model=rated)
    path["capacity" if rated is not None else "rates"] = replace(here, model=after)
    return path


def _without(rows: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {i: row for i, row in rows.items() if i not in set(names)}


def _ordered(rows: Rows, like: Rows) -> Rows:
    return {i: rows[i] for i in like if i in rows} | rows


def _rated(before: Scenario, after: Scenario, notes: list[str]) -> Scenario | None:
    """The later model with the earlier one's teams and calendar; None where they can't go together."""
    tree = {k: v for k, v in after.tree.items() if k not in CAPACITY}
    tree |= {k: v for k, v in before.tree.items() if k in CAPACITY}
    try:
        return from_tree(tree, after.folder)
    except InputError:
        notes.append("the later model can't work with the earlier one's teams, so 'rates' holds capacity as well")
        return None


class _Measure:
    """Measures the points of a path: bookings in the quarter by replication and deal."""

    def __init__(
        self,
        span: Span,
        ids: list[str],
        replications: int,
        seed: int,
        workers: int,
        progress: Progress | None,
        points: int,
    ) -> None:
        self.span, self.replications, self.seed, self.workers = span, replications, seed, workers
        self.column = {deal: k for k, deal in enumerate(ids)}
        self.progress, self.points, self.begun = progress, points, 0
        self.notes: list[str] = []
        self._known: tuple[str, Floats] = ("", np.zeros(0))

    def __call__(self, state: _State) -> Floats:
        """Bookings (replications, deals + 1); the last column is for all that are not listed."""
        import pandas as pd

        table = pd.DataFrame(list(state.rows.values()), columns=None if state.rows else ["id", "stage", "age"])
        notes: list[str] = []
        start = state.day + timedelta(days=1)
        scenario = prepared(state.model, table, state.day, self.span.quarters_from(start), notes)
        self.notes += [note for note in notes if note not in self.notes]
        if scenario.digest != self._known[0]:
            self._known = scenario.digest, self._simulated(scenario, list(state.rows))
        self.begun += 1
        found = self._known[1].copy()
        for deal, amount in state.certain.items():
            found[:, self.column[deal]] += amount
        return found

    def _simulated(self, scenario: Scenario, listed: list[str]) -> Floats:
        start = scenario.spec.start
        since, until = max(0, (self.span.first - start).days), (self.span.end - start).days
        read = partial(booked_by_deal, since=float(since), until=float(until))
        rows = read_replications(
            read, scenario, self.replications, seed=self.seed, workers=self.workers, progress=self._tell
        )
        out = np.zeros((len(rows), len(self.column) + 1))
        out[:, [*(self.column[deal] for deal in listed), -1]] = np.stack(rows)
        return out

    def _tell(self, done: int, of: int) -> None:
        if self.progress:
            self.progress(self.begun * of + done, self.points * of)


@dataclass(frozen=True)
class _Move:
    """One step: its name and its change by replication, and on average by column."""

    step: str
    by_replication: Floats
    by_column: Floats


def _walk(path: dict[str, _State], measure: _Measure, change: Change) -> list[_Move]:
    """The steps in their order, after a first one `before`."""
    points = iter(path.items())
    last = measure(next(points)[1])
    moves = [_Move("before", last.sum(axis=1), last.mean(axis=0))]
    waiting: list[_Move] = []  # of the clock's step: what belongs to the new deals
    for name, state in points:
        found = measure(state)
        parts = _split(name, found - last, change, measure.column)
        for step, which in parts.items():
            delta = np.where(which, found - last, 0.0)
            move = _Move(step, delta.sum(axis=1), delta.mean(axis=0))
            if name == "clock" and step == "new deals":
                waiting.append(move)
                continue
            if step == "new deals":
                early = waiting.pop()
                move = _Move(step, move.by_replication + early.by_replication, move.by_column + early.by_column)
            moves.append(move)
        last = found
    return moves


def _split(name: str, delta: Floats, change: Change, column: dict[str, int]) -> dict[str, Floats]:
    """Which columns of a difference of two neighbours belong to which step."""
    width = delta.shape[1]

    def of(deals: set[str]) -> Any:
        which = np.zeros(width, dtype=bool)
        which[[column[deal] for deal in deals]] = True
        return which

    if name == "clock":
        moved, listed = of(change.moved), of(set(column))
        up = moved & (delta.mean(axis=0) > 0)
        return {"time passed": listed & ~moved, "pulled in": up, "pushed out": moved & ~up, "new deals": ~listed}
    if name == "values":
        others = of(change.changed) if change.valued else np.ones(width, dtype=bool)
        return {"value changes": ~others, "other changes": others}
    return {name: np.ones(width, dtype=bool)}


# --- the result -------------------------------------------------------------------------------------------------------


def _bridge(
    moves: list[_Move], change: Change, measure: _Measure, target: float | None, currency: str, notes: list[str]
) -> Bridge:
    import pandas as pd

    names = [move.step for move in moves]
    reached = np.cumsum(np.stack([move.by_replication for move in moves]), axis=0)
    totals = pd.DataFrame(reached.T, columns=names)
    concerned = {
        "won": len(change.won),
        "lost": len(change.lost) + len(change.undone),
        "time passed": len(change.kept) - len(change.moved),
        "new deals": len(change.new),
        "value changes": len(change.valued),
        "other changes": len(change.changed),
    }
    moved = {m.step: int((m.by_column[:-1] != 0).sum()) for m in moves if m.step in ("pulled in", "pushed out")}
    return Bridge(
        period=measure.span.name,
        since=change.since,
        until=change.until,
        currency=currency,
        target=target,
        seed=measure.seed,
        totals=totals,
        table=_table(totals, target, concerned | moved),
        deals=_deals(moves, change),
        notes=tuple(notes),
    )


def _table(totals: pd.DataFrame, target: float | None, concerned: dict[str, int]) -> pd.DataFrame:
    """A row for `before`, each step and `after`."""
    import pandas as pd

    reached = {"expected": totals.mean(), "p50": totals.median()}
    reached["chance"] = (totals >= target).mean() if target is not None else totals.mean() * np.nan
    error = totals.diff(axis=1).std(ddof=1) / np.sqrt(len(totals))
    table = pd.DataFrame({"step": list(totals.columns), "deals": [concerned.get(s) for s in totals.columns]})
    for name, values in reached.items():
        table[name] = values.to_numpy()
        table[{"expected": "change"}.get(name, f"{name}_change")] = values.diff().to_numpy()
    table.insert(4, "se", error.to_numpy())
    last = table.iloc[[-1]].assign(step="after", deals=None, change=np.nan, se=np.nan, p50_change=np.nan)
    table = pd.concat([table, last.assign(chance_change=np.nan)], ignore_index=True)
    spread_of_mean = totals.std(ddof=1) / np.sqrt(len(totals))
    table.loc[[0, len(table) - 1], "se"] = [spread_of_mean.iloc[0], spread_of_mean.iloc[-1]]
    table["deals"] = table["deals"].astype("Int64")
    return table


def _deals(moves: list[_Move], change: Change) -> pd.DataFrame:
    """A row a deal, and one for all others: its change in each step."""
    import pandas as pd

    nothing: dict[str, Any] = {}
    then = [change.then.get(i, nothing) for i in change.ids]
    now = [change.now.get(i, nothing) for i in change.ids]
    by_column = np.stack([move.by_column for move in moves])
    table = pd.DataFrame(
        {
            "deal": [*change.ids, NOT_CREATED],
            "what": [*(change.fate(i) for i in change.ids), ""],
            "stage_before": [*(row.get("stage", "") for row in then), ""],
            "stage_after": [*(row.get("stage", "") for row in now), ""],
            "value_before": [*_values(then, change.ids, change.sure_then), np.nan],
            "value_after": [*_values(now, change.ids, change.sure_now), np.nan],
            "expected_before": by_column[0],
            "expected_after": by_column.sum(axis=0),
            "change": by_column[1:].sum(axis=0),
            **{move.step: move.by_column for move in moves[1:]},
        }
    )
    order = table["change"].abs().where(table["deal"] != NOT_CREATED, -1.0).sort_values(ascending=False, kind="stable")
    return table.loc[order.index].reset_index(drop=True)


def _values(rows: list[dict[str, Any]], ids: list[str], booked: dict[str, float]) -> list[float]:
    """Each deal's value: what it booked, or what it was open with; NaN where neither is known."""
    known = [booked.get(deal, row.get("value")) for deal, row in zip(ids, rows, strict=True)]
    return [float("nan") if value is None else float(value) for value in known]


def rounded_steps(table: pd.DataFrame, step: float | None = None) -> list[float]:
    """The `expected` of before and after and the `change` of each step, rounded so that they still add up.

    The bookings reached are rounded to multiples of `step` (a unit of four figures of the largest unless said), and the
    changes are their differences.
    """
    reached = table["expected"].to_numpy()
    unit = step or 10.0 ** max(0, np.floor(np.log10(max(abs(reached).max(), 1.0))) - 3)
    whole = np.round(reached / unit) * unit
    changes = np.diff(whole[:-1])
    return [float(whole[0]), *map(float, changes), float(whole[-1])]
