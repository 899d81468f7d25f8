"""Tables that name things: people, stages, accounts, products. They add columns and names to deals, and no deals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from simfunnel.crm.evidence import Trouble
from simfunnel.crm.maps import Map
from simfunnel.crm.names import PEOPLE, STAGES, normal, truth
from simfunnel.crm.roles import Parts, columns_of
from simfunnel.crm.sources import Table
from simfunnel.crm.tables import read_numbers

_LINKS = {"accountid": "id", "account": "name", "ownerid": "id", "productid": "id", "campaignid": "id"}


@dataclass(frozen=True)
class Stages:
    """What a table of stages tells: id -> name, name -> outcome, and the names of open stages in their order."""

    labels: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()


def stage_names(parts: Parts, said: Map) -> Stages:
    """The stages as a table of them tells: HubSpot's pipeline stages, Salesforce's OpportunityStage."""
    tables = parts.get("stages", ())
    if not tables:
        return Stages()
    labels: dict[str, str] = {}
    ends: dict[str, str] = {}
    order: list[tuple[float, str]] = []
    for table in tables:
        columns = columns_of(table.rows, STAGES, said)
        rows = table.rows[table.rows[columns["id"]].notna()]
        text = {part: rows[column].fillna("").str.strip() for part, column in columns.items()}
        twice = text["label"].duplicated(keep=False) & (text["id"] != text["label"])
        names = text["label"].where(~twice, text["label"] + " (" + text["id"] + ")")
        names = names.where(text["label"] != "", text["id"]).map(said.name_of)
        labels |= dict(zip(text["id"], names, strict=True))
        won = text["is_won"].map(truth).astype(bool) if "is_won" in text else pd.Series(False, index=rows.index)
        closed = text["is_closed"].map(truth).astype(bool) if "is_closed" in text else won
        ends |= {n: "won" if w else "lost" if c else "open" for n, w, c in zip(names, won, closed, strict=True)}
        place = read_numbers(text["order"])[0] if "order" in text else pd.Series(0.0, index=rows.index)
        order += [(float(p), str(n)) for p, n, c in zip(place, names, closed | won, strict=True) if not c and p == p]
    return Stages(labels, ends, tuple(dict.fromkeys(name for _, name in sorted(order, key=lambda pair: pair[0]))))


def people_names(parts: Parts, said: Map) -> dict[str, str]:
    """A person's id -> their name, made plain where two share it."""
    names: dict[str, str] = {}
    for table in parts.get("people", ()):
        columns = columns_of(table.rows, PEOPLE, said)
        text = {part: table.rows[column].fillna("").str.strip() for part, column in columns.items()}
        empty = pd.Series("", index=table.rows.index)
        whole = (text.get("first", empty) + " " + text.get("last", empty)).str.strip()
        shown = text.get("name", empty)
        for other in (whole, text.get("mail", empty), text["id"]):
            shown = shown.where(shown != "", other)
        twice = shown.duplicated(keep=False)
        shown = shown.where(~twice, shown + " (" + text["id"] + ")")
        names |= {k: v for k, v in zip(text["id"], shown, strict=True) if k}
    return names


def joined(table: Table, others: Iterable[Table]) -> tuple[Table, list[str], list[Trouble]]:
    """Deals with the columns of tables that share a key with them (accounts, products), what was done, and troubles."""
    rows, said, troubles = table.rows, [], []
    for other in others:
        link = _link(rows, other.rows)
        if link is None:
            said.append(f"not used: {other.name}, whose columns say neither deals nor how they changed")
            continue
        mine, theirs = link
        more = other.rows.set_index(other.rows[theirs].str.strip()).drop(columns=theirs)
        clash = set(rows.columns)
        more.columns = [c if c not in clash else f"{_stem(mine)} {c}" for c in more.columns]
        keys = rows[mine].str.strip()
        near = {} if normal(theirs).endswith("id") else _near(keys, more.index)
        said.append(f"joined: {other.name} by '{mine}'")
        troubles += _unmatched(keys, near, more.index, mine, other.name)
        found = more.reindex(keys.replace(near))
        found.index = rows.index
        rows = rows.join(found)
    return Table(table.name, rows), said, troubles


def _near(keys: pd.Series[Any], known: pd.Index[Any]) -> dict[str, str]:
    """Names that the other table lacks -> the one of its names that has the same letters and digits."""
    forms: dict[str, list[str]] = {}
    for name in known:
        forms.setdefault(normal(name), []).append(str(name))
    lacking = [name for name in keys.dropna().unique() if name not in known]
    return {name: forms[normal(name)][0] for name in lacking if normal(name) and len(forms.get(normal(name), ())) == 1}


def _unmatched(
    keys: pd.Series[Any], near: Mapping[str, str], known: pd.Index[Any], column: str, other: str
) -> list[Trouble]:
    """The troubles of names that another table spells otherwise, or has not."""
    spelt = keys.isin(list(near))
    absent = keys.notna() & ~keys.isin(known) & ~spelt
    pairs = [f"{mine} -> {theirs}" for mine, theirs in near.items()]
    found = [
        (spelt, f"'{column}' nearly matches {other}", tuple(pairs[:3]), f"joined as spelt there: {'; '.join(pairs)}",
         f"if they are different things, such deals have what {other} says of others"),
        (absent, f"'{column}' is not in {other}", tuple(map(str, keys[absent].unique()[:3])),
         "its columns are empty for them, which counts as 'unknown'",
         "chances that depend on such a column are those of all kinds that are missing there"),
    ]  # fmt: skip
    return [
        Trouble(name, int(r.sum()), float(r.mean()), ex, done, mind) for r, name, ex, done, mind in found if r.any()
    ]


def _stem(column: str) -> str:
    return column[:-2].rstrip("_ ") if normal(column).endswith("id") and len(column) > 2 else column


def _link(deals: pd.DataFrame, other: pd.DataFrame) -> tuple[str, str] | None:
    """A column of deals and the column of the other table, without repeats, whose values it names."""
    theirs = {normal(c): c for c in other.columns}
    for column in deals.columns:
        name = normal(column)
        for key in (name, _LINKS.get(name, "")):
            if key in theirs and key and (key != "id" or name != "id") and _names(deals[column], other[theirs[key]]):
                return column, theirs[key]
    return None


def _names(column: pd.Series[Any], keys: pd.Series[Any]) -> bool:
    known = keys.dropna().str.strip()
    used = column.dropna().str.strip()
    return bool(len(known) and known.is_unique and len(known) == len(keys) and used.isin(known).any())


__all__ = ["Stages", "joined", "people_names", "stage_names"]
