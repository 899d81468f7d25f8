"""The tables of many simulated histories as one set of tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from simfunnel.segments.asking import Choices
from simfunnel.segments.foretelling import best_first
from simfunnel.segments.lifetime import expected_value, with_means
from simfunnel.segments.shares import with_ratios


def averaged(found: Sequence[dict[str, pd.DataFrame]], choices: Choices) -> dict[str, pd.DataFrame]:
    """The means of many histories' tables, by their keys; ratios are those of the means.

    So is retention, and expected value follows from it: the mean of what few buyers make of it in each history would
    be too high, for the formula rises ever faster with retention.
    """
    if len(found) == 1:
        return found[0]
    keys = {"rfm": ["measure", "score"], "pyramid": ["class"], "abc": ["class"], "lifetime": ["class"]}
    tables = {"customers": found[0]["customers"]}
    for name, key in keys.items():
        joint = pd.concat([one[name] for one in found if len(one[name])], ignore_index=True)
        mean = joint.groupby(key, sort=False).mean().reset_index()
        if name == "rfm":
            sums = joint.groupby(key, sort=False)[["customers", "money"]].sum() / len(found)  # some lack a score
            mean[["customers", "money"]] = sums.to_numpy()
            place = mean["measure"].map([*dict.fromkeys(joint["measure"])].index)
            mean = mean.assign(place=place).sort_values(["place", "score"], ascending=[True, False])
            tables[name] = with_ratios(mean.drop(columns="place").reset_index(drop=True), within="measure")
        elif name == "lifetime":
            pooled = mean["again"] / mean["buyers"].where(mean["buyers"] > 0)
            mean["retention"] = pooled.fillna(mean["retention"])
            mean["expected"] = expected_value(mean, choices.discount, choices.window)
            tables[name] = with_means(mean)
        else:
            tables[name] = with_ratios(mean)
    split = [one["foretells"] for one in found if "foretells" in one]
    if split:
        groups = pd.concat(split, ignore_index=True).groupby("grading", sort=False)
        table = groups.mean()
        table["captured_se"] = groups["captured"].std(ddof=1) / np.sqrt(groups["captured"].count())
        tables["foretells"] = best_first(table.reset_index())
    return tables
