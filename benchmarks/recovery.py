"""Truth recovery: histories simulated from known scenarios, fitted and forecast; do intervals hold what they say?

python benchmarks/recovery.py                     all worlds, 24 histories each; writes RECOVERY.md
python benchmarks/recovery.py --only plain -k 4   one of them, four histories; RECOVERY.md is left as it is

A world is a scenario in `recovery/`. Each of its histories is one replication, exported as a CRM would as of a day
about 13 weeks before its end: a flat table of deals, or the passages of every deal from stage to stage. Import, fit and
forecast see that file alone. Then the figures of the fit are laid beside those of the scenario, and the forecasts, with
those of the four baselines and of the true scenario itself, beside what the rest of the replication brought.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

import simfunnel as sf
from simfunnel.backtesting.replay import Fitting, replay
from simfunnel.backtesting.tables import cases_of
from simfunnel.crm.exporting import as_export, as_stage_history, known_at
from simfunnel.crm.importing import read_export
from simfunnel.fitting.fit import Fitted, fit
from simfunnel.forecasting.baselines import BASELINES
from simfunnel.forecasting.pooling import ALONE
from simfunnel.forecasting.scores import wilson
from simfunnel.forecasting.windows import NEXT_4, NEXT_13, windows_after
from simfunnel.plan import compile_plan
from simfunnel.replicate import records_of
from simfunnel.runs import version
from simfunnel.scenario import Scenario, load
from simfunnel.units import middle

HERE = Path(__file__).parent
RESULTS = HERE / "RECOVERY.md"
TRUTH = "the truth itself"
AHEAD = timedelta(weeks=13)
REPLICATIONS = 300


@dataclass(frozen=True)
class World:
    """A scenario, how its histories are exported, and before which day closed deals are missing from them."""

    name: str
    file: str
    form: str = "deals"
    hidden: int = 0
    about: str = ""


WORLDS = (
    World("plain", "plain", about="one stage, nothing changes"),
    World("truncated", "plain", hidden=250, about="the same; deals that closed in the first 250 days are missing"),
    World("drift", "drift", about="more deals, fewer of them won, as time goes by"),
    World("stages", "stages", "passages", about="four stages; large deals are won less often"),
    World("holidays", "holidays", "passages", about="weekends, holidays, Christmas, quarter ends"),
    World("sellers", "sellers", "passages", about="seven sellers, busy nine tenths of their time"),
)


def exported(world: World, records: Any, plan: Any) -> pd.DataFrame:
    """What the CRM would give."""
    if world.form == "passages":
        return as_stage_history(records, plan)
    table = as_export(records, plan)
    first = (plan.start + timedelta(days=world.hidden)).isoformat()
    return table[(table["closed"] == "") | (table["closed"] >= first)]


def one_history(world: World, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of the forecasts from one history, and the fit's figures beside the true ones."""
    truth = load(HERE / "recovery" / f"{world.file}.yaml")
    records, plan = records_of(truth, seed=seed)
    day = round(plan.days) - AHEAD.days - 1
    as_of = plan.start + timedelta(days=day - 1)
    with tempfile.TemporaryDirectory() as folder:
        whole, known = Path(folder) / "whole.csv", Path(folder) / "known.csv"
        exported(world, records, plan).to_csv(whole, index=False)
        exported(world, known_at(records, float(day)), plan).to_csv(known, index=False)
        history = read_export(known).until(as_of)
        came = read_export(whole).until(as_of + AHEAD + timedelta(days=1)).deals
    windows = [window for window in windows_after(as_of) if window.name in (NEXT_4, NEXT_13)]
    found = replay(history, windows, Fitting(), REPLICATIONS, seed)
    known_truth = replay(history, windows, lambda _: named_as(truth, history), REPLICATIONS, seed)
    cases = cases_of([found], came)
    theirs = cases_of([known_truth], came)
    theirs = theirs[theirs["method"] == ALONE].assign(method=TRUTH)
    both = pd.concat([cases, theirs], ignore_index=True).assign(history=seed)
    return both, figures(fit(history), truth).assign(history=seed)


def named_as(truth: Scenario, history: Any) -> Scenario:
    """The true scenario, its one stage called what a flat history calls it."""
    stages = list(truth.spec.stages)
    if len(history.stages) > 1 or stages[0] == history.open_stage:
        return truth
    text = truth.to_yaml().replace(f"{stages[0]}:", f"{history.open_stage}:")
    text = text.replace(f"{stages[0]} ->", f"{history.open_stage} ->")
    return sf.load_text(text)


def figures(found: Fitted, truth: Scenario) -> pd.DataFrame:
    """The fit's figures whose true values stand in the scenario: arrivals at the end, and the chances of exits."""
    plan = compile_plan(truth.spec)
    rows = []
    known = dict(true_figures(truth, plan))
    for row in found.table.to_dict("records"):
        what = str(row["what"])
        stage = next(iter(truth.spec.stages))
        asked = what if what in known else what.replace("stages.open.", f"stages.{stage}.")
        if asked in known and row["low"] == row["low"]:
            true = known[asked]
            rows.append({"what": asked, "true": true, **{k: row[k] for k in ("estimate", "low", "high")}})
    return pd.DataFrame(rows, columns=["what", "true", "estimate", "low", "high"])


def true_figures(truth: Scenario, plan: Any) -> Iterator[tuple[str, float]]:
    """Place in the scenario and value, where one value says it all: not where an effect changes it."""
    for name, source in truth.spec.sources.items():
        steps = source.rate.steps if source.rate else ()
        factors = np.mean([float(middle(source.weekday.get(k, 1.0))) for k in range(7)])
        yield f"sources.{name}.rate", float(middle(steps[-1][1].per_day)) * float(factors)
    changed = {place.partition("->")[0].strip() for e in truth.spec.effects if e.odds is not None for place in e.on}
    for e, (s, goal) in enumerate((s, g) for s, stage in enumerate(truth.spec.stages.values()) for g in stage.exits):
        name = list(truth.spec.stages)[s]
        if name not in changed:
            yield f"stages.{name}.exits.{goal}.chance", float(plan.exits.chance[e])


def table_of_forecasts(cases: pd.DataFrame) -> pd.DataFrame:
    """By world, metric and window: CRPS of each method, skill against the best baseline, and how often 80% held."""
    rows = []
    for (world, metric, window), part in cases.groupby(["world", "metric", "window"], sort=False):
        mean = part.groupby("method")["crps"].mean()
        best = min(BASELINES, key=lambda m: mean[m])
        ours, truth = (part[part["method"] == m] for m in (ALONE, TRUTH))
        low, high = wilson(int(ours["in_80"].sum()), len(ours))
        rows.append(
            {
                "world": world,
                "metric": metric,
                "window": window,
                "fit": mean[ALONE],
                "truth": mean[TRUTH],
                "best baseline": f"{best} {mean[best]:.3g}",
                "skill": 1 - mean[ALONE] / mean[best],
                "skill of the truth": 1 - mean[TRUTH] / mean[best],
                "80% held": f"{ours['in_80'].mean():.0%} ({low:.0%} to {high:.0%})",
                "by the truth": f"{truth['in_80'].mean():.0%}",
                "50% held": f"{ours['in_50'].mean():.0%}",
                "bias": float(ours["mean"].sum() / ours["observed"].sum() - 1),
                "bias of the truth": float(truth["mean"].sum() / truth["observed"].sum() - 1),
            }
        )
    return pd.DataFrame(rows)


def table_of_figures(found: pd.DataFrame) -> pd.DataFrame:
    """By world and figure: the truth, the mean estimate, and how often the 90% interval held it."""
    rows = []
    for (world, what), part in found.groupby(["world", "what"], sort=False):
        held = (part["low"] <= part["true"]) & (part["true"] <= part["high"])
        low, high = wilson(int(held.sum()), len(held))
        rows.append(
            {
                "world": world,
                "figure": what,
                "true": part["true"].mean(),
                "mean estimate": part["estimate"].mean(),
                "mean width": (part["high"] - part["low"]).mean(),
                "90% held": f"{held.mean():.0%} ({low:.0%} to {high:.0%})",
                "histories": len(part),
            }
        )
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, numbers with three digits."""
    shown = table.map(lambda x: f"{x:.3g}" if isinstance(x, float) else str(x))
    for name in ("skill", "skill of the truth", "bias", "bias of the truth"):
        if name in table:
            shown[name] = [f"{x:+.0%}" for x in table[name]]
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (shown.columns, *shown.to_numpy())]
    return "\n".join([lines[0], "|" + " --- |" * len(shown.columns), *lines[1:]])


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--only", action="append", choices=[world.name for world in WORLDS])
    options.add_argument("-k", "--histories", type=int, default=24)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    worlds = [world for world in WORLDS if not given.only or world.name in given.only]
    jobs = [(world, seed) for world in worlds for seed in range(1, given.histories + 1)]
    done = Parallel(n_jobs=given.workers, return_as="generator")(delayed(one_history)(*job) for job in jobs)
    cases, found = [], []
    for (world, seed), (one, other) in zip(jobs, done, strict=True):
        print(f"{world.name} {seed} of {given.histories}", file=sys.stderr, flush=True)
        cases.append(one.assign(world=world.name))
        found.append(other.assign(world=world.name))
    forecasts = table_of_forecasts(pd.concat(cases, ignore_index=True))
    fitted = table_of_figures(pd.concat(found, ignore_index=True))
    text = f"""# Truth recovery

Written by `python benchmarks/recovery.py` (simfunnel {version()}), {given.histories} histories a world, {REPLICATIONS}
replications a forecast. Worlds: {"; ".join(f"{w.name}: {w.about}" for w in worlds)}.

## Forecasts

CRPS (less is better) of the fitted simulation, of the true scenario run from the same open deals, and of the best of
the four baselines (by its mean over these histories); skill is what is saved of the best baseline's CRPS; bias is
of the sum over all histories. No history is forecast from earlier dates first, so nothing is pooled by a record.
Intervals behind shares are Wilson's, 90%; all worlds share their seeds, so luck is shared too.

{markdown(forecasts)}

## Figures of the fit

How often the 90% interval of a fitted figure held the true one.

{markdown(fitted)}
"""
    print(text)
    if not given.only:
        RESULTS.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
