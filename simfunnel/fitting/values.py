"""What a won deal is worth: by the attribute that tells most about it, or one distribution for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from simfunnel.fitting.figures import Z95, Estimate, Floats, QuantileTable, data_table

WORTH_SPLITTING = 0.3  # share of the variance of log values that an attribute must explain out of sample
OTHER = "other"
_FEW = 10  # a case with fewer wins borrows the shape of all
_FOLDS = 5


@dataclass(frozen=True)
class Values:
    """Values of won deals: `by` an attribute (or None) and a table for each of its cases; `other` serves the rest.

    `means` has the mean of each case with its interval; `explained` what each attribute explains out of sample; `of`
    says whose values they are.
    """

    by: str | None
    cases: dict[str, QuantileTable]
    means: dict[str, Estimate]
    explained: dict[str, float]
    of: str = "won deals"
    assumptions: tuple[str, ...] = field(default=())


def fit_values(deals: pd.DataFrame, attributes: Sequence[str], *, of_all: bool = False) -> Values | None:
    """Values of won deals from their `value` column and attributes; None where no value above 0 is known.

    `of_all` says that these are all deals, whatever came of them: so where the chance depends on the value.
    """
    of = "deals" if of_all else "won deals"
    known = deals[deals["value"] > 0]
    if known.empty:
        return None
    logs = np.log(known["value"].to_numpy(dtype=float))
    explained = {name: explained_share(logs, known[name].to_numpy(dtype=str)) for name in attributes}
    by = max(explained, key=lambda name: explained[name], default=None)
    if by is not None and explained[by] <= WORTH_SPLITTING:
        by = None
    amounts = known["value"].to_numpy(dtype=float)
    cases = {OTHER: data_table(amounts)}
    means = {OTHER: _mean(amounts)}
    said = [
        f"values are those of {len(known):,} {of}" + ("" if of_all else "; a deal's value doesn't change its chance")
    ]
    if by is not None:
        kinds = known[by].to_numpy(dtype=str)
        for kind in sorted(set(kinds)):
            mine = amounts[kinds == kind]
            cases[kind] = data_table(mine) if len(mine) >= _FEW else _borrowed(amounts, kinds, mine)
            means[kind] = _mean(mine)
        said.append(
            f"values differ by {by}, which explains {explained[by]:.1%} of their variance (logarithm, out of sample)"
        )
    return Values(by, cases, means, explained, of, tuple(said))


def explained_share(logs: Floats, kinds: np.ndarray) -> float:
    """The share of variance that the kinds' means explain in a fifth of the data left out of them; may be negative.

    Every fifth value by rank order belongs to one fold, so that the folds are alike. A kind not seen in the others
    gets the mean of all.
    """
    if len(logs) < 2 * _FOLDS or len(set(kinds)) < 2:
        return 0.0
    fold = np.empty(len(logs), dtype=np.int64)
    fold[np.argsort(logs, kind="stable")] = np.arange(len(logs)) % _FOLDS
    missed = total = 0.0
    for k in range(_FOLDS):
        learn, test = fold != k, fold == k
        overall = float(logs[learn].mean())
        means = pd.Series(logs[learn]).groupby(kinds[learn]).mean()
        guess = pd.Series(kinds[test]).map(means).fillna(overall).to_numpy(dtype=float)
        missed += float(((logs[test] - guess) ** 2).sum())
        total += float(((logs[test] - overall) ** 2).sum())
    return 1 - missed / total if total > 0 else 0.0


def _borrowed(amounts: Floats, kinds: np.ndarray, mine: Floats) -> QuantileTable:
    """A table of few values: the shape of all values relative to their kind's mean, at this kind's mean."""
    relative = amounts / pd.Series(amounts).groupby(kinds).transform("mean").to_numpy(dtype=float)
    return data_table(relative).scaled(float(mine.mean()))


def _mean(amounts: Floats) -> Estimate:
    """A mean with its central 90% interval: normal, from the standard error; of one value, a tenth to ten times it."""
    mean = float(amounts.mean())
    if len(amounts) < 2:
        return Estimate(mean, mean / 10, mean * 10, "a single won deal", 1)
    error = Z95 * float(amounts.std(ddof=1)) / len(amounts) ** 0.5
    return Estimate(mean, max(mean - error, 0.0), mean + error, "mean of won deals", len(amounts))
