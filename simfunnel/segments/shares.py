"""Tables of classes: who is in each, and its share of customers and of money."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd


def class_table(
    customers: pd.DataFrame, classes: Iterable[str] = (), *, by: str = "class", amount: str = "money"
) -> pd.DataFrame:
    """A row a class: class, customers, customer_share, money, money_share, money_per_customer.

    Args:
        customers: a row a customer.
        classes: the classes in their order, those without customers included; in order of appearance unless said.
        by: the column of classes.
        amount: the column that is added up as money.
    """
    groups = customers.groupby(by, sort=False)
    table = pd.DataFrame({"customers": groups.size(), "money": groups[amount].sum()})
    wanted = list(classes)
    if wanted:
        table = table.reindex(wanted, fill_value=0)
    return with_ratios(table.rename_axis("class").reset_index())


def with_ratios(table: pd.DataFrame, within: str = "") -> pd.DataFrame:
    """A table of classes with its shares and money per customer made of its counts and sums, NaN of nothing."""
    table = table.astype({"customers": "float64", "money": "float64"})

    def share_of_all(name: str) -> pd.Series[float]:
        whole: Any = table.groupby(within)[name].transform("sum") if within else table[name].sum()
        whole = pd.Series(whole, index=table.index, dtype="float64")
        part: pd.Series[float] = table[name] / whole.where(whole > 0)
        return part

    table["customer_share"], table["money_share"] = share_of_all("customers"), share_of_all("money")
    table["money_per_customer"] = table["money"] / table["customers"].where(table["customers"] > 0)
    table["customers"] = (
        table["customers"].astype("int64") if (table["customers"] % 1 == 0).all() else table["customers"]
    )
    last = ["customers", "customer_share", "money", "money_share", "money_per_customer"]
    return table[[*(c for c in table.columns if c not in last), *last]]
