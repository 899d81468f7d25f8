"""What the command line shows of forecasts and bridges. No numbers are made here."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from simfunnel.cli.screens import console
from simfunnel.forecasting.bridging import Bridge, rounded_steps
from simfunnel.forecasting.forecast import Forecast
from simfunnel.formatting import count, figure, money, share, signed
from simfunnel.kpis import METRICS

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

MOST_DEALS = 10
SHORT = ("bookings", "wins", "pipeline_value", "open_deals")
_ROW = Mapping[Hashable, Any]


def show_forecast(forecast: Forecast, unit: str = "quarter") -> None:
    """Metrics by period and part, groups, the target with its coverage, categories, and the largest deals."""
    out = console()
    spec = forecast.scenario.spec
    out.print(
        f"\nForecast as of {forecast.as_of}: {forecast.runs.replications} replications, seed "
        f"{forecast.runs.seed}. {_what_is_shown(forecast, unit)}"
    )
    out.print(_by_period(forecast.timeline[forecast.timeline["unit"] == unit], unit))
    if forecast.groups is not None:
        rows = forecast.groups[(forecast.groups["unit"] == unit) & forecast.groups["metric"].isin(("bookings", "wins"))]
        out.print(_by_group(rows, unit, str(forecast.by)))
    if forecast.categories is not None:
        out.print(f"The sellers' own categories; the forecast of {_first_band(forecast.table)}")
        out.print(_by_category(forecast.categories))
    if len(forecast.deals):
        out.print(_largest(forecast.deals))
    for period, chance in forecast.prob_target().items():
        out.print(f"P({period} bookings reach {money(forecast.target or 0.0, spec.currency)}) = {share(chance)}")
    for entry in forecast.coverage:
        out.print(f"{entry.words(spec.currency)}.")
    if any(entry.gap and entry.hangs_on_pipeline for entry in forecast.coverage):
        out.print(
            "(Coverage assumes the same mix and luck of deals in a larger pipeline, and sellers with time for it.)"
        )
    for note in forecast.notes:
        out.print(f"Note: {note}.")


def _what_is_shown(forecast: Forecast, unit: str) -> str:
    if not forecast.valued:
        return f"Open deals are those at each {unit}'s end."
    return f"Money in {forecast.scenario.spec.currency}; the pipeline is that at each {unit}'s end."


def _table(*names: str, title: str | None = None, words: int = 1) -> Table:
    """A table whose first columns hold words, the others figures."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for k, name in enumerate(names):
        table.add_column(name, justify="left" if k < words else "right", no_wrap=name == "deal")
    return table


def _cells(row: _ROW) -> list[str]:
    unit = METRICS[row["metric"]].unit
    return [figure(row[q], unit) for q in ("mean", "0.1", "0.5", "0.9")]


def _by_period(rows: pd.DataFrame, unit: str) -> Table:
    table = _table("", unit, "part", "mean", "P10 (low)", "P50", "P90 (high)", words=3)
    many = rows["period"].nunique() > 4  # then totals alone
    for row in rows.to_dict("records"):
        if many and row["part"] != "total":
            continue
        style = "bold" if row["part"] == "total" and not many else None
        table.add_row(row["metric"].replace("_", " "), row["period"], row["part"], *_cells(row), style=style)
    return table


def _by_group(rows: pd.DataFrame, unit: str, by: str) -> Table:
    """One row a metric, period and group: the means of its parts and the band of its total."""
    names = ("", unit, by, "already won", "open deals", "not yet created", "total, mean", "P10 (low)", "P90 (high)")
    table = _table(*names, title=f"By {by}: means by part", words=3)
    for (metric, period, group), mine in rows.groupby(["metric", "period", "group"], sort=False):
        of = METRICS[str(metric)].unit
        means = mine.set_index("part")
        parts = [figure(_cell(means, p, "mean"), of) for p in ("already won", "open deals", "not yet created")]
        total = [figure(_cell(means, "total", q), of) for q in ("mean", "0.1", "0.9")]
        table.add_row(str(metric), str(period), str(group), *parts, *total)
    return table


def _cell(rows: pd.DataFrame, part: str, column: str) -> float:
    return float(rows[column].to_dict().get(part, 0.0))


def _first_band(totals: pd.DataFrame) -> str:
    """The first quarter's bookings: P10, P50, P90."""
    first = totals[(totals["metric"] == "bookings") & (totals["part"] == "total")].iloc[0]
    band = ", ".join(f"P{float(q) * 100:.0f} {money(first[q])}" for q in ("0.1", "0.5", "0.9"))
    return f"{first['period']}: {band}"


def _by_category(categories: pd.DataFrame) -> Table:
    *_, cumulated, expected = map(str, categories.columns)
    table = _table("category", "deals", "value", cumulated, expected)
    for row in categories.to_dict("records"):
        money_cells = [money(row[name]) for name in ("value", cumulated, expected)]
        table.add_row(str(row["category"]), f"{row['deals']:,}", *money_cells)
    return table


def _largest(deals: pd.DataFrame) -> Table:
    columns = [str(c) for c in deals.columns]
    expected, chances = ([c for c in columns if c.startswith(of)] for of in ("expected in ", "won "))
    shorter = [c.replace("won by end of ", "by end of ").replace("won in ", "in ") for c in chances]
    shown = deals.head(MOST_DEALS)
    title = (
        f"Open deals of which most is expected: {len(shown)} of {len(deals):,}; the chances to be won, and when if so"
        if expected
        else f"Open deals, the likeliest first: {len(shown)} of {len(deals):,}; the chances to be won, and when if so"
    )
    worth = ["value", *expected] if expected else []  # none where no values are known
    words = ["deal", *(name for name in ("stage", "member") if shown[name].nunique() > 1)]
    names = (*words, "days", *(name.replace("expected in", "exp.") for name in worth), *shorter)
    table = _table(*names, title=title, words=len(words))
    table.add_column("date: P10 – P50 – P90", no_wrap=True)
    for row in shown.to_dict("records"):
        figures = [
            count(round(row["age"])),
            *(money(row[name]) for name in worth),
            *(share(row[c]) for c in chances),
        ]
        table.add_row(*(str(row[name]) for name in words), *figures, _dates(row))
    return table


def _dates(row: _ROW) -> str:
    """The band of a deal's date, the year once: `2026-09-01 – 09-17 – 10-02`."""
    first, *others = (row[f"date P{q}"] for q in (10, 50, 90))
    if first is None:
        return "never in this time"
    texts = [str(first), *(f"{d:%m-%d}" if d.year == first.year else str(d) for d in others)]
    return " – ".join(texts)


# --- bridge -----------------------------------------------------------------------------------------------------------


def show_bridge(bridge: Bridge) -> None:
    """The steps from one forecast to the other, and the deals that changed it most."""
    out = console()
    out.print(
        f"\nBridge of the bookings of {bridge.period}, from the forecast as of {bridge.since} to that as of "
        f"{bridge.until}: {bridge.replications} replications on the same draws, seed {bridge.seed}. "
        f"Money in {bridge.currency}; ± one standard error of the simulation."
    )
    names = ["", "deals", "expected bookings", "±", "P50"]
    aim = bridge.target
    table = _table(*names, *([f"P(reach {money(aim)})"] if aim is not None else []))
    for row, rounded in zip(bridge.table.to_dict("records"), rounded_steps(bridge.table), strict=True):
        ends = row["step"] in ("before", "after")
        name = {"before": f"forecast as of {bridge.since}", "after": f"forecast as of {bridge.until}"}
        cells = [_exact(rounded, signed_=not ends), _exact(row["se"]) if row["se"] == row["se"] else "–"]
        cells.append(money(row["p50"]) if ends else _change(row["p50_change"], "money"))
        if aim is not None:
            cells.append(share(row["chance"]) if ends else _change(row["chance_change"], "share"))
        deals = "" if row["deals"] is None or str(row["deals"]) == "<NA>" else f"{row['deals']:,}"
        table.add_row(name.get(row["step"], row["step"]), deals, *cells, style="bold" if ends else None)
    out.print(table)
    out.print(_deals(bridge))
    out.print(
        "The order of the steps is that of the table. Won, lost and new deals count against what had been expected of "
        "them;\ntime passed: deals that stand where they stood, and did not close."
    )
    for note in bridge.notes:
        out.print(f"Note: {note}.")


def _exact(amount: float, *, signed_: bool = False) -> str:
    return f"{amount:+,.0f}" if signed_ and amount else f"{amount:,.0f}"


def _change(amount: float, unit: str) -> str:
    return signed(amount, unit) if amount else "0"


def _deals(bridge: Bridge) -> Table:
    changed = bridge.deals[(bridge.deals["change"] != 0) & (bridge.deals["what"] != "")]
    shown = changed.head(MOST_DEALS)
    names = ("deal", "what", "stage", "value", "expected before", "expected after", "change")
    table = _table(*names, title=f"Deals that changed it most: {len(shown)} of {len(changed):,}", words=3)
    for row in shown.to_dict("records"):
        stages = [s for s in dict.fromkeys((row["stage_before"], row["stage_after"])) if s]
        values = [money(v) for v in dict.fromkeys((row["value_before"], row["value_after"])) if v == v]
        expected = [money(row["expected_before"]), money(row["expected_after"]), signed(row["change"], "money")]
        table.add_row(row["deal"], row["what"], " -> ".join(stages), " -> ".join(values) or "–", *expected)
    return table
