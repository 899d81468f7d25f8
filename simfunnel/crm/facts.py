"""From each kind of history to facts: of this deal, from this moment on, this part of it was that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.maps import Map
from simfunnel.crm.names import ALIASES, CHANGES, FIELDS, SINCE, normal, outcome_named, truth
from simfunnel.crm.roles import columns_of, entered_stage
from simfunnel.crm.snapshots import Sights, sights_of
from simfunnel.crm.sources import Table
from simfunnel.crm.tables import day_comes_first, each_name, read_dates, read_numbers

FACTS_COLUMNS = ("id", "at", "part", "now", "before", "told", "end", "seen", "gap")
"""`before` is what it was, where `told`; `end` is 'won' or 'lost' where the row itself says that the deal is.

What came about `at` some moment is known from `seen` on. Of what a snapshot was the first to show, `gap` has the days
in which that moment was drawn: 0 where it is told, infinity where nothing bounds it; else it is NaN.
"""

_PARTS = ("stage", "value", "owner", "category")
_SAVES = {
    "id": CHANGES["id"], "at": CHANGES["at"], "saved": CHANGES["saved"], "deleted": ALIASES["deleted"],
    "probability": ("probability",), **{part: ALIASES[part] for part in (*_PARTS, "is_won", "is_closed", "outcome")},
}  # fmt: skip
_SHOWN = {**_SAVES, "snapshot": CHANGES["snapshot"], **{part: ALIASES[part] for part in ("id", "created", "closed")}}
_SURE = 0.9  # share of rows with a stage's name that must agree on what it means


def no_facts() -> pd.DataFrame:
    """A table of facts with no row."""
    nothing = pd.Series(dtype="str")
    return _long(nothing, pd.Series(dtype="datetime64[us]"), {"stage": nothing})


def moments_of(text: pd.Series[Any], said: Map, until: pd.Timestamp | None) -> tuple[pd.Series[Any], list[str]]:
    """A column's dates, and what was assumed; only dates before `until` decide how they are read."""
    day_first, order = said.day_first, ""
    if day_first is None and not said.form:
        day_first, order = day_comes_first([text], until)
    dates = read_dates(text, day_first=bool(day_first), form=said.form, zone=said.zone)
    return dates.values, [s for s in (order, *dates.assumptions) if s]


def facts_of(role: str, table: Table, said: Map, until: pd.Timestamp | None, words: list[str]) -> pd.DataFrame:
    """The facts of one table; adds to `words` what was assumed."""
    return _READERS[role](table, said, until, words)


def _long(ids: pd.Series[Any], at: pd.Series[Any], values: Mapping[str, pd.Series[Any]], **more: Any) -> pd.DataFrame:
    """One row for each deal, moment and part."""
    rows = []
    for part, now in values.items():
        fact = {**_NOTHING, "id": ids.str.strip(), "at": at, "part": part, "now": now.str.strip(), "seen": at, **more}
        rows.append(pd.DataFrame({name: fact[name] for name in FACTS_COLUMNS}, index=ids.index))
    facts = pd.concat(rows, ignore_index=True)
    text = {name: facts[name].astype("str") for name in ("now", "before", "end")}
    return facts.assign(**text, told=facts["told"].astype(bool))[facts["id"].notna() & facts["at"].notna()]


_NOTHING: dict[str, Any] = {"before": np.nan, "told": False, "end": np.nan, "gap": np.nan}


def _saves(table: Table, said: Map, until: pd.Timestamp | None, words: list[str]) -> pd.DataFrame:
    """A row for each save of a deal, or for each entry to a stage."""
    columns = columns_of(table.rows, _SAVES, said)
    stage = columns.get("stage")
    if stage is None:  # HubSpot's table of stages calls it a value
        stage = columns_of(table.rows, {"to": CHANGES["to"]}, said)["to"]
        columns = {part: column for part, column in columns.items() if column != stage}
    columns["stage"] = stage
    rows = table.rows
    if "deleted" in columns:
        rows = rows[~rows[columns["deleted"]].map(truth).astype(bool)]
    when = columns.get("at") or columns["saved"]
    at, assumed = moments_of(rows[when], said, until)
    words += [f"history: {table.name}, {len(rows):,} rows; time is '{when}', stage is '{stage}'", *assumed]
    told = {part: rows[columns[part]] for part in (*_PARTS, "probability") if part in columns}
    return _long(rows[columns["id"]], at, told, end=_row_says(rows, columns))


def _row_says(rows: pd.DataFrame, columns: Mapping[str, str]) -> pd.Series[Any]:
    """'won', 'lost' or 'open' where flags of the row, or its chance and forecast category, say so."""
    text = {part: rows[column] for part, column in columns.items()}
    if "is_won" in text or "is_closed" in text:
        won = text["is_won"].map(truth).astype(bool) if "is_won" in text else pd.Series(False, index=rows.index)
        closed = text["is_closed"].map(truth).astype(bool) if "is_closed" in text else won
        return pd.Series(np.where(won, "won", np.where(closed, "lost", "open")), index=rows.index)
    if "probability" in text and "category" in text:
        chance = read_numbers(text["probability"])[0]
        category = text["category"].map(normal, na_action="ignore")
        won = (chance >= 99.99) & (category == "closed")
        lost = (chance == 0) & category.isin(["omitted", "omit"])
        return pd.Series(np.where(won, "won", np.where(lost, "lost", "open")), index=rows.index).where(chance.notna())
    return pd.Series(np.nan, index=rows.index, dtype="str")


def _fields(table: Table, said: Map, until: pd.Timestamp | None, words: list[str]) -> pd.DataFrame:
    """A row for each change of a field: its old and its new value."""
    columns = columns_of(table.rows, CHANGES, said)
    rows = table.rows
    when = columns.get("at") or columns["saved"]
    part = pd.Series("stage", index=rows.index)
    if "field" in columns:
        part = rows[columns["field"]].map(lambda name: FIELDS.get(normal(name)), na_action="ignore")
    used = part.notna()
    at, assumed = moments_of(rows.loc[used, when], said, until)
    words += [
        f"history: {table.name}, {int(used.sum()):,} of {len(rows):,} rows are changes of a deal's parts",
        *assumed,
    ]
    rows = rows[used]
    old, new = rows[columns["old"]].str.strip(), rows[columns["new"]].str.strip()
    facts = _long(rows[columns["id"]], at, {"stage": new}, before=old, told=True)
    return facts.assign(part=part[used].to_numpy()[facts.index])


def _properties(table: Table, said: Map, until: pd.Timestamp | None, words: list[str]) -> pd.DataFrame:
    """A row for each value that a property took."""
    columns = columns_of(table.rows, CHANGES, said)
    rows = table.rows
    part = rows[columns["field"]].map(lambda name: FIELDS.get(normal(name)), na_action="ignore")
    used = part.notna()
    if not used.any():
        names = ", ".join(str(n) for n in rows[columns["field"]].dropna().unique()[:8])
        words.append(f"history: {table.name} tells no property that is used (dealstage, amount, owner); found: {names}")
        return no_facts()
    rows = rows[used]
    at, assumed = moments_of(rows[columns.get("at") or columns["saved"]], said, until)
    words += [f"history: {table.name}, {len(rows):,} values of a deal's parts", *assumed]
    facts = _long(rows[columns["id"]], at, {"stage": rows[columns["to"]]})
    return facts.assign(part=part[used].to_numpy()[facts.index])


def sights(table: Table, said: Map, until: pd.Timestamp | None) -> tuple[Table, dict[str, str], Sights, list[str]]:
    """The rows of snapshots that tell their deal and snapshot, their columns, how they read, and what was assumed."""
    columns = columns_of(table.rows, _SHOWN, said)
    at, assumed = moments_of(table.rows[columns["snapshot"]], said, until)
    ids = table.rows[columns["id"]].str.strip()
    known = at.notna() & ids.notna()
    table, at, ids = table.among(known), at[known], ids[known]
    created = _told(table.rows, columns, "created", said, until)
    words = [f"snapshots: {table.name}, {at.nunique():,} of them, by '{columns['snapshot']}'", *assumed]
    exact = normal(columns["snapshot"]) in SINCE
    _, end = _stages_shown(table.rows, columns, said)
    closed = _told(table.rows, columns, "closed", said, until)
    return table, columns, sights_of(ids, at, created, end, closed, exact=exact), words


def _snapshots(table: Table, said: Map, until: pd.Timestamp | None, words: list[str]) -> pd.DataFrame:
    """A row for each deal in each snapshot: what changed since the last is as old as a date says, or drawn between."""
    table, columns, found, more = sights(table, said, until)
    rows = table.rows
    stage, end = _stages_shown(rows, columns, said)
    words += more
    if not found.exact:
        words.append("a change between two snapshots is taken to have come at a moment drawn between them")
    closed = _told(rows, columns, "closed", said, until)
    moment, gap = found.moments(end, closed)
    facts = []
    for part, now in {"stage": stage, **{part: rows[columns[part]] for part in _PARTS[1:] if part in columns}}.items():
        fresh = found.changed(now)
        at = moment.where(fresh, found.seen)
        facts.append(_long(found.ids, at, {part: now}, seen=found.seen, gap=gap.where(fresh)))
    return pd.concat(facts, ignore_index=True)


def _told(
    rows: pd.DataFrame, columns: Mapping[str, str], part: str, said: Map, until: pd.Timestamp | None
) -> pd.Series[Any]:
    """The dates in the column of a part; NaT where there is none."""
    if part in columns:
        return moments_of(rows[columns[part]], said, until)[0]
    return pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us]")


def _stages_shown(rows: pd.DataFrame, columns: Mapping[str, str], said: Map) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """The stage that each row shows, and 'won' or 'lost' where a deal ends in it (else missing)."""
    end = _row_says(rows, {part: c for part, c in columns.items() if part != "category"})
    if "outcome" in columns:
        named = rows[columns["outcome"]].map(outcome_named, na_action="ignore")
        end = end.where(end.isin(["won", "lost"]), named)
    stage = rows[columns["stage"]] if "stage" in columns else pd.Series("open", index=rows.index)
    said_end = end.map({"won": "Closed Won", "lost": "Closed Lost"})
    stage = stage.where(said_end.isna() | (stage.map(outcome_named, na_action="ignore") != "open"), said_end)
    found = each_name(stage, lambda name: said.ends.get(normal(name)) or outcome_named(name))
    return stage, found.where(found.isin(["won", "lost"]))


def _entries(table: Table, said: Map, until: pd.Timestamp | None, words: list[str]) -> pd.DataFrame:
    """A column for each stage, with the day on which the deal entered it (HubSpot's `hs_v2_date_entered_...`)."""
    columns = columns_of(table.rows, ALIASES, said)
    entered = {column: entered_stage(column) for column in table.rows.columns if entered_stage(column)}
    found, assumed = [], []
    for column, stage in entered.items():
        at, more = moments_of(table.rows[column], said, until)
        assumed += more
        ids = table.rows[columns["id"]][at.notna()]
        if len(ids):
            found.append(_long(ids, at[at.notna()], {"stage": pd.Series(str(stage), index=ids.index, dtype="str")}))
    words += [f"stages are entered on the days in {len(entered)} columns, such as '{next(iter(entered))}'", *assumed]
    return pd.concat(found, ignore_index=True) if found else no_facts()


_READERS: dict[str, Callable[[Table, Map, pd.Timestamp | None, list[str]], pd.DataFrame]] = {
    "stage history": _saves,
    "field history": _fields,
    "property history": _properties,
    "snapshots": _snapshots,
    "entries": _entries,
}


def order_by_chance(facts: pd.DataFrame, ends: Mapping[str, str]) -> tuple[str, ...]:
    """Open stages by the chance that the CRM gives to a deal in them; none where it gives none."""
    keys = ["deal", "at"]
    stage, chance = (
        facts[facts["part"] == part].drop_duplicates(keys).set_index(keys) for part in ("stage", "probability")
    )
    both = pd.DataFrame({"stage": stage["now"], "chance": read_numbers(chance["now"])[0].reindex(stage.index)}).dropna()
    medians = both[both["stage"].map(lambda name: ends.get(name, "open")) == "open"].groupby("stage")["chance"].median()
    return tuple(medians.sort_values(kind="stable").index) if medians.nunique() > 1 else ()


def names_to_ends(said: Map, by_table: Mapping[str, str], deals: pd.DataFrame, facts: pd.DataFrame) -> dict[str, str]:
    """Each stage's outcome; `deals` has the `name` of each deal's stage, and its `end` where flags tell it.

    What the map says comes first, then a table of stages, then the flags of deals and of the history's rows (names
    may be in any language), then what the name says.
    """
    stage = facts[facts["part"] == "stage"]
    names = [str(n) for n in pd.concat([stage["now"], stage["before"], deals["name"]]).dropna().unique()]
    if said.ends:
        return {name: said.ends.get(normal(name), "open") for name in names}
    learned: dict[str, str] = {}
    pairs = [stage.loc[stage["end"].notna(), ["now", "end"]].set_axis(["name", "end"], axis=1)]
    both = pd.concat([p for p in (*pairs, deals) if len(p)] or pairs).dropna()
    for name, ends in both.groupby("name")["end"]:
        shares = ends.value_counts(normalize=True)
        if shares.iloc[0] >= _SURE:
            learned[str(name)] = str(shares.index[0])
    return {name: by_table.get(name) or learned.get(name) or outcome_named(name) for name in names}


__all__ = ["facts_of", "moments_of", "names_to_ends", "no_facts", "order_by_chance", "sights"]
