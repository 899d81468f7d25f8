"""What deals' amounts were while they were open, as the history of their changes tells."""

from __future__ import annotations

import numpy as np
import pandas as pd

from simfunnel.crm.tables import read_numbers

AMOUNTS = ("deal", "at", "value")


def amounts_of(facts: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame | None:
    """Each amount that a deal had and since when, by deal, then time: deal, at, value (NaN where it was emptied).

    None where the history tells no amounts. A history of fields is silent on deals whose amount never changed: they had
    the one they have.

    Args:
        facts: with the label of its deal in `deal`, by deal, then time.
        deals: with `created`, `value` and `value_text`.
    """
    told = facts[facts["part"] == "value"]
    if told.empty:
        return None
    first = told.drop_duplicates("deal")
    first = first[first["told"]]
    silent = deals[~deals.index.isin(told["deal"])] if told["told"].any() else deals[:0]
    born = deals["created"].reindex(first["deal"]).to_numpy()
    parts = (
        pd.DataFrame({"deal": told["deal"], "at": told["at"], "text": told["now"]}),
        pd.DataFrame({"deal": first["deal"], "at": born, "text": first["before"]}),
        pd.DataFrame({"deal": silent.index, "at": silent["created"], "text": silent["value_text"]}),
    )
    rows = pd.concat([part for part in parts if len(part)], ignore_index=True)
    text = pd.concat([rows["text"], deals["value_text"]], ignore_index=True).astype("str")
    numbers, _ = read_numbers(text, money=True)
    now = pd.Series(numbers[len(rows) :].to_numpy(), index=deals.index)
    rate = (deals["value"] / now.replace(0, np.nan)).fillna(1.0)  # 1 but for deals in another currency
    value = numbers[: len(rows)].to_numpy() * rate.reindex(rows["deal"]).to_numpy()
    return rows.assign(value=value).sort_values(["deal", "at"], kind="stable", ignore_index=True)[list(AMOUNTS)]


__all__ = ["AMOUNTS", "amounts_of"]
