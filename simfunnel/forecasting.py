"""Forecast: today's open deals and those not yet created, to the end of this quarter and the next.

Open deals start where they are (stage, age, value, owner); new ones arrive as the scenario says. What the current
quarter has booked already is known and added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simfunnel.calendars import quarter_of
from simfunnel.calibration import Calibration, widened
from simfunnel.crm import History
from simfunnel.errors import InputError, not_among
from simfunnel.periods import periods
from simfunnel.replicate import QUANTILES, Progress, Runs, run, summarise
from simfunnel.runs import figures_of, manifest_of, plain, tables_of, version, write_tables_and_pictures
from simfunnel.scenario import Scenario, from_tree
from simfunnel.units import middle

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("already won", "open deals", "not yet created")
METRICS = ("bookings", "wins")
OPEN_DEALS = "open deals"
TOTAL = "total"


@dataclass(frozen=True)
class Forecast:
    """The predictive distribution of bookings and wins by quarter.

    `parts` is long: metric, period, part ('already won', 'open deals', 'not yet created'), replication, value. `table`
    has mean, interval of the mean, standard deviation and quantiles by metric, period and part, `total` included.
    `deals` has one row an open deal: its chance to be won by the end of each quarter, and when (P10, P50, P90 of the
    date, if it is won).
    """

    scenario: Scenario
    runs: Runs
    as_of: date
    parts: pd.DataFrame
    table: pd.DataFrame
    deals: pd.DataFrame
    notes: tuple[str, ...]
    target: float | None

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
    scenario: Scenario,
    deals: History | pd.DataFrame | None = None,
    *,
    as_of: date | None = None,
    quarters: int = 2,
    target: float | None = None,
    replications: int = 300,
    seed: int = 1,
    workers: int = 1,
    calibration: Calibration | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """Forecast bookings and wins for so many fiscal quarters, the current one counted as the first.

    `deals` is a history read by `read_crm`, or a table of open deals (id, stage, age in days, value, member, and
    attributes); without it, the deals that the scenario lists are taken, if it lists any. The forecast begins on the
    day after `as_of` (the history's own date, or the day before the scenario's start, unless given). With a
    `calibration` (of a backtest, see `simfunnel.calibration`) the spread of what is still to come is multiplied by its
    factor, and a note says so. Raises InputError where deals and scenario don't fit.
    """
    if not 1 <= quarters <= 40:
        raise InputError(f"quarters must be 1 to 40, not {quarters}")
    history = deals if isinstance(deals, History) else None
    day = as_of or (history.as_of if history else scenario.spec.start - timedelta(days=1))
    if history and day != history.as_of:
        raise InputError(
            f"the history is cut at {history.as_of}, so it can't be forecast as of {day}; read it with as_of={day}"
        )
    notes: list[str] = []
    ready = from_today(scenario, deals, as_of=day, quarters=quarters, notes=notes)
    if target is not None:
        ready = ready.override({"target": target})
    if not any(source.deals for source in ready.spec.sources.values()):
        notes.append("no open deals were given, so this forecast holds only those not yet created")
    runs = run(ready, replications, seed=seed, workers=workers, by="source", deals=True, progress=progress)
    won = already_won(history, ready, notes) if history else {}
    if target is None and scenario.spec.target is not None:
        target = float(middle(scenario.spec.target))
    parts = _parts(runs, won)
    if calibration is not None:
        parts = _calibrated(parts, calibration, notes)
    return Forecast(ready, runs, day, parts, _table(parts), _chances(runs), tuple(notes), target)


def from_today(
    scenario: Scenario,
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
    day = as_of or (history.as_of if history else scenario.spec.start - timedelta(days=1))
    table = _open_deals(deals, scenario) if isinstance(deals, History) else deals
    return prepared(scenario, table, day, quarters, [] if notes is None else notes)


def _open_deals(history: History, scenario: Scenario) -> pd.DataFrame:
    """The open deals in their stages; in one stage where the scenario knows only that (see `History.open_deals`)."""
    known = scenario.spec.stages
    as_one = history.open_stage in known and not set(history.stages) <= set(known)
    return history.open_deals(as_one_stage=as_one)


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


def already_won(history: History, scenario: Scenario, notes: list[str]) -> dict[str, float]:
    """Bookings and wins of the current quarter up to the as-of date."""
    import pandas as pd

    start = scenario.spec.start
    first, _ = quarter_of(start, scenario.spec.fiscal_year_ends)
    won = history.deals[(history.deals.outcome == "won") & (history.deals.closed >= pd.Timestamp(first))]
    if first == start:
        return {}
    unknown = int(won["value"].isna().sum())
    if unknown:
        notes.append(f"{unknown:,} deals won this quarter have no value and count as 0 in what is already won")
    return {"bookings": float(won["value"].sum()), "wins": float(len(won))}


def _parts(runs: Runs, won: Mapping[str, float]) -> pd.DataFrame:
    """Each replication's bookings and wins by quarter and part."""
    import pandas as pd

    assert runs.grouped is not None
    spec = runs.scenario.spec
    listed = {name for name, source in spec.sources.items() if source.deals is not None}
    rows = runs.grouped[(runs.grouped.unit == "quarter") & runs.grouped.metric.isin(METRICS)]
    part = np.where(rows.group.isin(listed), PARTS[1], PARTS[2])
    summed = rows.assign(part=part).groupby(["metric", "period", "part", "replication"], sort=False)["value"].sum()
    frame = summed.reset_index()
    if won:
        first = periods(spec.start, 0.0, spec.days, "quarter", spec.fiscal_year_ends).labels[0]
        known = [
            {"metric": m, "period": first, "part": PARTS[0], "replication": k, "value": won[m]}
            for m in METRICS
            for k in range(runs.replications)
        ]
        frame = pd.concat([pd.DataFrame(known), frame], ignore_index=True)
        frame["period"] = frame["period"].str.removesuffix(" (part)")
    return frame.sort_values("part", key=lambda part: part.map(PARTS.index), kind="stable", ignore_index=True)


def _calibrated(parts: pd.DataFrame, calibration: Calibration, notes: list[str]) -> pd.DataFrame:
    """The parts with the spread of their sum widened; what is already won stays, and the others keep their shares."""
    import pandas as pd

    done = []
    for metric, rows in parts.groupby("metric", sort=False):
        factor = calibration.factor(str(metric))
        if factor != 1:
            notes.append(
                f"{metric}: the spread of what is still to come is {factor:.2f} times the simulation's, as the "
                "backtest found it; runs, pictures of runs and single deals' chances are as simulated"
            )
            rows = pd.concat([_widened(part, factor) for _, part in rows.groupby("period", sort=False)])
        done.append(rows)
    return pd.concat(done).loc[parts.index]


def _widened(rows: pd.DataFrame, factor: float) -> pd.DataFrame:
    """One metric and period."""
    coming = rows[rows["part"] != PARTS[0]]
    sums = coming.groupby("replication")["value"].sum()
    wider = widened(sums.to_numpy(), factor)
    ratios = np.divide(wider, sums, out=np.ones(len(sums)), where=sums.to_numpy() > 0)
    ratio = rows["replication"].map(dict(zip(sums.index, ratios, strict=True)))
    values = rows["value"] * np.where(rows["part"] == PARTS[0], 1.0, ratio)
    return rows.assign(value=values)


def _table(parts: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    total = parts.groupby(["metric", "period", "replication"], sort=False)["value"].sum().reset_index()
    both = pd.concat([parts, total.assign(part=TOTAL)], ignore_index=True)
    table = summarise(both, ["metric", "period", "part"], QUANTILES)
    order = {name: k for k, name in enumerate([*METRICS, *dict.fromkeys(parts.period), *PARTS, TOTAL])}
    rank = table[["metric", "period", "part"]].replace(order).apply(tuple, axis=1)
    return table.iloc[
        np.argsort(rank.map(list(dict.fromkeys(sorted(rank))).index).to_numpy(), kind="stable")
    ].reset_index(drop=True)


def _chances(runs: Runs) -> pd.DataFrame:
    """For each open deal its chance to be won by the end of each quarter, and the band of the date if it is won."""
    import pandas as pd

    spec = runs.scenario.spec
    listed = [deal for source in spec.sources.values() for deal in source.deals or ()]
    if not listed or runs.deals is None:
        return pd.DataFrame(columns=["deal", "stage", "age", "value", "member"])
    n = runs.replications
    won = runs.deals["won"].to_numpy().reshape(n, len(listed))
    value = runs.deals["value"].to_numpy().reshape(n, len(listed))
    cut = periods(spec.start, 0.0, spec.days, "quarter", spec.fiscal_year_ends)
    table = pd.DataFrame(
        {
            "deal": [d.id for d in listed],
            "stage": [d.stage for d in listed],
            "age": [float(middle(d.age)) for d in listed],
            "value": value.mean(axis=0),
            "member": [d.member or "" for d in listed],
        }
    )
    for edge, label in zip(cut.edges[1:], cut.labels, strict=True):
        table[f"won by end of {label.removesuffix(' (part)')}"] = (won < edge).mean(axis=0)
    days = [won[~np.isnan(won[:, k]), k] for k in range(len(listed))]
    for q in QUANTILES:
        dates = [spec.start + timedelta(days=int(np.quantile(d, q))) if len(d) else None for d in days]
        table[f"date P{q * 100:.0f}"] = dates
    return table.sort_values(table.columns[5], ascending=False, kind="stable").reset_index(drop=True)


# --- results ----------------------------------------------------------------------------------------------------------


def results_json(forecast: Forecast) -> dict[str, Any]:
    """What `forecast --json` prints: bookings and wins by quarter, with the parts of which they are made."""
    results = [
        {
            "metric": row["metric"],
            "period": row["period"],
            "part": row["part"],
            "mean": row["mean"],
            "sd": row["sd"],
            "quantiles": {f"{q:g}": row[f"{q:g}"] for q in QUANTILES},
        }
        for row in forecast.table.to_dict("records")
    ]
    said = {
        "scenario": forecast.scenario.name,
        "as_of": forecast.as_of.isoformat(),
        "seed": forecast.runs.seed,
        "replications": forecast.runs.replications,
        "version": version(),
        "target": forecast.target,
        "prob_target": forecast.prob_target(),
        "results": results,
    }
    return dict(plain(said))


def write_forecast(forecast: Forecast, folder: Path) -> Path:
    """Write the folder of a forecast: totals and parts, each open deal's chance, pictures, and the scenario."""
    from simfunnel import plots

    currency = forecast.scenario.spec.currency
    note = f"as of {forecast.as_of} · {forecast.runs.replications} replications, seed {forecast.runs.seed}"
    pictures = {
        f"forecast-{metric}": plots.forecast(
            forecast.parts[forecast.parts["metric"] == metric],
            target=forecast.target if metric == "bookings" else None,
            currency=currency,
            metric=metric,
            note=note,
        )
        for metric in METRICS
    }
    return write_tables_and_pictures(
        folder,
        tables={
            **tables_of(forecast.runs),
            "forecast": forecast.table,
            "parts": forecast.parts,
            "deals": forecast.deals,
        },
        figures={**pictures, **figures_of(forecast.runs)},
        manifest=manifest_of(forecast.runs, "forecast")
        | {"as_of": forecast.as_of.isoformat(), "notes": list(forecast.notes)},
        texts={"scenario.yaml": forecast.scenario.to_yaml()},
    )
