"""Deals with a history: every save of a deal, changes of its fields or properties, dates of entry, snapshots.

Each kind of table becomes the same facts: of this deal, from this moment on, that part (stage, value, owner, forecast
category) was this; a history of fields also tells what it was before. Facts say more than the table of deals does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.amounts import amounts_of
from simfunnel.crm.currencies import Money, in_one_currency
from simfunnel.crm.evidence import Trouble
from simfunnel.crm.facts import facts_of, moments_of, names_to_ends, no_facts, order_by_chance, sights
from simfunnel.crm.flat import Cut, Flat, date_only, last_day, refuse_nothing
from simfunnel.crm.history import OPEN_STAGE, Draft
from simfunnel.crm.lookups import people_names, stage_names
from simfunnel.crm.maps import Map
from simfunnel.crm.names import CHANGES, FORECAST_CATEGORIES, normal
from simfunnel.crm.roles import HISTORIES, Parts, columns_of, entered_stage
from simfunnel.crm.snapshots import between_snapshots, watched_from
from simfunnel.crm.sources import Table
from simfunnel.crm.tasks import known_tasks
from simfunnel.crm.visits import Passage, passages, stage_order
from simfunnel.errors import Fault, InputError
from simfunnel.formatting import counted

_CREATED = "created"
_FLAGS = {"is_closed": ("won", "lost"), "is_won": ("won",), "is_lost": ("lost",)}  # a flag -> where it is set


class StageHistory:
    """Deals and what they were when, read as it is; see `Importer`."""

    def __init__(self, parts: Parts, said: Map, until: pd.Timestamp | None = None) -> None:
        self.parts, self.map, self.until = _as_one(parts), said, until
        parts = self.parts
        self.said: list[str] = []
        self.gone: set[str] = set()  # deals that the last snapshot has no more
        self.silent = 0  # days from the last snapshot to the as-of date
        found = [facts_of(role, t, said, until, self.said) for role in HISTORIES for t in parts.get(role, ())]
        self.facts = pd.concat([f for f in found if len(f)] or [no_facts()], ignore_index=True)
        self.looks = self._days_of_snapshots()
        self.people = people_names(parts, said)
        self.stages = stage_names(parts, said)
        self.flat = Flat(self._with_deals(), said, until)
        is_stage = self.facts["part"] == "stage"
        self.facts.loc[is_stage, "now"] = self._called(self.facts.loc[is_stage, "now"])
        self.facts.loc[is_stage, "before"] = self._called(self.facts.loc[is_stage, "before"])
        if not is_stage.any():
            self.said.append("no change of a stage was found in the history, so each deal counts as in one stage")

    def _days_of_snapshots(self) -> tuple[date, ...]:
        """The days on which snapshots were taken; () where there are none, or changes are told by other tables too."""
        if [role for role in HISTORIES if self.parts.get(role)] != ["snapshots"] or self.facts["gap"].isna().all():
            return ()
        return tuple(sorted(set(self.facts["seen"].dt.date)))

    def _called(self, stages: pd.Series[Any]) -> pd.Series[Any]:
        return stages.map(lambda s: self.map.name_of(self.stages.labels.get(s, s)), na_action="ignore").astype("str")

    def _with_deals(self) -> Parts:
        """The tables with one of deals: as given, or as the last snapshot or the history shows them."""
        if self.parts.get("deals"):
            return self.parts
        if self.parts.get("snapshots"):
            tables = [self._last_rows(table) for table in self.parts["snapshots"]]
            return {**self.parts, "deals": tables}
        stage = self.facts[self.facts["part"] == "stage"].sort_values("at", kind="stable").groupby("id", sort=False)
        if stage.ngroups == 0:
            roles = ", ".join(t.name for role in HISTORIES for t in self.parts.get(role, ()))
            raise InputError(
                [Fault("no change of a deal's stage is told by it; give the table of deals too", file=roles)]
            )
        rows = pd.DataFrame(
            {"deal_id": list(stage.groups), _CREATED: stage["at"].min().map(str).to_numpy()}, dtype="str"
        )
        self.said.append("no table of deals was given: a deal counts from its first change")
        name = ", ".join(t.name for role in HISTORIES for t in self.parts.get(role, ()))
        return {**self.parts, "deals": [Table(name, rows)]}

    def _last_rows(self, table: Table) -> Table:
        """Each deal's last snapshot, with a day of creation drawn before its first where no column tells it."""
        table, columns, found, _ = sights(table, self.map, self.until)
        self.gone |= set(found.ids[found.seen.groupby(found.ids).transform("max") < found.seen.max()])
        order = found.seen.sort_values(kind="stable").index
        rows = table.rows.loc[order].drop(columns=columns["snapshot"])
        told = columns.get(_CREATED, _CREATED)
        rows[told] = found.born.reindex(order).map(str).astype("str")
        if _CREATED not in columns:
            self.said.append(
                "a deal counts from a moment drawn between the last snapshot without it and the first with it"
            )
        return Table(table.name, rows[~found.ids.reindex(order).duplicated(keep="last")].sort_index())

    # --- as it was ---

    @cached_property
    def whole(self) -> Draft:
        """The deals of the whole export."""
        return self.draft()

    @cached_property
    def _ended(self) -> tuple[date, pd.DataFrame]:
        deals = self.whole.deals
        moments = deals[["created", "closed"]].assign(said=self.flat.created.reindex(deals.index))
        day, beyond = last_day(moments, deals)
        at = self.facts["seen"].dropna()
        known = at[at < pd.Timestamp(day) + pd.Timedelta(days=366)] if len(beyond) else at
        return (max(day, known.max().date()) if len(known) else day), beyond

    @property
    def last(self) -> date:
        """The last day on which the export shows something happen."""
        return self._ended[0]

    @property
    def beyond(self) -> pd.DataFrame:
        """The deals with dates that must be slips."""
        return self._ended[1]

    def at(self, day: date) -> tuple[StageHistory, list[str]]:
        """The export as it would have read at the end of a day; see `cut`. Raises InputError if there were no deals."""
        parts, words, troubles = self.cut(day)
        role = next(role for role in ("deals", *HISTORIES) if self.parts.get(role))
        refuse_nothing({role: parts.get(role, self.parts[role][:0])}, role, day)
        known = StageHistory(parts, self.map, pd.Timestamp(day) + pd.Timedelta(days=1))
        known.flat.troubles = troubles or known.flat.troubles
        known.silent = (day - known.looks[-1]).days if known.looks else 0
        return known, words

    def cut(self, day: date) -> Cut:
        """The tables as they would have read at the end of a day.

        Changes made later go, and the deals they changed read as before them: a history of fields says what a field
        was, other histories what they said last.
        """
        end = pd.Timestamp(day) + pd.Timedelta(days=1)
        then = StageHistory(self.parts, self.map, end)
        parts: dict[str, Any] = dict(self.parts)
        for role in HISTORIES:
            if role != "entries":
                parts[role] = [_known_rows(role, table, then, end) for table in self.parts.get(role, ())]
        parts["tasks"] = [known_tasks(table, self.map, end) for table in self.parts.get("tasks", ())]
        parts = {role: tables for role, tables in parts.items() if tables}
        later = then.facts[then.facts["seen"] >= end]
        words = [f"as of {day}: {len(later):,} changes made later were left out"] if len(later) else []
        if not self.parts.get("deals"):
            return Cut(parts, words, ())
        moved = later.loc[later["part"] == "stage", "id"]
        known, more, troubles = self.flat.cut(day, past=day < self.last, moved=moved)
        table = known["deals"][0]
        rows = then.with_flags(_rewound(table.rows.copy(), then, later, end), set(moved))
        for column in _entry_columns(rows):
            at, _ = moments_of(rows[column], self.map, end)
            rows[column] = rows[column].where(~(at >= end))
        parts["deals"] = [Table(table.name, rows)]
        if "entries" in parts:
            parts["entries"] = parts["deals"]
        return Cut(parts, words + more, troubles)

    def with_flags(self, rows: pd.DataFrame, moved: set[str]) -> pd.DataFrame:
        """The table of deals with the flags of those that moved later as their stage then had them."""
        columns = self.flat.columns
        stage = columns.get("stage")
        if stage not in rows.columns:
            return rows
        ends = names_to_ends(self.map, self.stages.ends, self.flat.named_ends(), self.facts)
        mine = rows[columns["id"]].str.strip().isin(moved) & rows[stage].notna()
        end = rows.loc[mine, stage].map(lambda name: ends.get(self.map.name_of(self.stages.labels.get(name, name))))
        for flag, of in _FLAGS.items():
            if columns.get(flag) in rows.columns:
                rows.loc[end[end.isin(of)].index, columns[flag]] = "true"
        return rows

    # --- deals ---

    def draft(self) -> Draft:
        """The deals, with what their history says of them, and their visits."""
        base = self.flat.draft(to_days=not (self.facts["part"] == "stage").any())
        deals = base.deals
        labels = pd.Series(deals.index, index=deals["id"])
        labels = labels[~labels.index.duplicated(keep="last")]
        facts = self.facts.assign(deal=self.facts["id"].map(labels))
        strange = facts["deal"].isna()
        troubles: list[Trouble] = []
        if strange.any():
            ids = facts.loc[strange, "id"].drop_duplicates()
            action, bias = "these changes are left out", "if deals are missing from the table, so are their outcomes"
            shown = tuple(ids.head(3))
            name = "deals with a history that the table of deals has not"
            troubles.append(Trouble(name, len(ids), len(ids) / max(1, facts["id"].nunique()), shown, action, bias))
        facts = facts[~strange].sort_values(["deal", "at"], kind="stable").astype({"deal": deals.index.dtype})
        deals, more, money = self._as_told(deals, facts)
        told = base.troubles if money is None else (*self.flat.troubles, *self.flat.unmatched, *money.troubles)
        stage = facts[facts["part"] == "stage"]
        deals, early = _born(deals, stage)
        ends = names_to_ends(self.map, self.stages.ends, self.flat.named_ends(), facts)
        passed = self._passages(deals, stage, ends)
        deals = _with_outcomes(deals, passed.closings, passed.visits, stage["deal"].unique())
        whole_days = date_only(stage["at"]) if len(stage) else base.whole_days
        deals, visits = _to_days(deals, passed.visits, whole_days=whole_days)
        missing = deals["id"].isin(self.gone) & (deals["outcome"] == "open")
        if missing.any():
            name, action = "open deals that the last snapshot has no more", "taken as open since they were last seen"
            bias = "they were closed or deleted in truth: how is not told, so the win rate is of the others alone"
            shown = tuple(deals.loc[missing, "id"].head(3))
            troubles.append(Trouble(name, int(missing.sum()), float(missing.mean()), shown, action, bias))
        said = (*base.said, *self.said, *more, _ends_in_words(ends, passed.visits))
        return Draft(
            deals=deals,
            others=base.others,
            said=tuple(dict.fromkeys(s for s in said if s)),
            troubles=(*told, *troubles, *between_snapshots(facts, self.looks, self.silent), *early, *passed.troubles),
            visits=visits,
            tasks=base.tasks,
            order=tuple(map(self.map.name_of, self.map.order)) or base.order or order_by_chance(facts, ends),
            whole_days=bool(whole_days),
            currency=money.currency if money else base.currency,
            channel=base.channel,
            amounts=amounts_of(facts, deals),
            watched_from=watched_from(stage, ends),
        )

    def _as_told(self, deals: pd.DataFrame, facts: pd.DataFrame) -> tuple[pd.DataFrame, list[str], Money | None]:
        """The deals with the value, owner and category told of them last, what was assumed, and their values."""
        last = facts[facts["now"].notna()].drop_duplicates(["deal", "part"], keep="last")
        told = {part: rows.set_index("deal")["now"] for part, rows in last.groupby("part")}
        changes: dict[str, Any] = {}
        said: list[str] = []
        money: Money | None = None
        if "value" in told:
            text = told["value"].reindex(deals.index).fillna(deals["value_text"]).astype("str")
            codes = self.flat.text["currency"].reindex(deals.index)
            money = in_one_currency(text, codes, self.map.rates)
            changes |= {"value": money.values, "value_text": text}
            said += money.assumptions
        if "owner" in told:
            names = told["owner"].map(lambda who: self.people.get(who, who)).reindex(deals.index)
            changes["owner"] = names.fillna(deals["owner"]).astype("str")
        if "category" in told:
            found = (
                told["category"].map(lambda text: FORECAST_CATEGORIES.get(normal(text), np.nan)).reindex(deals.index)
            )
            rest = deals.get("category", np.nan)
            changes["category"] = found.where(found.notna(), rest).astype("str")
        return deals.assign(**changes), said, money

    def _passages(self, deals: pd.DataFrame, stage: pd.DataFrame, ends: dict[str, str]) -> Passage:
        """The visits that the changes of stage tell.

        Snapshots miss what came before they show a deal: it counts as in the first stage, as deals do that are seen in
        no open stage; where new deals begin, they would else win less often than all do.
        """
        changes = self._changes(deals, stage, ends)
        passed = passages(changes, ends, deals["id"])
        order = stage_order(passed.visits, tuple(map(self.map.name_of, self.map.order)) or self.flat.stages.order)
        first = stage[stage["gap"].notna()].drop_duplicates("deal")
        born = deals["created"].reindex(first["deal"]).set_axis(first.index)
        first = first[born < first["at"]]
        if first.empty or not order:
            return passed
        earlier = pd.DataFrame({"deal": first["deal"], "time": born, "stage": order[0]}).dropna()
        earlier["owner"] = deals["owner"].reindex(earlier["deal"]).to_numpy()
        return passages(pd.concat([earlier, changes], ignore_index=True), ends, deals["id"])

    def _changes(self, deals: pd.DataFrame, stage: pd.DataFrame, ends: dict[str, str]) -> pd.DataFrame:
        """Changes of stage: what the history tells, what was before its first, and the stage of deals without one."""
        owners = deals["owner"].reindex(stage["deal"]).to_numpy()
        told = pd.DataFrame({"deal": stage["deal"], "time": stage["at"], "stage": stage["now"], "owner": owners})
        first = stage.drop_duplicates("deal")
        first = first[first["before"].notna()]
        before = pd.DataFrame(
            {
                "deal": first["deal"],
                "time": deals["created"].reindex(first["deal"]).to_numpy(),
                "stage": first["before"],
                "owner": deals["owner"].reindex(first["deal"]).to_numpy(),
            }
        )
        silent = deals[~deals.index.isin(stage["deal"]) & (deals["outcome"] == "open") & deals["stage"].notna()]
        silent = silent[silent["stage"].map(lambda name: ends.get(name, "open")) == "open"]
        silent = silent[
            (silent["stage"] != OPEN_STAGE) | bool((stage["now"] == OPEN_STAGE).any())
        ]  # it stands for "unknown"
        alone = pd.DataFrame(
            {"deal": silent.index, "time": silent["created"], "stage": silent["stage"], "owner": silent["owner"]}
        )
        every = [part for part in (before, told, alone) if len(part)]
        return pd.concat(every or [told], ignore_index=True)


def _as_one(parts: Parts) -> Parts:
    """The parts with the snapshots of several files in one table, so that each knows the one before."""
    tables = parts.get("snapshots", ())
    if len(tables) < 2:
        return parts
    rows = pd.concat([t.rows for t in tables], ignore_index=True)
    return {**parts, "snapshots": [Table(", ".join(t.name for t in tables), rows)]}


def _known_rows(role: str, table: Table, then: StageHistory, end: pd.Timestamp) -> Table:
    aliases = {"at": CHANGES["snapshot"]} if role == "snapshots" else {"at": CHANGES["at"], "saved": CHANGES["saved"]}
    columns = columns_of(table.rows, aliases, then.map)
    at, _ = moments_of(table.rows[columns.get("at") or columns["saved"]], then.map, end)
    return table.among(at < end)


def _rewound(rows: pd.DataFrame, then: StageHistory, later: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """The table of deals with what each changed field held before its later changes."""
    ids = rows[then.flat.columns["id"]].str.strip()
    for part, changed in later.groupby("part"):
        column = then.flat.columns.get(str(part))
        if column not in rows.columns:
            continue
        first = changed.sort_values("at", kind="stable").drop_duplicates("id").set_index("id")
        known = then.facts[(then.facts["part"] == part) & (then.facts["seen"] < end)].sort_values("at", kind="stable")
        last = known.drop_duplicates("id", keep="last").set_index("id")["now"].reindex(first.index)
        was = first["before"].where(first["told"], last)
        mine = ids.isin(first.index) & (was.reindex(ids).notna().to_numpy() if part == "stage" else True)
        rows.loc[mine, column] = was.reindex(ids[mine]).to_numpy()
    return rows


def _entry_columns(rows: pd.DataFrame) -> list[str]:
    return [column for column in rows.columns if entered_stage(column)]


def _born(deals: pd.DataFrame, stage: pd.DataFrame) -> tuple[pd.DataFrame, list[Trouble]]:
    """The deals counted from their first change where that is earlier, or on the day of creation."""
    first = stage.groupby("deal")["at"].min().reindex(deals.index)
    early = first < deals["created"]
    created = deals["created"].where(~(early | (first.dt.normalize() == deals["created"])), first)
    if date_only(first):  # on the day of creation: whether before can't be told
        early &= first < deals["created"].dt.normalize()
    if not early.any():
        return deals.assign(created=created), []
    shown = tuple(str(i) for i in deals.loc[early, "id"].head(3))
    name, action = "changes before the deal was created", "the deal counts from its first change"
    trouble = Trouble(
        name, int(early.sum()), float(early.mean()), shown, action, "the day of creation may be that of an import"
    )
    return deals.assign(created=created), [trouble]


def _with_outcomes(deals: pd.DataFrame, closings: pd.DataFrame, visits: pd.DataFrame, told: Any) -> pd.DataFrame:
    """The deals that have a history with the outcome, closing and present stage that it tells."""
    mine = deals.index.isin(told)
    now = (
        visits[visits["left"].isna()]
        .drop_duplicates("deal", keep="last")
        .set_index("deal")["stage"]
        .reindex(deals.index)
    )
    ended = closings.reindex(deals.index)
    is_open = pd.Series(mine, index=deals.index) & ended["outcome"].isna()
    return deals.assign(
        outcome=deals["outcome"].where(~mine, ended["outcome"].fillna("open")).astype("str"),
        closed=deals["closed"].where(~mine, ended["closed"]).astype("datetime64[us]"),
        stage=deals["stage"].where(~mine, ended["stage"].where(~is_open, now)).astype("str"),
        expected=deals["expected"].where(~mine | is_open),
        closed_text=deals["closed_text"].where(~mine),
    )


def _to_days(deals: pd.DataFrame, visits: pd.DataFrame, *, whole_days: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Deals and visits with all moments as the history knows them: to the day, or with times.

    A closing that is known to the day, on the day of a creation that has a time, comes with it.
    """
    if not whole_days:
        at_once = deals["closed"] == deals["created"].dt.normalize()
        return deals.assign(closed=deals["closed"].where(~at_once, deals["created"])), visits
    days = {name: deals[name].dt.normalize() for name in ("created", "closed", "expected")}
    return deals.assign(**days), visits.assign(**{n: visits[n].dt.normalize() for n in ("entered", "left")})


def _ends_in_words(ends: Mapping[str, str], visits: pd.DataFrame) -> str:
    groups = {end: [f"'{name}'" for name, e in ends.items() if e == end] for end in ("won", "lost")}
    said = "; ".join(f"{end}: {', '.join(names[:12]) or 'none'}" for end, names in groups.items())
    return (
        f"in the history, {said}; {counted(visits['stage'].nunique(), 'open stage')}, {counted(len(visits), 'visit')}"
    )


__all__ = ["StageHistory"]
