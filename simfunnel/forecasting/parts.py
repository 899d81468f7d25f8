"""What a forecast is made of, by week, month and quarter: already won, open deals, and those not yet created.

Bookings and wins have all three parts. The pipeline's value and the number of open deals, counted at each period's end,
have two: today's open deals that are open still, and deals created by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from simfunnel.calendars import quarter_of
from simfunnel.crm import History
from simfunnel.errors import InputError, not_among
from simfunnel.forecasting.contributions import METRICS, NOBODY, groupings, read_replications, shares
from simfunnel.forecasting.corrections import Correction
from simfunnel.forecasting.windows import worth
from simfunnel.numerics import Floats
from simfunnel.periods import Periods, first_day, periods
from simfunnel.replicate import Progress
from simfunnel.results import QUANTILES, Runs, summarise
from simfunnel.scenario import Scenario
from simfunnel.scenario.spec import ScenarioSpec

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("already won", "open deals", "not yet created")
SUMS = ("bookings", "wins")
UNITS = ("week", "month", "quarter")
TOTAL = "total"
UNKNOWN = "unknown"
BANDS = (0.1, 0.25, 0.5, 0.75, 0.9)


def cut(spec: ScenarioSpec, unit: str) -> Periods:
    """The periods of a forecast."""
    return periods(spec.start, 0.0, spec.days, unit, spec.fiscal_year_ends)


# --- already won ------------------------------------------------------------------------------------------------------


def won_until(history: History, start: date, fiscal_year_ends: int) -> pd.DataFrame:
    """The deals won before `start` in the week, month or quarter that `start` cuts.

    The columns are those of the history's deals, each with what it is worth (see `windows.worth`), and `unvalued`:
    whether its value is not known.
    """
    import pandas as pd

    first = min(first_day(start, unit, fiscal_year_ends) for unit in UNITS)
    deals = history.deals
    here = (deals.outcome == "won") & (deals.closed >= pd.Timestamp(first)) & (deals.closed < pd.Timestamp(start))
    return deals[here].assign(value=worth(deals), unvalued=deals["value"].isna())


def already_won(won: pd.DataFrame | None, spec: ScenarioSpec, unit: str = "quarter") -> dict[str, float]:
    """Bookings and wins before the start in the period that it cuts; none where it cuts no period, or none is known."""
    if won is None:
        return {}
    rows = since(won, spec, unit)
    first = first_day(spec.start, unit, spec.fiscal_year_ends)
    return {} if first == spec.start else {"bookings": float(rows["value"].sum()), "wins": float(len(rows))}


def since(won: pd.DataFrame, spec: ScenarioSpec, unit: str) -> pd.DataFrame:
    """Those won in the period that the start cuts."""
    import pandas as pd

    return won[won["closed"] >= pd.Timestamp(first_day(spec.start, unit, spec.fiscal_year_ends))]


# --- parts ------------------------------------------------------------------------------------------------------------


def parts_of(
    runs: Runs, won: pd.DataFrame | None, unit: str = "quarter", *, correction: Correction | None = None
) -> pd.DataFrame:
    """Each replication's metrics by period and part, long: metric, period, part, replication, value.

    `runs` must have been grouped by source. Where `won` is known, the first period is whole, and named so. With a
    correction, bookings and wins that are still to come are multiplied as it says.
    """
    import pandas as pd

    assert runs.grouped is not None
    spec = runs.scenario.spec
    listed = {name for name, source in spec.sources.items() if source.deals is not None}
    rows = runs.grouped[(runs.grouped["unit"] == unit) & runs.grouped["metric"].isin(METRICS)]
    part = np.where(rows["group"].isin(listed), PARTS[1], PARTS[2])
    keys = ["metric", "period", "part", "replication"]
    frame = rows.assign(part=part).groupby(keys, sort=False, observed=True)["value"].sum().reset_index()
    known = already_won(won, spec, unit)
    if known:
        first = cut(spec, unit).labels[0]
        repeated = [
            {"metric": m, "period": first, "part": PARTS[0], "replication": k, "value": known[m]}
            for m in SUMS
            for k in range(runs.replications)
        ]
        frame = pd.concat([pd.DataFrame(repeated), frame], ignore_index=True)
        frame["period"] = frame["period"].replace(first, first.removesuffix(" (part)"))
    frame = in_order(frame, labels(spec, unit, whole=bool(known)))
    return frame if correction is None else corrected(frame, correction, spec, unit)


def corrected(parts: pd.DataFrame, correction: Correction, spec: ScenarioSpec, unit: str) -> pd.DataFrame:
    """The parts with what is still to come corrected; what is already won stays, and the others keep their shares."""
    periods_, quarters = cut(spec, unit), cut(spec, "quarter")
    place = {name: k for k, label in enumerate(periods_.labels) for name in (label, label.removesuffix(" (part)"))}
    values = parts["value"].to_numpy(dtype=float, copy=True)
    row = parts["replication"].rank(method="dense").to_numpy(dtype=int) - 1
    column = parts["period"].map(place).to_numpy(dtype=int)
    for metric in correction.ratios:
        mine = ((parts["metric"] == metric) & (parts["part"] != PARTS[0])).to_numpy()
        values[mine] *= correction.of(metric, periods_, quarters)[row[mine], column[mine]]
    return parts.assign(value=values)


def labels(spec: ScenarioSpec, unit: str, *, whole: bool) -> list[str]:
    """The names of the periods; `whole`: what was won before the start is known, so that the first one is whole."""
    first, *rest = cut(spec, unit).labels
    return [first.removesuffix(" (part)") if whole else first, *rest]


def in_order(frame: pd.DataFrame, periods_: Sequence[str]) -> pd.DataFrame:
    """Rows by metric, period and part, in the order in which people read them; otherwise as they stand."""
    orders: Mapping[str, Sequence[str]] = {"metric": METRICS, "period": periods_, "part": (*PARTS, TOTAL)}
    ranks = frame[list(orders)].apply(lambda c: c.map(list(orders[str(c.name)]).index))
    sorted_: pd.DataFrame = frame.loc[ranks.sort_values(list(orders), kind="stable").index].reset_index(drop=True)
    return sorted_


def table_of(parts: pd.DataFrame) -> pd.DataFrame:
    """Mean, its interval, standard deviation and quantiles by metric, period and part, with a row for the total."""
    import pandas as pd

    total = parts.groupby(["metric", "period", "replication"], sort=False)["value"].sum().reset_index()
    both = pd.concat([parts, total.assign(part=TOTAL)], ignore_index=True)
    return in_order(summarise(both, ["metric", "period", "part"], QUANTILES), list(dict.fromkeys(parts["period"])))


def timeline(runs: Runs, won: pd.DataFrame | None, correction: Correction | None = None) -> pd.DataFrame:
    """The tables of parts by week, month and quarter in one; `unit` says which."""
    import pandas as pd

    tables = {unit: table_of(parts_of(runs, won, unit, correction=correction)) for unit in UNITS}
    return pd.concat([table.assign(unit=unit) for unit, table in tables.items()], ignore_index=True)[
        ["unit", *tables["quarter"].columns]
    ]


# --- by group ---------------------------------------------------------------------------------------------------------


def check_grouping(scenario: Scenario, by: str) -> None:
    """Raise InputError where a forecast of this scenario can't be grouped so."""
    levels = {name: drawn.levels for name, drawn in scenario.spec.attributes.items()}
    known = groupings({name: tuple(found) if found else None for name, found in levels.items()})
    if by not in known:
        raise InputError(f"--by: {not_among(by, 'grouping of a forecast', known)}")


def groups(
    scenario: Scenario,
    won: pd.DataFrame | None,
    by: str,
    *,
    replications: int,
    seed: int,
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The parts by group: unit, metric, period, group, part (`total` among them), and the columns of a summary.

    `by` is `source`, `member` (who worked on a deal last) or an attribute of categories. What is already won belongs to
    the group that the history names: of sources it knows none. It puts its question to the same replications again.
    """
    import pandas as pd

    read = partial(shares, by=by, units=UNITS)
    found = read_replications(read, scenario, replications, seed=seed, workers=workers, progress=progress)
    tables = []
    for unit in UNITS:
        names = found[0][unit].groups
        values = np.stack([one[unit].values for one in found])  # replications, metrics, parts, groups, periods
        known = _won_by_group(won, scenario.spec, unit, by)
        tables.append(_group_table(values, names, known, scenario.spec, unit, whole=won is not None))
    return pd.concat(tables, ignore_index=True)


def _won_by_group(won: pd.DataFrame | None, spec: ScenarioSpec, unit: str, by: str) -> dict[str, dict[str, float]]:
    """Bookings and wins before the start by group."""
    if won is None:
        return {}
    rows = since(won, spec, unit)
    column = {"member": "owner"}.get(by, by)
    nameless = NOBODY if by == "member" else UNKNOWN
    named = rows[column].fillna(nameless).astype(str) if column in rows else rows["id"].map(lambda _: UNKNOWN)
    sums = rows.groupby(named, sort=False)["value"].agg(["sum", "count"])
    return {str(name): {"bookings": float(s), "wins": float(n)} for name, s, n in sums.itertuples()}


def _group_table(
    values: Floats,
    names: tuple[str, ...],
    known: dict[str, dict[str, float]],
    spec: ScenarioSpec,
    unit: str,
    *,
    whole: bool,
) -> pd.DataFrame:
    """The summary of one unit's periods; groups and parts in which there is nothing at all are left out."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    named = labels(spec, unit, whole=whole and first_day(spec.start, unit, spec.fiscal_year_ends) < spec.start)
    for m, metric in enumerate(METRICS):
        for g, group in enumerate([*names, *(name for name in known if name not in names)]):
            mine = values[:, m, :, g] if g < len(names) else np.zeros((len(values), 2, len(named)))
            before = known.get(group, {}).get(metric, 0.0)
            if not before and not mine.any():
                continue
            for p, period in enumerate(named):
                said = {"unit": unit, "metric": metric, "period": period, "group": group}
                parts = {PARTS[0]: np.full(len(values), before)} if before and p == 0 else {}
                parts |= {PARTS[1]: mine[:, 0, p], PARTS[2]: mine[:, 1, p]}
                parts = {part: v for part, v in parts.items() if part == PARTS[0] or v.any()}
                total = np.sum(list(parts.values()), axis=0) if parts else np.zeros(len(values))
                rows += [said | {"part": part} | summary(v) for part, v in (parts | {TOTAL: total}).items()]
    return pd.DataFrame(rows)


def summary(values: Floats) -> dict[str, float]:
    """Mean, its 90% interval, standard deviation and quantiles of one number a replication."""
    from scipy import stats

    n = len(values)
    mean, sd = float(values.mean()), float(values.std(ddof=1)) if n > 1 else float("nan")
    half = float(stats.t.ppf(0.95, max(n - 1, 1))) * sd / np.sqrt(n)
    found = dict(zip(QUANTILES, np.quantile(values, QUANTILES).tolist(), strict=True))
    return {"mean": mean, "sd": sd, "n": n, "low": mean - half, "high": mean + half} | {
        f"{q:g}": v for q, v in found.items()
    }


# --- up to the quarter's end ------------------------------------------------------------------------------------------


def added_up(runs: Runs, won: pd.DataFrame | None, correction: Correction | None = None) -> pd.DataFrame:
    """The current quarter's bookings, added up from its first day to its last, for a picture.

    Columns: at (a date), known (whether it has happened), and quantiles `0.1` … `0.9` over the replications; what has
    happened is the same in all of them. By week, and at the quarter's end.
    """
    import pandas as pd

    spec = runs.scenario.spec
    first, after = quarter_of(spec.start, spec.fiscal_year_ends)
    start, rows = pd.Timestamp(spec.start), []
    past = won[won["closed"] >= pd.Timestamp(first)] if won is not None else None
    if past is not None:
        days = pd.date_range(pd.Timestamp(first), start, freq="D")
        sums = [float(past.loc[past["closed"] < day, "value"].sum()) for day in days]
        rows += [{"at": day, "known": True} | {f"{q:g}": v for q in BANDS} for day, v in zip(days, sums, strict=True)]
    base = already_won(won, spec).get("bookings", 0.0)
    weeks = cut(spec, "week")
    values = runs.values("bookings", "week").to_numpy().cumsum(axis=1)
    end = (after - spec.start).days
    rows.append({"at": start, "known": False} | {f"{q:g}": base for q in BANDS})
    inside = [k for k, edge in enumerate(weeks.edges[1:]) if edge < end]
    whole = runs.values("bookings", "quarter").iloc[:, 0].to_numpy()
    ratio = np.ones(len(whole)) if correction is None else correction.ratios["bookings"][:, 0]
    for edge, column in [*((float(weeks.edges[k + 1]), values[:, k]) for k in inside), (float(end), whole)]:
        spread = column * ratio + base
        quantiles = dict(zip((f"{q:g}" for q in BANDS), np.quantile(spread, BANDS).tolist(), strict=True))
        rows.append({"at": start + timedelta(days=edge), "known": False} | quantiles)
    return pd.DataFrame(rows)
