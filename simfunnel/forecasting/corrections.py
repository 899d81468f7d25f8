"""What past forecasts teach the present one: totals pooled with the baselines, and spread as wide as it had to be.

Both act on each quarter's total that is still to come, replication by replication; weeks, months, open deals and those
not yet created follow in proportion, so that all sums still hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from simfunnel.crm import History
from simfunnel.forecasting.baselines import BASELINES, draws_of, past_of
from simfunnel.forecasting.calibration import widened
from simfunnel.forecasting.pooling import ALONE, Track, pooled
from simfunnel.forecasting.windows import NEXT_QUARTER, THIS_QUARTER, Window
from simfunnel.numerics import Floats
from simfunnel.periods import Periods


@dataclass(frozen=True)
class Correction:
    """By metric, what the amounts still to come are multiplied by (replications, quarters); and what to say of it."""

    ratios: Mapping[str, Floats]
    words: tuple[str, ...]

    def of(self, metric: str, periods: Periods, quarters: Periods) -> Floats:
        """The ratios by replication and period; a period has those of the quarter in which it begins."""
        which = quarters.of(periods.edges[:-1])
        return self.ratios[metric][:, np.maximum(which, 0)]


def by_record(
    coming: Mapping[str, Floats],
    record: Track,
    history: History,
    quarters: Periods,
    start: date,
    seed: int,
    hand: tuple[str, ...] = (),
) -> Correction:
    """Each quarter's total pooled with what the baselines foresee, and widened, as the record tells.

    Args:
        coming: by metric what each replication brings in each quarter (replications, quarters).
        record: of past forecasts; of those only what was known at the history's date counts.
        history: what the baselines look at.
        quarters: the quarters, in days from `start`.
        start: the first day that is forecast.
        seed: of the baselines' draws.
        hand: what of the model was written by hand. Then it counts alone, for baselines know nothing of that.
    """
    as_of = history.as_of
    days = [start + timedelta(days=round(float(edge))) for edge in quarters.edges]
    windows = [Window(f"quarter {k}", days[k], days[k + 1], days[k]) for k in range(len(quarters))]
    count = len(next(iter(coming.values())))
    past = past_of(history)
    seen = {
        name: baseline(past, as_of, windows, count, draws_of(seed, as_of.toordinal(), k)).totals
        for k, (name, baseline) in enumerate(() if hand else BASELINES.items())
    }
    ratios, words = {}, [_by_hand_in_words(hand)] if hand else []
    for metric, sums in coming.items():
        factor = record.factor(as_of, metric)
        columns = []
        for k, window in enumerate(windows):
            samples = {ALONE: sums[:, k]} | {name: totals[window.name, metric] for name, totals in seen.items()}
            weights = record.weights(as_of, metric, THIS_QUARTER if k == 0 else NEXT_QUARTER, list(samples))
            columns.append(widened(pooled(samples, weights), factor))
            words += [_pool_in_words(metric, weights, len(record.known(as_of, metric)))] if k == 0 and seen else []
        ratios[metric] = _ratio(np.column_stack(columns), sums)
        words += [_spread_in_words(metric, factor)] if factor != 1 else []
    return Correction(ratios, tuple(words) if hand and len(words) == 1 else (*words, _AS_SIMULATED))


_AS_SIMULATED = (
    "so corrected are totals and their parts; groups, single deals' chances, runs and their pictures are as simulated "
    "and need not add up to the totals"
)


def _by_hand_in_words(hand: tuple[str, ...]) -> str:
    what = "the model is not as it was fitted" if hand == ("all",) else f"written by hand: {', '.join(hand)}"
    return f"{what}; so the simulation counts alone, and is not pooled with simple forecasts, which know nothing of it"


def _ratio(wanted: Floats, sums: Floats) -> Floats:
    """What the sums are multiplied by to become what is wanted; a sum of nothing stays nothing."""
    return np.divide(wanted, sums, out=np.ones(sums.shape), where=sums > 0)


def _spread_in_words(metric: str, factor: float) -> str:
    return f"{metric}: the spread of what is still to come is {factor:.2f} times as wide, as past forecasts needed it"


def _pool_in_words(metric: str, weights: Mapping[str, float], known: int) -> str:
    ranked: Sequence[str] = sorted(weights, key=lambda name: -weights[name])
    shares = ", ".join(f"{name} {weights[name]:.0%}" for name in ranked)
    return (
        f"{metric} of this quarter are pooled from {shares}: weights by {known} past forecasts from this history whose "
        "outcome is known"
    )
