"""A forecast as JSON, as a folder of tables and pictures, and as a workbook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfunnel.files import manifest_of
from simfunnel.forecasting.forecast import Forecast
from simfunnel.forecasting.pipeline import coverage_table
from simfunnel.forecasting.windows import is_told, told
from simfunnel.kpis import METRICS
from simfunnel.results import QUANTILES
from simfunnel.runs import plain, tables_of, version, write_tables_and_pictures
from simfunnel.spreadsheets import Sheet, readable, write_book

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TOP = 15  # deals in the picture


def results_json(forecast: Forecast, unit: str = "quarter") -> dict[str, Any]:
    """What `forecast --json` prints: each metric by period and part, by group where asked for, and the coverage."""
    rows = forecast.timeline[forecast.timeline["unit"] == unit].to_dict("records")
    if forecast.groups is not None:
        rows += forecast.groups[forecast.groups["unit"] == unit].to_dict("records")
    results = [
        {name: row[name] for name in ("metric", "period", "group", "part", "mean", "sd") if name in row}
        | {"quantiles": {f"{q:g}": row[f"{q:g}"] for q in QUANTILES}}
        for row in rows
    ]
    said = {
        "scenario": forecast.scenario.name,
        "as_of": forecast.as_of.isoformat(),
        "seed": forecast.runs.seed,
        "replications": forecast.runs.replications,
        "version": version(),
        "target": forecast.target,
        "prob_target": forecast.prob_target(),
        "coverage": [_snake(row) for row in coverage_table(list(forecast.coverage)).to_dict("records")],
        "by": forecast.by,
        "results": results,
        "notes": list(forecast.notes),
    }
    if forecast.categories is not None:
        said["categories"] = [_snake(row) for row in forecast.categories.to_dict("records")]
    return dict(plain(said))


def _snake(row: Any) -> dict[str, Any]:
    return {str(k).replace(" ", "_"): v for k, v in row.items()}


def write_forecast(forecast: Forecast, folder: Path) -> Path:
    """Write the folder of a forecast: totals and parts, each open deal's chance, pictures, and the scenario."""
    extra = {
        "groups": forecast.groups,
        "coverage": coverage_table(list(forecast.coverage)) if forecast.coverage else None,
        "categories": forecast.categories,
    }
    return write_tables_and_pictures(
        folder,
        tables={
            **_tables_of_runs(forecast),
            "forecast": forecast.table,
            "timeline": forecast.timeline,
            "parts": forecast.parts,
            "deals": forecast.deals,
            **{name: table for name, table in extra.items() if table is not None},
        },
        figures=pictures(forecast),
        manifest=manifest_of(forecast.runs, "forecast")
        | {"as_of": forecast.as_of.isoformat(), "notes": list(forecast.notes)},
        texts={"scenario.yaml": forecast.scenario.to_yaml()},
    )


def _tables_of_runs(forecast: Forecast) -> dict[str, pd.DataFrame]:
    """The tables of the simulation, but its funnel, which counts those who come into a stage.

    Today's open deals are in theirs already, so it would tell of their wins and not of them; and most new deals are
    under way when the forecast ends.
    """
    found = {name: table for name, table in tables_of(forecast.runs).items() if name != "funnel"}
    return {name: told(table, valued=forecast.valued) for name, table in found.items()}


def pictures(forecast: Forecast) -> dict[str, Figure]:
    """The pictures of a forecast, by name: metrics by part, the quarter added up, the deals to expect most of, teams.

    The simulation's other pictures would stand beside those of the forecast, which is pooled, and say something else.
    """
    from simfunnel import plots

    currency = forecast.scenario.spec.currency
    note = f"as of {forecast.as_of} · {forecast.runs.replications} replications, seed {forecast.runs.seed}"
    figures = {
        f"forecast-{metric}": plots.forecast(
            forecast.parts[forecast.parts["metric"] == metric],
            target=forecast.target if metric == "bookings" else None,
            currency=currency,
            metric=metric,
            note=note,
        )
        for metric in ("bookings", "wins", "pipeline_value")
        if is_told(metric, valued=forecast.valued)
    }
    if forecast.valued:
        figures |= _of_money(forecast, currency, note)
    return figures | ({"teams": forecast.runs.plot.teams()} if forecast.scenario.spec.teams else {})


def _of_money(forecast: Forecast, currency: str, note: str) -> dict[str, Figure]:
    """The quarter's bookings added up, and the deals to expect most of."""
    from simfunnel import plots

    figures = {}
    period = str(forecast.parts["period"].iloc[0])
    figures["forecast-quarter"] = plots.quarter(
        forecast.added_up,
        period=period,
        replications=forecast.runs.replications,
        target=forecast.target,
        currency=currency,
        note=note,
    )
    if len(forecast.deals):
        figures["forecast-deals"] = plots.deals(forecast.deals.head(TOP), currency=currency, note=note)
    return figures


# --- a workbook -------------------------------------------------------------------------------------------------------


def write_forecast_book(forecast: Forecast, path: Path | str) -> Path:
    """Write a forecast as an Excel file: a summary first, then periods, groups, coverage, categories and deals.

    Raises:
        InputError: where the name is no Excel file's, or openpyxl is missing.
        RunError: where the disk refuses.
    """
    sheets = [_summary(forecast)]
    for unit in ("quarter", "month", "week"):
        rows = forecast.timeline[forecast.timeline["unit"] == unit]
        sheets.append(_summaries(f"by {unit}", rows))
    if forecast.groups is not None:
        rows = forecast.groups[forecast.groups["unit"] != "week"]  # a sheet to read, not to scroll; the folder has all
        sheets.append(_summaries(f"by {forecast.by}", rows, keep_unit=True))
    if forecast.coverage:
        table = coverage_table(list(forecast.coverage))
        units = dict.fromkeys((str(c) for c in table.columns[1:]), "money")
        shares = dict.fromkeys(("chance of the target", "wanted chance"), "share")
        ratios = dict.fromkeys(("coverage", "coverage needed"), "count")
        sheets.append(Sheet("coverage", table, units | shares | ratios))
    if forecast.categories is not None:
        money = {str(c): "money" for c in forecast.categories.columns[2:]}
        sheets.append(Sheet("categories", forecast.categories, money))
    sheets.append(_deal_sheet(forecast))
    return write_book(sheets, path, forecast.scenario.spec.currency)


def _summary(forecast: Forecast) -> Sheet:
    """The totals by quarter, with what the forecast is of, in lines above."""
    total = forecast.table[forecast.table["part"] == "total"].drop(columns=["part", "n", "low", "high"])
    lines = [
        f"Forecast of {forecast.scenario.name} as of {forecast.as_of}",
        f"{forecast.runs.replications} replications, seed {forecast.runs.seed}"
        + (f"; money in {forecast.scenario.spec.currency}" if forecast.valued else ""),
        *(
            f"Chance that {period} bookings reach {forecast.target:,.0f}: {chance:.0%}"
            for period, chance in forecast.prob_target().items()
        ),
        *(c.words(forecast.scenario.spec.currency) + "." for c in forecast.coverage),
        *(f"Note: {note}." for note in forecast.notes),
        "",
    ]
    return _of_metrics("summary", total, tuple(lines))


def _summaries(name: str, rows: pd.DataFrame, *, keep_unit: bool = False) -> Sheet:
    return _of_metrics(name, rows.drop(columns=["n"] if keep_unit else ["n", "unit"]))


def _of_metrics(name: str, rows: pd.DataFrame, lines: tuple[str, ...] = ()) -> Sheet:
    """A sheet of a summary; the unit of a row is its metric's."""
    kinds = ["count" if METRICS[metric].unit == "prospects" else METRICS[metric].unit for metric in rows["metric"]]
    table = readable(rows.assign(metric=rows["metric"].str.replace("_", " ")))
    numbers = [str(c) for c in table.columns if c not in ("unit", "metric", "period", "group", "part")]
    return Sheet(name, table, dict.fromkeys(numbers, kinds), lines)


def _deal_sheet(forecast: Forecast) -> Sheet:
    columns = [str(c) for c in forecast.deals.columns]
    units = {c: "share" for c in columns if c.startswith("won ")}
    units |= {c: "money" for c in columns if c == "value" or c.startswith("expected ")}
    return Sheet("open deals", forecast.deals.rename(columns={"age": "age (days)"}), units | {"age (days)": "days"})
