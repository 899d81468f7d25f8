"""What if: the difference that a change makes, on the same luck.

Both scenarios run under the same seed, replication by replication, and every draw belongs to its prospect; so a paired
difference shows the change and little of the luck.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simfunnel import kpis
from simfunnel.errors import InputError, not_among
from simfunnel.files import manifest_of
from simfunnel.replicate import Progress, outcomes, run
from simfunnel.results import UNITS, Outcome, Runs, gather
from simfunnel.runs import plain, version, write_tables_and_pictures
from simfunnel.scenario import Scenario
from simfunnel.scenario.worth import counts_ones
from simfunnel.units import Span

if TYPE_CHECKING:
    import pandas as pd

DRAWN = ("bookings", "wins", "profit", "utilisation", "wait")
LEVEL = 0.90
MOST = 10_000
"""Replications after which a comparison that was asked for a precision stops, reached or not."""


@dataclass(frozen=True)
class Comparison:
    """Alternatives against a baseline.

    `table` has a row for each alternative, metric and period: the means of both, their paired `difference` with the 90%
    interval `low` to `high` of its mean, and `prob_better`, the share of replications in which the alternative is
    better (ties count half; NaN for metrics of which neither more nor less is better).
    """

    baseline: Runs
    alternatives: Mapping[str, Runs]
    table: pd.DataFrame
    reached: bool | None = None
    """Whether the precision that was asked for was reached; None where none was asked for."""


def compare(
    baseline: Scenario,
    *alternatives: Scenario,
    replications: int = 100,
    seed: int = 1,
    workers: int = 1,
    precision: float | None = None,
    measure: str = "bookings",
    unit: str = "quarter",
    progress: Progress | None = None,
) -> Comparison:
    """Compare alternatives with a baseline on the same luck.

    With `precision`, go on in batches of `replications` until the 90% interval of every alternative's difference in
    `measure`, over the whole horizon, is at most so wide on either side, as a share of the baseline's mean (or until
    10,000 replications). Raises InputError where the scenarios can't be compared.
    """
    if not alternatives:
        raise InputError("a comparison needs at least one alternative")
    if measure not in kpis.METRICS:
        raise InputError(not_among(measure, "metric", kpis.METRICS))
    if precision is not None and not 0 < precision < 1:
        raise InputError(f"a precision must lie between 0% and 100%, not {precision:.0%}")
    names = _names([baseline, *alternatives])
    for name, other in zip(names[1:], alternatives, strict=True):
        _comparable(baseline, other, name)
    scenarios = dict(zip(names, [baseline, *alternatives], strict=True))
    if precision is None:
        told = _Steps(progress, replications * len(scenarios))
        runs = {
            name: run(scenario, replications, seed=seed, workers=workers, progress=told.next)
            for name, scenario in scenarios.items()
        }
        fewest = min(r.replications for r in runs.values())
        reached = None
        if fewest < replications:
            raise KeyboardInterrupt
    else:
        runs, reached = _until_precise(scenarios, replications, seed, workers, precision, measure, progress)
    base = runs.pop(names[0])
    return Comparison(base, runs, differences(base, runs, unit), reached)


class _Steps:
    """Counts the replications of several scenarios as one."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress = progress
        self.total = total
        self.done = 0

    def next(self, _done: int, _of: int) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)


def _until_precise(
    scenarios: Mapping[str, Scenario],
    batch: int,
    seed: int,
    workers: int,
    precision: float,
    measure: str,
    progress: Progress | None,
) -> tuple[dict[str, Runs], bool]:
    done: dict[str, list[Outcome]] = {name: [] for name in scenarios}
    batch = max(batch, 10)
    while True:
        count = len(next(iter(done.values())))
        for name, scenario in scenarios.items():
            for outcome in outcomes(scenario, range(count, count + batch), seed=seed, workers=workers):
                done[name].append(outcome)
                if progress:
                    progress(sum(map(len, done.values())), len(scenarios) * (count + batch))
        runs = {name: gather(scenarios[name], seed, found) for name, found in done.items()}
        base, *others = runs.values()
        wanted = precision * abs(float(base.values(measure, "all").mean().iloc[0]))
        table = differences(base, dict(enumerate(others)), "all", [measure])
        if bool(((table["high"] - table["low"]) / 2 <= wanted).all()):
            return runs, True
        if count + batch >= MOST:
            return runs, False


def differences(
    baseline: Runs,
    alternatives: Mapping[str, Runs] | Mapping[int, Runs],
    unit: str,
    metrics: Iterable[str] | None = None,
) -> pd.DataFrame:
    """The table of a `Comparison`."""
    import pandas as pd
    from scipy import stats

    rows = []
    for name, other in alternatives.items():
        for metric in list(kpis.METRICS) if metrics is None else metrics:
            before, after = baseline.values(metric, unit), other.values(metric, unit)
            better = kpis.METRICS[metric].better
            for period in before.columns:
                change = (after[period] - before[period]).dropna().to_numpy()
                n = len(change)
                mean = float(change.mean()) if n else np.nan
                half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * change.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
                won = (np.sign(change) * better + 1) / 2
                rows.append(
                    {
                        "alternative": name,
                        "metric": metric,
                        "period": period,
                        "baseline": before[period].mean(),
                        "mean": after[period].mean(),
                        "difference": mean,
                        "low": mean - half,
                        "high": mean + half,
                        "prob_better": float(won.mean()) if n and better else np.nan,
                        "n": n,
                    }
                )
    return pd.DataFrame(rows)


def _names(scenarios: list[Scenario]) -> list[str]:
    """The scenarios' names, numbered where two are the same."""
    names: list[str] = []
    for scenario in scenarios:
        name, k = scenario.name, 2
        while name in names:
            name, k = f"{scenario.name} ({k})", k + 1
        names.append(name)
    return names


def _in_words(scenario: Scenario, key: str) -> str:
    """What a scenario says of a key; lengths of time in days, however they are written."""
    said = getattr(scenario.spec, key)
    return f"{said.days_from(scenario.spec.start):g} days" if isinstance(said, Span) else str(said)


def _comparable(baseline: Scenario, other: Scenario, name: str) -> None:
    for key in ("start", "horizon", "warm_up", "currency", "fiscal_year_ends"):
        ours, theirs = (_in_words(scenario, key) for scenario in (baseline, other))
        if ours != theirs:
            raise InputError(f"'{name}' can't be compared with '{baseline.name}': its {key} is {theirs}, not {ours}")


# --- results ----------------------------------------------------------------------------------------------------------


def results_json(comparison: Comparison) -> dict[str, Any]:
    """What `compare --json` prints: for each alternative, metric and period the paired difference."""
    base = comparison.baseline
    results = [
        {
            "metric": row["metric"],
            "period": row["period"],
            "baseline": base.scenario.name,
            "alternative": row["alternative"],
            "mean_baseline": row["baseline"],
            "mean": row["mean"],
            "difference": row["difference"],
            "low": row["low"],
            "high": row["high"],
            "prob_better": row["prob_better"],
        }
        for row in comparison.table.to_dict("records")
    ]
    said = {
        "scenario": base.scenario.name,
        "seed": base.seed,
        "replications": base.replications,
        "version": version(),
        "precision_reached": comparison.reached,
        "results": results,
    }
    return dict(plain(said))


def write_comparison(
    comparison: Comparison, folder: Path, *, command: str, metrics: Iterable[str] | None = None
) -> Path:
    """Write the folder of a comparison: the table, the quantiles of each scenario, one picture, and the scenarios."""
    import pandas as pd

    from simfunnel import plots

    base = comparison.baseline
    every = {base.scenario.name: base, **comparison.alternatives}
    left_out = kpis.OF_VALUES if all(counts_ones(runs.scenario.spec) for runs in every.values()) else ()
    shown = list(metrics or (m for m in DRAWN if m not in left_out))
    drawn = comparison.table[comparison.table["metric"].isin(shown)].rename(columns={"alternative": "strategy"})
    picture = plots.comparison(
        drawn,
        currency=base.scenario.spec.currency,
        baseline=base.scenario.name,
        note=f"{base.replications} replications of each on the same luck, seed {base.seed}",
    )
    summaries = [runs.summary(unit).assign(scenario=name, unit=unit) for name, runs in every.items() for unit in UNITS]
    return write_tables_and_pictures(
        folder,
        tables={"differences": comparison.table, "summary": pd.concat(summaries, ignore_index=True)},
        figures={"comparison": picture},
        manifest=manifest_of(base, command) | {"digests": {n: r.scenario.digest for n, r in every.items()}},
        texts={
            f"scenarios/{k} {_file_name(name)}.yaml": r.scenario.to_yaml() for k, (name, r) in enumerate(every.items())
        },
    )


def _file_name(name: str) -> str:
    """A scenario's name without what a file's name can't hold."""
    return "".join(c if c.isalnum() or c in " -_" else "_" for c in name).strip()[:60]
