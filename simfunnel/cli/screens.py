"""What the command line shows: tables, progress and words. No numbers are made here."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from simfunnel import kpis
from simfunnel.formatting import figure, hours, share, signed
from simfunnel.replicate import Progress
from simfunnel.results import Runs, summarise
from simfunnel.scenario.worth import counts_ones

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from simfunnel.backtesting.backtest import Backtest
    from simfunnel.comparison import Comparison
    from simfunnel.verifying import Verification

WIDE = 130  # columns to use where there is no terminal to ask
FIRST = (
    "bookings",
    "wins",
    "win_rate",
    "prospects",
    "open_deals",
    "pipeline_value",
    "revenue",
    "cash",
    "cost",
    "profit",
)
OF_GROUPS = ("prospects", "wins", "win_rate", "bookings")
MOST_GROUPS = 20  # on the screen; the folder has all


def console() -> Console:
    """The console of results, on standard output."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, markup=False, emoji=False)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A bar on standard error, or a line for each tenth where that is no terminal."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, of: bar.update(task, completed=done, total=of)
        return
    begun = time.monotonic()
    said = 0

    def tell(done: int, of: int) -> None:
        nonlocal said
        tenth = 10 * done // of
        if tenth > said:
            said = tenth
            print(f"{what}: {done} of {of} ({time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)

    yield tell


def metrics_worth_showing(runs: Runs) -> list[str]:
    """The metrics that say something of this scenario: not those that are zero or undefined throughout.

    But that nothing is won or booked, where it could be, is said. Amounts that would only count deals are left out.
    """
    left_out = kpis.OF_VALUES if counts_ones(runs.scenario.spec) else ()
    worth = _said(runs.kpis[runs.kpis.unit == "all"], FIRST)
    stages = runs.scenario.spec.stages.values()
    asked = {"wins": any(stage.is_customer for stage in stages), "bookings": any(stage.books for stage in stages)}
    worth = [m for m in dict.fromkeys((*FIRST, *kpis.METRICS)) if m in worth or asked.get(m)]
    same = runs.values("revenue", "all").equals(runs.values("bookings", "all"))
    return [m for m in worth if not (m == "revenue" and same) and m not in left_out]


def _said(rows: pd.DataFrame, first: Sequence[str]) -> list[str]:
    """The metrics in these rows that aren't zero or undefined throughout: the first ones first."""
    largest = rows.groupby("metric")["value"].agg(lambda v: v.abs().max())
    return [m for m in dict.fromkeys((*first, *kpis.METRICS)) if largest.get(m, 0) > 0]


def show_runs(runs: Runs, unit: str = "quarter", by: str | None = None) -> None:
    """The metrics by period: P50 (P10 – P90); then by group, where they were grouped by something; then the teams."""
    from rich.table import Table

    out = console()
    currency = runs.scenario.spec.currency
    title = f"{runs.scenario.name}: {runs.replications} replications, seed {runs.seed}"
    out.print(f"\n{title}", style="bold")
    out.print(f"Each cell: P50, the median (P10, low – P90, high). {_of_money(currency, runs)}")
    summary = runs.summary(unit)
    labels = list(dict.fromkeys(summary["period"]))
    rows = {(row["metric"], row["period"]): row for row in summary.to_dict("records")}
    worth = metrics_worth_showing(runs)
    for first in range(0, len(labels), 4):
        part = labels[first : first + 4]
        table = Table("", *part)
        for metric in worth:
            table.add_row(metric.replace("_", " "), *(_band(rows[metric, period], metric) for period in part))
        out.print(table)
    if by and runs.grouped is not None:
        grouped = runs.grouped
        if counts_ones(runs.scenario.spec):
            grouped = grouped[~grouped["metric"].isin(kpis.OF_VALUES)]
        show_groups(grouped, by)
    show_teams(runs)


def _of_money(currency: str, *several: Runs) -> str:
    """In what money is told, or why some is not."""
    if all(counts_ones(runs.scenario.spec) for runs in several):
        return f"Deals have no values: of money only costs are told, in {currency}."
    return f"Money in {currency}."


def _band(row: Mapping[Hashable, Any], metric: str) -> str:
    low, middle, high = (figure(float(row[q]), kpis.METRICS[metric].unit) for q in ("0.1", "0.5", "0.9"))
    return f"{middle} ({low} – {high})"


def show_groups(grouped: pd.DataFrame, by: str) -> None:
    """The main metrics of each group, all periods together: mean (P10 – P90). Of many groups those that have most."""
    from rich.table import Table

    rows = grouped[grouped["unit"] == "all"]
    metrics = _said(rows, (*OF_GROUPS, *FIRST))[: len(OF_GROUPS)]
    if not metrics:
        return
    found = {(row["group"], row["metric"]): row for row in summarise(rows, ["group", "metric"]).to_dict("records")}
    groups = list(dict.fromkeys(rows["group"]))
    title = f"By {by}, all periods together: mean (P10 – P90)"
    if len(groups) > MOST_GROUPS:
        title += f"; {MOST_GROUPS} of {len(groups)} groups, those with most {metrics[-1].replace('_', ' ')}"
        sums = rows[rows["metric"] == metrics[-1]].groupby("group", sort=False)["value"].sum()
        most = set(sums.nlargest(MOST_GROUPS).index)
        groups = [group for group in groups if group in most]
    table = Table(by, title=title)
    for metric in metrics:
        table.add_column(metric.replace("_", " "), justify="right")
    for group in groups:
        table.add_row(str(group), *(_mean_band(found[group, metric], metric) for metric in metrics))
    console().print(table)


def _mean_band(row: Mapping[Hashable, Any], metric: str) -> str:
    mean, low, high = (figure(float(row[q]), kpis.METRICS[metric].unit) for q in ("mean", "0.1", "0.9"))
    return mean if mean == low == high else f"{mean} ({low} – {high})"


def show_teams(runs: Runs) -> None:
    """Each team's utilisation and queue, means over the replications, and which one holds the funnel up."""
    from rich.table import Table

    if runs.queues.empty:
        return
    means = runs.queues.drop(columns="replication").groupby("team", sort=False).mean().reset_index().to_dict("records")
    table = Table("team", "utilisation", "waited at all", "mean wait", "in the queue", "reneged")
    for row in means:
        figures = (share(row["utilisation"]), share(row["waited"]), hours(24 * row["mean_wait"]))
        table.add_row(row["team"], *figures, figure(row["queue_length"], "prospects"), share(row["reneged"]))
    out = console()
    out.print(table)
    for row in means:
        if row["utilisation"] != row["utilisation"] and row["queue_length"] > 0:
            out.print(f"Nobody works in {row['team']}, and {figure(row['queue_length'], 'prospects')} wait there.")
    tightest = max(means, key=lambda row: row["utilisation"] if row["utilisation"] == row["utilisation"] else 0.0)
    if tightest["utilisation"] > 0.9:
        busy = share(tightest["utilisation"])
        out.print(f"The bottleneck is {tightest['team']}: {busy} of its hours are taken.")


def show_comparison(comparison: Comparison, metrics: list[str] | None = None) -> None:
    """Paired differences with their intervals, a table for each alternative."""
    from rich.table import Table

    out = console()
    base = comparison.baseline
    currency = base.scenario.spec.currency
    worth = {m for runs in (base, *comparison.alternatives.values()) for m in metrics_worth_showing(runs)}
    shown = metrics or worth
    out.print(
        f"\nAgainst {base.scenario.name}: {base.replications} replications on the same luck, "
        f"seed {base.seed}. {_of_money(currency, base, *comparison.alternatives.values())}\n"
        f"P(better) is the share of replications in which the alternative is better."
    )
    for name, rows in comparison.table.groupby("alternative", sort=False):
        table = Table(
            "metric",
            "period",
            "baseline",
            "alternative",
            "difference",
            "90% interval of it",
            "P(better)",
            title=str(name),
        )
        for row in rows[rows.metric.isin(shown)].to_dict("records"):
            unit = kpis.METRICS[row["metric"]].unit
            interval = f"{signed(row['low'], unit)} to {signed(row['high'], unit)}"
            means = (figure(row["baseline"], unit), figure(row["mean"], unit), signed(row["difference"], unit))
            table.add_row(row["metric"].replace("_", " "), row["period"], *means, interval, share(row["prob_better"]))
        out.print(table)
    if comparison.reached is False:
        out.print("The precision that was asked for was not reached.")


def show_backtest(found: Backtest) -> None:
    """One page: scores by window and by weeks to a quarter's end, single deals' chances, and the calibration."""
    from rich.table import Table

    out = console()
    out.print(
        f"\nBacktest of {found.name}: {len(found.dates)} dates from {found.dates[0]} to {found.dates[-1]}, data to "
        f"{found.last}; {found.replications} replications, seed {found.seed}."
        + (f" Money in {found.currency}." if found.valued else "")
    )
    out.print(
        "CRPS: how far forecasts lay from what came; less is better. Skill: how much less than the best baseline's."
    )
    methods = list(dict.fromkeys(found.scores["method"]))
    table = Table(title="CRPS by method")
    for name in ("", "window", "dates", "came"):
        table.add_column(name, no_wrap=True)
    for name in (*methods, "skill (90%)"):
        table.add_column(name.replace("-", " "), justify="right", min_width=5)
    for row, crps in _by_method(found.scores):
        unit = kpis.METRICS[row["metric"]].unit
        cells = [figure(crps[m], unit) + ("*" if m == row["best"] else "") for m in methods]
        first = (row["metric"], row["window"], str(row["dates"]), figure(row["observed"], unit))
        sure = f"{row['skill']:+.0%} ({100 * row['skill_low']:+.0f} to {100 * row['skill_high']:+.0f})"
        table.add_row(*first, *cells, sure)
    out.print(table)
    out.print(
        "* the best baseline over these dates. simfunnel: the simulation pooled with the baselines, each by its "
        "record, and widened, as the dates before taught"
    )
    out.print(_quality(found.scores, "Forecasts of simfunnel by window"))
    if len(found.by_weeks):
        out.print(_quality(found.by_weeks, "The same of quarters, by weeks to the quarter's end"))
    if len(found.brier):
        table = Table(
            "window", "method", title="Chances of single deals to be won in a window (skill: on the base rate)"
        )
        for name in ("chances", "Brier", "skill", "reliability", "resolution"):
            table.add_column(name, justify="right")
        for row in found.brier.to_dict("records"):
            parts = [f"{row[name]:.4f}" for name in ("reliability", "resolution")]
            table.add_row(
                row["window"], row["method"], f"{row['cases']:,}", f"{row['score']:.4f}", f"{row['skill']:+.1%}", *parts
            )
        out.print(table)
    for sentence in (*found.calibration.sentences(), *found.notes):
        out.print(f"{sentence[0].upper()}{sentence[1:]}.")


def _by_method(scores: pd.DataFrame) -> Iterator[tuple[dict[Hashable, Any], dict[str, float]]]:
    """Our row of each group of scores, and the CRPS of every method in it."""
    for _, group in scores.groupby(["metric", "window"], sort=False):
        yield group.iloc[0].to_dict(), dict(zip(group["method"], group["crps"], strict=True))


def _quality(scores: pd.DataFrame, title: str) -> Any:
    """Coverage, bias and size of errors of our forecasts."""
    from rich.table import Table

    table = Table("", "window", "dates", "CRPS", title=title)
    table.add_column("best baseline", no_wrap=True)
    table.add_column("skill", justify="right")
    for name in ("50% held", "80% held", "90% held", "bias", "WAPE"):
        table.add_column(name, justify="right")
    for row, crps in _by_method(scores):
        unit = kpis.METRICS[row["metric"]].unit
        best = f"{row['best']} {figure(crps[row['best']], unit)}"
        held = [share(row[f"cover_{level}"]) for level in (50, 80, 90)]
        table.add_row(
            row["metric"],
            row["window"],
            str(row["dates"]),
            figure(row["crps"], unit),
            best,
            f"{row['skill']:+.0%}",
            *held,
            f"{row['bias']:+.1%}",
            share(row["wape"]),
        )
    return table


def show_verification(found: Verification) -> None:
    """Known answers beside their estimates, and the verdict in words."""
    from rich.table import Table

    from simfunnel.verifying import words_of

    out = console()
    title = f"Known answers on the {found.engine} engine, seed {found.seed}" + (", quick" if found.quick else "")
    table = Table("case", "quantity", title=title)
    for name in ("exact", "estimate", "SE", "z", "n"):
        table.add_column(name, justify="right")
    for answer in found.answers:
        check, estimate = answer.check, answer.estimate
        figures = (f"{check.exact:.6f}", f"{estimate.mean:.6f}", f"{estimate.se:.2g}", f"{answer.z:+.2f}")
        style = "bold red" if answer.fault else None
        table.add_row(check.case, check.what, *figures, f"{estimate.n}", style=style)
    out.print(table)
    for words in words_of(found):
        out.print(words)


def show_frame(frame: pd.DataFrame, title: str) -> None:
    """A table of texts and numbers as it is; a dash where there is no number."""
    from rich.table import Table

    def cell(x: object) -> str:
        if not isinstance(x, float):
            return str(x)
        return "–" if math.isnan(x) else f"{x:,.4g}"

    table = Table(*map(str, frame.columns), title=title)
    for row in frame.itertuples(index=False):
        table.add_row(*map(cell, row))
    console().print(table)
