"""Forecast: today's open deals and those not yet created, to the end of this quarter and the next.

Open deals start where they are (stage, age, value, owner); new ones arrive as the scenario says. What the current
quarter has booked already is known and added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from simfunnel.calendars import quarter_of
from simfunnel.crm import History
from simfunnel.errors import InputError, not_among
from simfunnel.fitting.keeping import by_hand
from simfunnel.forecasting.corrections import Correction, by_record
from simfunnel.forecasting.parts import (
    SUMS,
    added_up,
    already_won,
    check_grouping,
    cut,
    groups,
    parts_of,
    since,
    table_of,
    timeline,
    won_until,
)
from simfunnel.forecasting.pipeline import Coverage, categories, chances, coverage
from simfunnel.forecasting.pooling import Track
from simfunnel.forecasting.windows import NO_VALUES, is_told, says_values, told
from simfunnel.formatting import counted
from simfunnel.replicate import Progress, run
from simfunnel.results import Runs
from simfunnel.scenario import Scenario, from_tree
from simfunnel.units import middle

if TYPE_CHECKING:
    import pandas as pd

    from simfunnel.fitting.fit import Fitted

OPEN_DEALS = "open deals"
_LONG_SILENT = 35  # days without anything that happens, after which an export is taken to be old


@dataclass(frozen=True)
class Forecast:
    """The predictive distribution of bookings, wins and pipeline.

    `parts` is long, by quarter: metric, period, part ('already won', 'open deals', 'not yet created'), replication,
    value. `table` has mean, interval of the mean, standard deviation and quantiles by metric, period and part, `total`
    included; `timeline` is the same by week, month and quarter, and `groups` by group besides, where one was asked for.
    `deals` has one row an open deal (see `pipeline.chances`); `coverage` one entry a quarter, where there is a target;
    `categories` the open value by the sellers' own category, where the export has it. `added_up` holds the current
    quarter's bookings from its first day to its last. `valued` says whether it is known what deals are worth; if not,
    nothing here is of money.
    """

    scenario: Scenario
    runs: Runs
    as_of: date
    parts: pd.DataFrame
    table: pd.DataFrame
    deals: pd.DataFrame
    notes: tuple[str, ...]
    target: float | None
    timeline: pd.DataFrame
    added_up: pd.DataFrame
    coverage: tuple[Coverage, ...] = ()
    categories: pd.DataFrame | None = None
    by: str | None = None
    groups: pd.DataFrame | None = None
    valued: bool = True

    def total(self, metric: str = "bookings") -> pd.DataFrame:
        """One metric's totals: a row a replication, a column a period."""
        rows = self.parts[self.parts.metric == metric]
        wide = rows.groupby(["replication", "period"], sort=False)["value"].sum().unstack("period")
        return wide[list(dict.fromkeys(rows.period))]

    def prob_target(self) -> dict[str, float]:
        """The chance that the bookings of each quarter reach the target; empty without one."""
        if self.target is None:
            return {}
        return {str(k): float(v) for k, v in (self.total() >= self.target).mean().items()}


def forecast(
    scenario: Scenario | Fitted,
    deals: History | pd.DataFrame | None = None,
    *,
    as_of: date | None = None,
    quarters: int = 2,
    target: float | None = None,
    confidence: float = 0.8,
    by: str | None = None,
    replications: int = 300,
    seed: int = 1,
    workers: int = 1,
    record: Track | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """Forecast bookings, wins and pipeline for so many fiscal quarters, the current one counted as the first.

    Unless a `record` is given, this is the simulation alone, as `simfunnel forecast --past 0` has it. The command pools
    it with simple forecasts, by what past dates teach; `record=sf.track_record(model, "deals.csv")` gives its numbers.

    Args:
        scenario: the model, read from its file or just as `fit` returns it.
        deals: a history read by `read_crm`, or a table of open deals (id, stage, age in days, value, member,
            attributes, perhaps category); without it, the deals that the scenario lists are taken, if it lists any.
        as_of: the day after which the forecast begins; the history's own date, or the day before the scenario's start,
            unless given.
        quarters: how many fiscal quarters.
        target: bookings wanted in each quarter; the scenario's own unless given.
        confidence: the wanted chance of the target, for which the coverage needed is told.
        by: `source`, `member` or an attribute, for a table of parts by group.
        replications: how many replications.
        seed: the same seed gives the same results.
        workers: how many processes.
        record: of past forecasts from this history (of `track_record`, or a backtest's): totals still to come are
            pooled with what the baselines foresee and widened, as the record tells, and notes say so; without a
            history it has no say. A model that is not as it was fitted is widened only, for it knows what they don't.
        progress: told after each replication.

    Raises:
        InputError: where deals and scenario don't fit, or an argument can't be.
    """
    if not 1 <= quarters <= 40:
        raise InputError(f"quarters must be 1 to 40, not {quarters}")
    if not 0 < confidence < 1:
        raise InputError(f"the wanted chance of a target must lie between 0 and 1, not {confidence:g}")
    import pandas as pd

    history = deals if isinstance(deals, History) else None
    model = model_of(scenario)
    day = _as_of(model, history, as_of)
    notes = _data_end_early(history) if history else []
    ready = from_today(model, deals, as_of=day, quarters=quarters, notes=notes)
    if by is not None:
        check_grouping(ready, by)
    if by == "source" and history and history.channel in ready.spec.attributes:
        notes.append(
            f"only new deals come by sources; '{history.channel}' tells the channel of open and won ones as well"
        )
    if target is not None:
        check_target(ready, target)
        ready = ready.override({"target": target})
    elif ready.spec.target is not None:
        target = float(middle(ready.spec.target))
        check_target(ready, target)
    valued = says_values(ready.spec)
    if not any(source.deals for source in ready.spec.sources.values()):
        notes.append("no open deals were given, so this forecast holds only those not yet created")
    won = won_until(history, ready.spec.start, ready.spec.fiscal_year_ends) if history else None
    notes += _without_value(won, ready) if valued else [NO_VALUES]
    runs = run(ready, replications, seed=seed, workers=workers, by="source", deals=True, progress=progress)
    correction = _correction(runs, history, record, seed, by_hand(model), valued=valued)
    notes += correction.words if correction else ()
    parts, found = told(parts_of(runs, won, correction=correction), valued=valued), chances(runs, valued=valued)
    open_value = float(found["value"].sum()) if len(found) and valued else 0.0
    listed = deals.deals[deals.deals["outcome"] == "open"] if isinstance(deals, History) else deals
    notes += _no_categories(listed, day) if valued else []
    before = already_won(won, ready.spec).get("bookings", 0.0)
    grouped = groups(ready, won, by, replications=runs.replications, seed=seed, workers=workers) if by else None
    return Forecast(
        scenario=ready,
        runs=runs,
        as_of=day,
        parts=parts,
        table=table_of(parts),
        deals=found,
        notes=tuple(notes),
        target=target,
        timeline=told(timeline(runs, won, correction), valued=valued),
        added_up=added_up(runs, won, correction) if valued else pd.DataFrame(),
        coverage=() if target is None else tuple(coverage(parts, open_value, target, confidence)),
        categories=None if listed is None or not valued else categories(listed, found, before),
        by=by,
        groups=None if grouped is None else told(grouped, valued=valued),
        valued=valued,
    )


def _no_categories(listed: pd.DataFrame | None, day: date) -> list[str]:
    """Why there is no table of categories, though the export has a column of them."""
    if listed is None or listed.empty or "category" not in listed or listed["category"].notna().any():
        return []
    return [
        f"the sellers' own categories are left out: the export doesn't tell which one an open deal had on {day}, for "
        "they change while it is open"
    ]


def check_target(scenario: Scenario, target: float | None) -> None:
    """Raise InputError where a target in money is asked of a scenario that knows no values."""
    if target is not None and not says_values(scenario.spec):
        raise InputError(
            f"the target is an amount of money, and {scenario.name} knows no values of deals: leave the target out, or "
            "say in the file what a deal is worth, such as value: 12k"
        )


def model_of(scenario: Scenario | Fitted) -> Scenario:
    """The scenario; of what was fitted, the one that its file would be read as."""
    return scenario if isinstance(scenario, Scenario) else replace(from_tree(scenario.tree), text=scenario.to_yaml())


def _as_of(scenario: Scenario, history: History | None, as_of: date | None) -> date:
    """The day after which the forecast begins. Raises InputError where it is not the history's."""
    day = as_of or (history.as_of if history else scenario.spec.start - timedelta(days=1))
    if history and day != history.as_of:
        raise InputError(
            f"the history is cut at {history.as_of}, so it can't be forecast as of {day}; read it with as_of={day}"
        )
    return day


def _correction(
    runs: Runs, history: History | None, record: Track | None, seed: int, hand: tuple[str, ...], *, valued: bool
) -> Correction | None:
    """What is done to the totals still to come; nothing where nothing is known of past forecasts."""
    if record is None or history is None:
        return None
    coming = {metric: runs.values(metric, "quarter").to_numpy() for metric in SUMS if is_told(metric, valued=valued)}
    spec = runs.scenario.spec
    return by_record(coming, record, history, cut(spec, "quarter"), spec.start, seed, hand)


def _data_end_early(history: History) -> list[str]:
    """What to note where the last thing that the history tells of lies long before its date."""
    last = history.deals[["created", "closed"]].max().max()
    moves = history.visits["entered"].max()
    known = (last if moves is None or moves != moves else max(last, moves)).date()
    gap = (history.as_of - known).days
    if gap <= _LONG_SILENT:
        return []
    return [
        f"the data end on {known}, {gap:,} days before {history.as_of}: nothing is taken to have happened since, so "
        "deals may be closed or missing that this forecast takes as open or not yet created; export again, or say "
        f"--as-of {known}"
    ]


def _without_value(won: pd.DataFrame | None, scenario: Scenario) -> list[str]:
    """What to note of deals won in this quarter whose value is not known."""
    unknown = 0 if won is None else int(since(won, scenario.spec, "quarter")["unvalued"].sum())
    if not unknown:
        return []
    have = "has no value and counts" if unknown == 1 else "have no value and count"
    return [f"{counted(unknown, 'deal')} won this quarter {have} as the mean of won deals, or as 1 where none is known"]


def from_today(
    scenario: Scenario | Fitted,
    deals: History | pd.DataFrame | None,
    *,
    as_of: date | None = None,
    quarters: int = 2,
    notes: list[str] | None = None,
) -> Scenario:
    """The scenario that begins on the day after `as_of` with these open deals, as `forecast` runs it.

    So a comparison can begin from today as well: `compare(from_today(base, history), from_today(other, history))`. What
    had to be left out is added to `notes`. Raises InputError where deals and scenario don't fit.
    """
    history = deals if isinstance(deals, History) else None
    scenario = model_of(scenario)
    day = as_of or (history.as_of if history else scenario.spec.start - timedelta(days=1))
    table = open_deals_for(deals, scenario) if isinstance(deals, History) else deals
    return prepared(scenario, table, day, quarters, [] if notes is None else notes)


def open_deals_for(history: History, *scenarios: Scenario) -> pd.DataFrame:
    """The open deals in their stages; in one stage where a scenario knows only that (see `History.open_deals`).

    A history without stages calls the one in which deals are open as those of its date do; so does the scenario.
    """
    stages = [scenario.spec.stages for scenario in scenarios]
    as_one = any(history.open_stage in known and not set(history.stages) <= set(known) for known in stages)
    table = history.open_deals(as_one_stage=as_one)
    lone = {name for known in stages for name, stage in known.items() if stage.exits}
    if len(lone) == len(history.stages) == 1:
        table["stage"] = lone.pop()
    if history.tasks is None or as_one or not len(table):
        return table
    worked = any(stage.work for known in stages for stage in known.values())
    return _less_work(table, history) if worked else table


def _less_work(table: pd.DataFrame, history: History) -> pd.DataFrame:
    """The open deals with ages that leave out the work and the queues which a simulation adds."""
    from simfunnel.fitting.effort import open_ages

    ages = open_ages(history)
    if ages is None:
        return table
    mine = ages.reindex(history.deals.index[history.deals["outcome"] == "open"]).set_axis(table.index)
    return table.assign(age=mine.fillna(table["age"]))


def prepared(scenario: Scenario, deals: pd.DataFrame | None, as_of: date, quarters: int, notes: list[str]) -> Scenario:
    """The scenario from the day after `as_of` to the last quarter's end, with these deals open; notes what was done."""
    start = as_of + timedelta(days=1)
    end = start
    for _ in range(quarters):
        end = quarter_of(end, scenario.spec.fiscal_year_ends)[1]
    tree = {k: v for k, v in scenario.tree.items() if k not in ("warm_up", "horizon", "start")}
    tree |= {"start": start.isoformat(), "horizon": f"{(end - start).days} days"}
    sources = dict(tree["sources"])
    late = [name for name, s in scenario.spec.sources.items() if s.at is not None and s.at < start]
    for name in late:
        notes.append(f"the list '{name}' came before {start}, so it is left out")
        sources[name] = {}
    if deals is not None:
        for name, source in scenario.spec.sources.items():
            if source.deals is not None:
                del sources[name]
        sources[OPEN_DEALS] = {"deals": deal_rows(deals, scenario, notes)}
    return from_tree(tree | {"sources": sources}, scenario.folder)


def deal_rows(deals: pd.DataFrame, scenario: Scenario, notes: list[str]) -> list[dict[str, Any]]:
    """Open deals as a scenario lists them; what the scenario does not know is left to be drawn, and noted."""
    spec = scenario.spec
    missing = [c for c in ("id", "stage", "age") if c not in deals.columns]
    if missing:
        raise InputError(f"the open deals lack {', '.join(missing)}; found {', '.join(map(str, deals.columns))}")
    strange = sorted(set(deals["stage"]) - set(spec.stages))
    if strange:
        raise InputError(f"open deals: {not_among(strange[0], 'stage of the scenario', spec.stages)}")
    members = {m.name for t in spec.teams.values() for m in t.members or ()}
    levels = {name: drawn.levels for name, drawn in spec.attributes.items()}
    unknown: dict[str, int] = {}
    rows = []
    for deal in deals.to_dict("records"):
        row: dict[str, Any] = {"id": str(deal["id"]), "stage": deal["stage"], "age": f"{max(0.0, deal['age']):g} days"}
        if _is_known(deal.get("value")):
            row["value"] = float(deal["value"])
        if _is_known(deal.get("member")):
            if deal["member"] in members:
                row["member"] = deal["member"]
            else:
                unknown["member"] = unknown.get("member", 0) + 1
        known = {}
        for name, names in levels.items():
            if not _is_known(deal.get(name)):
                continue
            if names is None or str(deal[name]) in names:
                known[name] = deal[name]
            else:
                unknown[name] = unknown.get(name, 0) + 1
        rows.append(row | ({"attributes": known} if known else {}))
    for name, count in unknown.items():
        what = "are owned by nobody in the scenario" if name == "member" else f"have a {name} that the scenario has not"
        notes.append(
            f"{count:,} open deals {what}; it is drawn instead" if name != "member" else f"{count:,} open deals {what}"
        )
    return rows


def _is_known(value: object) -> bool:
    return value is not None and value == value  # NaN differs from itself
