"""From what was foreseen and what came to the tables of a backtest: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.backtesting.replay import METHODS, OURS, Replay
from simfunnel.forecasting import scores
from simfunnel.forecasting.baselines import BASELINES
from simfunnel.forecasting.calibration import Calibration, calibrate, stretch_needed, widened
from simfunnel.forecasting.pooling import Scored, Track, pooled
from simfunnel.forecasting.windows import (
    METRICS,
    NEXT_4,
    NEXT_QUARTER,
    THIS_QUARTER,
    WINDOWS,
    Window,
    has_values,
    is_told,
    won_between,
)
from simfunnel.numerics import Floats

LEVELS = (0.5, 0.8, 0.9)
QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
WEEKS = ((1, 4), (5, 8), (9, 14), (15, 27))
"""Groups of weeks from the as-of date to a quarter's end."""
DEAL_WINDOWS = (NEXT_4, THIS_QUARTER)
"""The windows in which single deals' chances are scored."""
_DRAWS = 1000


def cases_of(replays: Sequence[Replay], whole: pd.DataFrame) -> pd.DataFrame:
    """One row a date, window, metric and method.

    Columns: as_of, window, begin, after (dates), weeks (from the date to the window's end), metric, method, observed,
    already (part of it that was known), mean, `0.05` … `0.95` (quantiles of the total), crps, pinball (mean loss of the
    quantiles), pit, in_50, in_80, in_90 (0 or 1), needed (the factor by which the spread had to be wider for the 80%
    interval to hold what came), weight (in our pool; 1 for ours), pool_needed (`needed` of the pool before it was
    widened).

    Our own forecast is pooled from the others' with the weights and the spread that the dates before tell, as far as
    their windows were over by then.

    `whole` are the deals of the whole export: what came is taken from it, here and nowhere earlier. Where it tells no
    values, there are no bookings.
    """
    rows: list[dict[str, Any]] = []
    track = Track()
    valued = has_values(whole)
    metrics = [metric for metric in METRICS if is_told(metric, valued=valued)]
    for found in sorted(replays, key=lambda replay: replay.as_of):
        for window in found.windows:
            came = won_between(whole, window.begin, window.after)
            for metric in metrics:
                rows += _cases(found, window, metric, came[metric], track)
    return pd.DataFrame(rows)


def record_of(cases: pd.DataFrame) -> Track:
    """The track record that a backtest's cases are."""
    track = Track()
    for (as_of, metric, window), group in cases.groupby(["as_of", "metric", "window"], sort=False):
        crps: dict[str, float] = dict(zip(group["method"], group["crps"].tolist(), strict=True))
        theirs = {method: score for method, score in crps.items() if method != OURS}
        days = (date.fromisoformat(str(as_of)), date.fromisoformat(str(group["after"].to_list()[0])))
        track.scored.append(Scored(*days, str(metric), str(window), theirs, float(group["pool_needed"].to_list()[0])))
    return track


def _cases(found: Replay, window: Window, metric: str, came: float, track: Track) -> list[dict[str, Any]]:
    """The cases of one date, window and metric, which are added to the track record."""
    already = found.already[window.name, metric]
    samples = {m: found.samples[m, window.name, metric] for m in METHODS if m != OURS}
    weights = track.weights(found.as_of, metric, window.name, list(samples))
    pool = pooled(samples, weights)
    ours = widened(pool, track.factor(found.as_of, metric))
    said = {
        "as_of": found.as_of.isoformat(),
        "window": window.name,
        "begin": window.begin.isoformat(),
        "after": window.after.isoformat(),
        "weeks": window.weeks_to_end(found.as_of),
        "metric": metric,
    }
    needed = float(stretch_needed(pool, came))
    scored = {m: _scored(sample, came, already) for m, sample in {OURS: ours, **samples}.items()}
    crps = {m: scored[m]["crps"] for m in samples}
    track.scored.append(Scored(found.as_of, window.after, metric, window.name, crps, needed))
    return [
        {**said, "method": m, **cells, "weight": weights.get(m, 1.0), "pool_needed": needed}
        for m, cells in scored.items()
    ]


def _scored(sample: Any, came: float, already: float) -> dict[str, float]:
    """The scores of one ensemble; they are those of the total, to which what was known adds the same on both sides."""
    values = np.quantile(sample, QUANTILES)
    return {
        "observed": came + already,
        "already": already,
        "mean": float(np.mean(sample)) + already,
        **{f"{q:g}": float(v) + already for q, v in zip(QUANTILES, values, strict=True)},
        "crps": float(scores.crps(sample, came)),
        "pinball": float(
            np.mean([scores.pinball(v, came, q) for q, v in zip(QUANTILES, values, strict=True)]),
        ),
        "pit": float(scores.pit(sample, came)),
        **{f"in_{100 * level:g}": float(scores.covered(sample, came, level)) for level in LEVELS},
        "needed": float(stretch_needed(sample, came)),
    }


def scores_of(cases: pd.DataFrame) -> pd.DataFrame:
    """One row a window, metric and method: the scores over all dates (see `_summed`)."""
    return _ranked(cases, ["metric", "window"])


def scores_by_weeks(cases: pd.DataFrame) -> pd.DataFrame:
    """The same for quarters by weeks to their end, the running and the next one together, in a column `window`."""
    quarters = cases[cases["window"].isin([THIS_QUARTER, NEXT_QUARTER])]
    group = pd.Series("", index=quarters.index, dtype="str")
    for first, last in WEEKS:
        group[quarters["weeks"].between(first, last)] = f"{first}-{last} weeks"
    return _ranked(quarters.assign(window=group)[group != ""], ["metric", "window"])


def _ranked(cases: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Scores by keys and method, with the best baseline of each group and the skill against it.

    The best is the one with the least mean CRPS over these dates: known only afterwards, which favours it. The skill's
    90% interval, `skill_low` to `skill_high`, comes from dates drawn with replacement; it leaves out that neighbouring
    dates share their luck.
    """
    rows = []
    for key, group in cases.groupby(keys, sort=False):
        summed = {str(method): _summed(part) for method, part in group.groupby("method", sort=False)}
        best = min((name for name in summed if name in BASELINES), key=lambda name: summed[name]["crps"])
        by_date = {str(method): part["crps"].to_numpy() for method, part in group.groupby("method", sort=False)}
        for method, found in summed.items():
            skill = scores.skill(found["crps"], summed[best]["crps"])
            low, high = _skill_interval(by_date[method], by_date[best])
            said = {"best": best, "skill": skill, "skill_low": low, "skill_high": high}
            rows.append({**dict(zip(keys, key, strict=True)), "method": method, **found, **said})
    order = [list(METRICS), [*WINDOWS, *(f"{a}-{b} weeks" for a, b in WEEKS)], list(METHODS)]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    ranks = [table[c].map(names.index) for c, names in zip(("metric", "window", "method"), order, strict=True)]
    return table.iloc[np.lexsort([r.to_numpy() for r in reversed(ranks)])].reset_index(drop=True)


def _skill_interval(crps: Floats, reference: Floats) -> tuple[float, float]:
    """The central 90% interval of a skill over dates drawn with replacement, both scores from the same dates."""
    picks = np.random.default_rng(len(crps)).integers(len(crps), size=(_DRAWS, len(crps)))
    theirs = reference[picks].sum(axis=1)
    skills = 1 - np.divide(crps[picks].sum(axis=1), theirs, out=np.ones(_DRAWS), where=theirs > 0)
    low, high = np.quantile(skills, [0.05, 0.95])
    return float(low), float(high)


def _summed(cases: pd.DataFrame) -> dict[str, Any]:
    """Of one method's cases: how many, what came on average, and the scores.

    Keys: dates, observed (mean), crps, pinball (means), cover_50 … cover_90 with low and high (Wilson's 90% interval as
    if dates were independent), bias (share of what came), wape (of the medians), and `pit` (mean; 0.5 is right).
    """
    n = len(cases)
    found: dict[str, Any] = {"dates": n, "observed": float(cases["observed"].mean())}
    found |= {name: float(cases[name].mean()) for name in ("crps", "pinball", "pit")}
    for level in LEVELS:
        name = f"{100 * level:g}"
        hits = float(cases[f"in_{name}"].sum())
        low, high = scores.wilson(hits, n)
        found |= {f"cover_{name}": hits / n, f"cover_{name}_low": low, f"cover_{name}_high": high}
    found["bias"] = scores.bias(cases["mean"], cases["observed"])
    found["wape"] = scores.wape(cases["0.5"], cases["observed"])
    return found


def deals_of(replays: Sequence[Replay], whole: pd.DataFrame) -> pd.DataFrame:
    """One row an open deal, date and window: as_of, window, deal, won (0 or 1), and a column of chances a method."""
    won = whole[whole["outcome"] == "won"]
    closed = pd.Series(won["closed"].to_numpy(), index=won["id"].astype("str").to_numpy())
    parts = []
    for found in replays:
        when = closed.reindex(list(found.deals)).to_numpy()
        for window in found.windows:
            if window.name not in DEAL_WINDOWS or not len(found.deals):
                continue
            here = (when >= np.datetime64(window.begin)) & (when < np.datetime64(window.after))
            columns = {
                "as_of": found.as_of.isoformat(),
                "window": window.name,
                "deal": found.deals,
                "won": here.astype(np.int64),
                **{method: chances for (method, name), chances in found.chances.items() if name == window.name},
            }
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["as_of", "window", "deal", "won"])


def brier_of(deals: pd.DataFrame) -> pd.DataFrame:
    """One row a window and method: Brier's score of single deals' chances, its parts, and its skill."""
    rows = []
    for window, group in deals.groupby("window", sort=False):
        for method in (m for m in METHODS if m in group):
            found = scores.brier(group[method], group["won"])
            rows.append({"window": window, "method": method, **vars(found), "skill": found.skill})
    return pd.DataFrame(rows)


def reliability_of(deals: pd.DataFrame) -> pd.DataFrame:
    """`scores.reliability_table` of each window and method."""
    parts = [
        scores.reliability_table(group[method], group["won"]).assign(window=window, method=method)
        for window, group in deals.groupby("window", sort=False)
        for method in METHODS
        if method in group
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def calibration_of(cases: pd.DataFrame) -> Calibration:
    """By how much our forecasts' spreads are off, from all windows together."""
    ours = cases[cases["method"] == OURS]
    found = {}
    for metric in (metric for metric in METRICS if metric in set(ours["metric"])):
        rows = ours[ours["metric"] == metric]
        found[metric] = (rows["pool_needed"].to_numpy(dtype=float), rows["as_of"].to_numpy(dtype=str))
    return calibrate(found)
