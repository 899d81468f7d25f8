"""A log of events: a row for each event or task of a case, with who did it and when.

A case is in a stage from the start of that stage's activity until the next stage's starts; an end closes it when it is
done. Which activities are stages, which are work and which are ends is said in the map or told by `simfunnel.crm.acts`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.acts import MOMENT, Acts, check_names, tell_acts
from simfunnel.crm.bringers import BROUGHT_BY, ids_of
from simfunnel.crm.evidence import Trouble
from simfunnel.crm.flat import last_day, refuse_nothing
from simfunnel.crm.history import OWN, TASKS, Draft
from simfunnel.crm.maps import Map
from simfunnel.crm.names import ALIASES, EVENTS, normal
from simfunnel.crm.roles import Parts, columns_of
from simfunnel.crm.sources import Table
from simfunnel.crm.tables import AS_WRITTEN, day_comes_first, each_name, read_dates, read_numbers
from simfunnel.crm.visits import passages
from simfunnel.errors import Fault, InputError

_BEGINS = {"start", "resume"}
_ENDS = {"complete", "suspend", "end", "ateabort", "piabort", "abort"}


class EventLog:
    """A log of events, read as it is; see `Importer`."""

    looks: tuple[date, ...] = ()

    def __init__(self, parts: Parts, said: Map, until: pd.Timestamp | None = None) -> None:
        self.parts, self.map, self.until = parts, said, until
        tables = parts["events"]
        rows = tables[0].rows if len(tables) == 1 else pd.concat([t.rows for t in tables], ignore_index=True)
        self.raw = Table(", ".join(t.name for t in tables), rows)
        self.columns = columns_of(rows, EVENTS, said)
        self.said = [self._columns_in_words()]
        self.said += [f"not used: {t.name}" for role, ts in parts.items() if role != "events" for t in ts]
        self.troubles: list[Trouble] = []
        if rows.empty:
            raise InputError([Fault("no events: the file has a header, and no row", file=self.raw.name)])
        self.start, self.end = self._moments()
        if self.end.isna().all() and self.start.isna().all():
            column = self.columns.get("end", self.columns.get("start"))
            shown = next(iter(rows[column].dropna()), "empty")
            message = f"no date in column '{column}' can be read (such as '{shown}'); write them as 2026-10-01 09:30"
            raise InputError([Fault(message, file=self.raw.name)])
        if until is None:
            acts = rows[self.columns["activity"]].dropna().str.strip().unique()
            check_names([said.name_of(act) for act in acts], said, self.raw.name)

    def _columns_in_words(self) -> str:
        rest = [name for name in self.raw.rows.columns if name not in self.columns.values()]
        words = ", ".join(f"{part} is '{column}'" for part, column in self.columns.items())
        return f"a log of events; columns: {words}" + (f"; others: {', '.join(rest)}" if rest else "")

    def _moments(self) -> tuple[pd.Series[Any], pd.Series[Any]]:
        """When each row's activity began and ended; where one column is missing, it has no value."""
        rows = self.raw.rows
        texts = {part: rows[self.columns[part]] for part in ("start", "end") if part in self.columns}
        day_first, order = self.map.day_first, ""
        if day_first is None and not self.map.form:
            day_first, order = day_comes_first(list(texts.values()), self.until)
        self.day_first = bool(day_first)
        found = {}
        for part, text in texts.items():
            dates = read_dates(text, day_first=self.day_first, form=self.map.form, zone=self.map.zone or AS_WRITTEN)
            found[part] = dates.values
            self.said += [s for s in dates.assumptions if s not in self.said]
        self.said += [order] if order else []
        nothing = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us]")
        if "end" not in found:
            return nothing, found["start"]
        return found.get("start", nothing), found["end"]

    # --- what happened ---

    @cached_property
    def items(self) -> pd.DataFrame:
        """A row for each activity of a case: case, activity, member, start (NaT where unknown), end (NaT under way)."""
        rows, texts = self.raw.rows, {}
        for part in ("case", "activity", "member", "lifecycle"):
            if part in self.columns:
                texts[part] = rows[self.columns[part]].str.strip()
        items = pd.DataFrame(
            {
                "case": texts["case"],
                "activity": each_name(texts["activity"], self.map.name_of),
                "member": texts.get("member", pd.Series(np.nan, index=rows.index, dtype="str")),
                "start": self.start,
                "end": self.end,
            }
        )
        items = self._without_faults(items, rows)
        if "lifecycle" in texts and self.start.isna().all():
            items = self._paired(items, texts["lifecycle"][items.index])
        at = items["start"].fillna(items["end"])
        items = items.assign(at=at, row=items.index)
        return items.sort_values(["at", "row"], kind="stable", ignore_index=True)

    def _without_faults(self, items: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
        """Without rows that come twice, or lack a case, an activity or a date."""
        checks = (
            (
                "events that come twice",
                rows.duplicated(),
                "one of each was kept",
                "if they are two alike in truth, there was more work than is counted",
            ),
            (
                "events without a case or an activity",
                items["case"].isna() | items["activity"].isna(),
                "left out",
                "the cases that they belong to lack a stage, an end or work",
            ),
            (
                "events without a date that can be read",
                items["start"].isna() & items["end"].isna(),
                "left out",
                "a stage whose event is missing seems to be skipped",
            ),
        )
        gone = pd.Series(False, index=items.index)
        for name, bad, action, bias in checks:
            new = bad & ~gone
            if new.any():
                examples = tuple(str(case) for case in items.loc[new, "case"].dropna().head(3))
                self.troubles.append(Trouble(name, int(new.sum()), float(new.mean()), examples, action, bias, "events"))
            gone |= bad
        return items[~gone]

    def _paired(self, items: pd.DataFrame, lifecycle: pd.Series[Any]) -> pd.DataFrame:
        """Rows of starts and completions as one row for each activity; other steps of its life are left aside."""
        step = each_name(lifecycle, normal).fillna("complete")
        begins, ends = step.isin(_BEGINS), step.isin(_ENDS)
        aside = ~(begins | ends)
        if aside.any():
            counts = step[aside].value_counts()
            self.said.append(
                f"steps of an activity's life that aren't used: {', '.join(counts.index)} ({aside.sum():,})"
            )
        key = ["case", "activity"]
        mine = items[~aside].assign(begins=begins[~aside])
        mine = mine.sort_values([*key, "end"], kind="stable")
        same = (mine["case"] == mine["case"].shift()) & (mine["activity"] == mine["activity"].shift())
        after_begin = same & mine["begins"].shift(fill_value=False)
        before = same.shift(-1, fill_value=False)
        last = ~before
        done = mine.assign(start=mine["end"].shift().where(after_begin))[~mine["begins"]]
        under_way = mine[mine["begins"] & last]
        lost = int((mine["begins"] & before & mine["begins"].shift(-1, fill_value=False)).sum())
        if lost:
            self.troubles.append(
                Trouble(
                    "tasks begun again before they ended",
                    lost,
                    lost / len(mine),
                    (),
                    "the last begin counts",
                    "",
                    "events",
                )
            )
        under_way = under_way.assign(start=under_way["end"], end=np.datetime64("NaT", "us"))
        both = pd.concat([done, under_way]).drop(columns="begins")
        return both.astype({"start": "datetime64[us]", "end": "datetime64[us]"}).sort_index(kind="stable")

    @cached_property
    def _ended(self) -> tuple[date, pd.DataFrame]:
        rows = pd.DataFrame(
            {"id": self.raw.rows[self.columns["case"]], "created": self.start.fillna(self.end), "closed": self.end}
        )
        return last_day(rows[["created", "closed"]], rows)

    @property
    def last(self) -> date:
        """The last day on which the log shows something happen."""
        return self._ended[0]

    @property
    def beyond(self) -> pd.DataFrame:
        """Events with dates that must be slips."""
        return self._ended[1]

    def at(self, day: date) -> tuple[EventLog, list[str]]:
        """The log as it would have read at the end of a day: later events gone, tasks under way without an end.

        Raises InputError where there was none.
        """
        end = pd.Timestamp(day) + pd.Timedelta(days=1)
        then = self._read_by(end)
        at = then.start.fillna(then.end)
        gone = (at >= end) | (at.isna() if day < self.last else False)
        under_way = ~gone & then.start.notna() & (then.end >= end)
        rows = self.raw.rows
        if under_way.any():
            rows = rows.copy()
            rows.loc[under_way, self.columns["end"]] = np.nan
        words = []
        if gone.any() or under_way.any():
            words.append(
                f"as of {day}: {int(gone.sum()):,} events that began later were left out, and {int(under_way.sum()):,} "
                "tasks are under way"
            )
        parts = {**self.parts, "events": [Table(self.raw.name, rows[~gone])]}
        refuse_nothing(parts, "events", day)
        if then.day_first != self.day_first:
            return EventLog(parts, self.map, end), words
        known = copy.copy(self)  # what was read is read alike: no need to read it again
        known.raw, known.until, known.troubles = parts["events"][0], end, []
        known.start = then.start[~gone]
        known.end = then.end.where(~under_way)[~gone]
        known.__dict__.pop("items", None)
        return known, words

    def _read_by(self, end: pd.Timestamp) -> EventLog:
        """The whole log with its dates read by what was known before a moment."""
        if self.map.form or self.map.day_first is not None:
            return self
        texts = [self.raw.rows[self.columns[part]] for part in ("start", "end") if part in self.columns]
        return self if day_comes_first(texts, end)[0] == self.day_first else EventLog(self.parts, self.map, end)

    # --- cases ---

    def draft(self) -> Draft:
        """The cases as deals, their visits, and the tasks."""
        items = self.items
        if items.empty:
            raise InputError([Fault("no event in it can be used", file=self.raw.name)])
        acts = tell_acts(items, self.map, self.raw.name)
        codes, cases = pd.factorize(items["case"])
        items = items.assign(deal=codes)
        deals, others = self._cases(items, pd.Index(cases))
        deals, others, channel = self._where_from(deals, others)
        changes = _changes(items, acts)
        passed = passages(changes, acts.ends, deals["id"])
        deals = _closed(deals, passed.closings, passed.visits)
        tasks = _tasks(items, acts)
        said = (
            *self.said,
            *acts.said,
            "a case counts from its first event, and is in a stage from that stage's start on",
        )
        return Draft(
            deals=deals,
            others=others,
            said=tuple(dict.fromkeys(said)),
            troubles=(*self.troubles, *passed.troubles),
            visits=passed.visits,
            tasks=tasks,
            order=acts.order,
            whole_days=bool((items["at"] == items["at"].dt.normalize()).all()),
            complete=True,
            channel=channel,
        )

    def _where_from(self, deals: pd.DataFrame, others: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[str, ...], str]:
        """The cases with who brought them, the other columns, and the one of these that is the channel."""
        kept = {part: self.map.columns[part] for part in ("channel", BROUGHT_BY) if part in self.map.columns}
        said = replace(self.map, columns={part: _bare(column) for part, column in kept.items()})
        shown = pd.DataFrame(columns=[_bare(name) for name in others])
        names = dict(zip(shown.columns, others, strict=True))
        told = columns_of(shown, {part: ALIASES[part] for part in ("channel", BROUGHT_BY)}, said)
        bringer = names.get(told.get(BROUGHT_BY, ""))
        if bringer is not None:
            deals = deals.drop(columns=bringer).assign(**{BROUGHT_BY: ids_of(deals[bringer])})
        return deals, tuple(name for name in others if name != bringer), names.get(told.get("channel", ""), "")

    def _cases(self, items: pd.DataFrame, cases: pd.Index[Any]) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """A row for each case: its first event's date, value, last member, and the columns that never change in it."""
        groups = items.groupby("deal")
        value_text: pd.Series[Any] = pd.Series(np.nan, index=range(len(cases)), dtype="str")
        rows = self.raw.rows.loc[items["row"]].set_index(items.index)
        by_deal = rows.groupby(items["deal"])
        if "value" in self.columns:
            value_text = by_deal[self.columns["value"]].first().astype("str")
        values, _ = read_numbers(value_text, money=True)
        nothing: pd.Series[Any] = pd.Series(np.nan, index=range(len(cases)), dtype="str")
        deals = pd.DataFrame(
            {
                "id": pd.Series(cases, dtype="str"),
                "created": groups["at"].min(),
                "closed": pd.Series(pd.NaT, index=range(len(cases)), dtype="datetime64[us]"),
                "outcome": pd.Series("open", index=range(len(cases)), dtype="str"),
                "stage": nothing,
                "value": values,
                "owner": groups["member"].last().astype("str"),
                "expected": pd.Series(pd.NaT, index=range(len(cases)), dtype="datetime64[us]"),
                "created_text": nothing,
                "closed_text": nothing,
                "value_text": value_text,
            }
        )
        others: dict[str, pd.Series[Any]] = {}
        for column in rows.columns:
            if column in self.columns.values() or column.startswith("_"):
                continue
            first = by_deal[column].first()
            if not (rows[column].isna() | (rows[column] == items["deal"].map(first))).all():
                continue
            bare = _bare(column)
            others[bare if bare not in {*deals.columns, *OWN, *others} else f"case {bare}"] = first.astype("str")
        return deals.assign(**others), tuple(others)


def _bare(column: str) -> str:
    """A column of a case without the words that say so."""
    return column.removeprefix("case:").removeprefix("(case)").removeprefix("case ").strip() or column


def _changes(items: pd.DataFrame, acts: Acts) -> pd.DataFrame:
    """Entries to stages, and ends; what is noted within a minute after an end belongs to it."""
    is_end = items["activity"].isin(list(acts.ends)) & items["end"].notna()
    is_stage = items["activity"].isin(list(acts.stages))
    ended = items["end"].where(is_end).groupby(items["deal"]).transform("min")
    same_act = is_stage & (items["at"] > ended) & (items["at"] <= ended + MOMENT)
    used = items[(is_end | is_stage) & ~same_act]
    return pd.DataFrame(
        {
            "deal": used["deal"],
            "time": used["at"].where(~is_end[used.index], used["end"]),
            "stage": used["activity"],
            "owner": used["member"],
        }
    )


def _closed(deals: pd.DataFrame, closings: pd.DataFrame, visits: pd.DataFrame) -> pd.DataFrame:
    """The deals with their outcomes, closings and present stages."""
    now = visits[visits["left"].isna()].drop_duplicates("deal", keep="last").set_index("deal")["stage"]
    stage = closings["stage"].reindex(deals.index).fillna(now.reindex(deals.index))
    return deals.assign(
        outcome=closings["outcome"].reindex(deals.index).fillna("open").astype("str"),
        closed=closings["closed"].reindex(deals.index).astype("datetime64[us]"),
        stage=stage.astype("str"),
    )


def _tasks(items: pd.DataFrame, acts: Acts) -> pd.DataFrame | None:
    """Activities that take time, or are work; None where no start of any is known."""
    takes_time = items["start"].notna() & (items["activity"].isin(list(acts.work)) | (items["start"] != items["end"]))
    tasks = items[takes_time]
    return tasks[list(TASKS)].reset_index(drop=True) if len(tasks) else None


__all__ = ["EventLog"]
