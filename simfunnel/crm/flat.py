"""Deals as a flat export has them, a row each; leads with their wins in a second table; deals and accounts.

A flat file says how things stand when it is written. `Flat.cut` writes it as it would have read on an earlier day;
whatever is decided from a file is decided from that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from simfunnel.crm.bringers import BROUGHT_BY, filled_late, ids_of
from simfunnel.crm.currencies import in_one_currency
from simfunnel.crm.evidence import Trouble
from simfunnel.crm.history import OPEN_STAGE, OWN, Draft, usable_name
from simfunnel.crm.leaks import leaks
from simfunnel.crm.lookups import joined, people_names, stage_names
from simfunnel.crm.maps import Map
from simfunnel.crm.names import ALIASES, FORECAST_CATEGORIES, REQUIRED, normal, outcome_named, truth
from simfunnel.crm.quality import no_date_in_words
from simfunnel.crm.roles import HISTORIES, Parts, columns_of, entered_stage
from simfunnel.crm.sources import Table
from simfunnel.crm.tables import Dates, OtherOrder, day_comes_first, other_order, read_dates
from simfunnel.crm.tasks import known_tasks, read_tasks
from simfunnel.errors import Fault, InputError
from simfunnel.formatting import counted

_FAR = timedelta(days=366)  # a few dates that come so long after all others are slips of the pen
_FLAGS = ("is_closed", "is_won", "is_lost")
_ENDED_ON = ("closed", "won_on", "lost_on")
_OTHER_ZONE = pd.Timedelta(days=1)  # by which a day and a moment of it may differ
_FEW_BACKWARDS = 5  # fewer deals that close before they are created may be slips
_MIXED = 0.05  # more dates in the other order are no slips: two orders are mixed
_MOST_NAMED = 8  # stages
Text = dict[str, "pd.Series[Any]"]


class Cut(NamedTuple):
    """Tables as they would have read on a day, words on what was taken away, and troubles with what was."""

    parts: Parts
    words: list[str]
    troubles: tuple[Trouble, ...]


class Flat:
    """An export with a row for each deal, read as it is.

    `until` is the first moment that isn't known: it bounds what decides how dates are read. Raises InputError where a
    column is missing, no date can be read, or nothing tells won from lost.
    """

    looks: tuple[date, ...] = ()

    def __init__(self, parts: Parts, said: Map, until: pd.Timestamp | None = None) -> None:
        self.parts, self.map, self.until = parts, said, until
        self.troubles: tuple[Trouble, ...] = ()
        self.raw = _one_table(parts["deals"])
        self.has_history = any(parts.get(role) for role in HISTORIES)
        self.columns = _required(self.raw, said, bool(parts.get("wins")), self.has_history)
        self.said: list[str] = []
        table = self._with_wins(self.raw)
        self.said.append(_columns_in_words(self.columns, table.rows))
        self.table, words, self.unmatched = joined(self._not_deleted(table), parts.get("others", ()))
        self.said += words
        if self.table.rows.empty:
            raise _fault(self.name, self._why_none(table))
        self._interpret()

    @property
    def name(self) -> str:
        """The file's name."""
        return self.raw.name

    def _with_wins(self, table: Table) -> Table:
        """Leads with the columns of their wins, joined by id."""
        for wins in self.parts.get("wins", ()):
            theirs = columns_of(wins.rows, ALIASES, self.map)
            keys, mine = wins.rows[theirs["id"]].str.strip(), table.rows[self.columns["id"]].str.strip()
            last = wins.rows[~keys.duplicated(keep="last") & keys.notna()]
            more = last.set_index(keys[last.index]).drop(columns=theirs["id"])
            more.columns = [c if c not in table.rows.columns else f"won {c}" for c in more.columns]
            found = more.reindex(mine)
            found.index = table.rows.index
            self.said.append(
                f"joined: {wins.name}, {counted(len(last), 'win')}, of which {int(keys.isin(mine).sum()):,} are found"
            )
            self.columns = {
                **{k: f"won {v}" if v in table.rows.columns else v for k, v in theirs.items() if k != "id"},
                **self.columns,
            }
            table = Table(f"{table.name}, {wins.name}", table.rows.join(found))
        return table

    def _not_deleted(self, table: Table) -> Table:
        gone = self.columns.get("deleted")
        deleted = table.rows[gone].map(truth).astype(bool) if gone else pd.Series(False, index=table.rows.index)
        if deleted.any():
            self.said.append(f"{int(deleted.sum()):,} rows are marked as deleted ('{gone}') and left out")
        return table.among(~deleted)

    def _why_none(self, table: Table) -> str:
        """Why no row of a table counts, and what to do about it."""
        gone = self.columns.get("deleted")
        if table.rows.empty or gone is None:
            return "no deals: the file has a header, and no row that counts"
        n = len(table.rows)
        rows = f"all {n:,} rows are" if n > 1 else "the only row is"
        return (
            f"no deals: {rows} marked as deleted in '{gone}' (such as '{table.rows[gone].iloc[0].strip()}'). Export "
            "deals that are not deleted; or, if that column means something else, leave it out of the file"
        )

    # --- what the rows say ---

    def _interpret(self) -> None:
        """Dates, outcomes, stages, values and people from text."""
        rows = self.table.rows
        nothing: pd.Series[Any] = pd.Series(np.nan, index=rows.index, dtype="str")
        self.text: Text = {n: rows[self.columns[n]] if n in self.columns else nothing for n in ALIASES}
        self.stages = stage_names(self.parts, self.map)
        self.text["stage"] = self.text["stage"].str.strip().map(self._stage_name, na_action="ignore").astype("str")
        self.people = people_names(self.parts, self.map)
        self.outcome, told, self.told_by = self._outcomes()
        ended = self.outcome != "open"
        day_first, order = self.map.day_first, ""
        columns = [self.text["created"], *(self.text[name][ended] for name in _ENDED_ON)]
        if day_first is None and not self.map.form:
            day_first, order = day_comes_first(columns, self.until)
        self.day_first = bool(day_first)
        mixed = None if self.map.form else other_order(columns, self.day_first, self.until)
        if mixed:
            self.troubles += (_two_orders(mixed, day_first=self.day_first),)
        dates = {name: self._dates(name) for name in ("created", *_ENDED_ON, "modified")}
        self.created = dates["created"].values
        self._refuse_unread(self.columns["created"])
        self.closing = self._closing(dates)
        self._refuse_backwards()
        self.said += [order, *dates["created"].assumptions, *told]
        if not told:
            self.said.append("nothing in the file says won or lost: every deal is taken as open")
            self._refuse_untold()

    def _stage_name(self, stage: str) -> str:
        return self.map.name_of(self.stages.labels.get(stage, stage))

    def _dates(self, part: str) -> Dates:
        return read_dates(self.text[part], day_first=self.day_first, form=self.map.form, zone=self.map.zone)

    def _closing(self, dates: Mapping[str, Dates]) -> pd.Series[Any]:
        """The day of the closing, or of the one that is expected while a deal is open.

        Some systems let a deal keep the day that was planned when it closes earlier; but none closes after its last
        change.
        """
        closing = dates["won_on"].values.where(self.outcome == "won")
        closing = closing.fillna(dates["lost_on"].values.where(self.outcome == "lost"))
        closing = closing.fillna(dates["closed"].values)
        changed, ended = dates["modified"].values, self.outcome != "open"
        early = ended & (closing.dt.normalize() > changed.dt.normalize() + _OTHER_ZONE)
        if not early.any() or early.sum() > ended.sum() / 2:  # such a column means something else
            return closing
        self.troubles += (self._closed_early(early),)
        return closing.mask(early, changed)

    def _closed_early(self, rows: pd.Series[bool]) -> Trouble:
        """Deals whose day of closing lies after their last change."""
        ended = int((self.outcome != "open").sum())
        return Trouble(
            name=f"closed on a day after the deal was last changed ('{self.columns['modified']}')",
            count=int(rows.sum()),
            share=float(rows.sum() / ended),
            examples=tuple(str(i) for i in self.text["id"][rows].dropna().head(3)),
            action="taken as closed on the day of the last change",
            bias="a deal may have been changed after it closed, and then closed earlier still: times are a little long",
            of="closed deals",
        )

    def _outcomes(self) -> tuple[pd.Series[Any], list[str], str]:
        """Each deal's outcome, a sentence on how it was told (none where nothing says it), and the part that tells.

        Stage names of the map come first, then flags, then words in a column of outcomes, then stage names, then
        whether there is a day of a win or a loss.
        """
        by_name, told_by = self._ends_by_name(self.text["stage"]), "stage"
        if not self.map.ends and "outcome" in self.columns:
            found = self._ends_by_name(self.text["outcome"])
            if set(found.values()) - {"open"} or "stage" not in self.columns:
                by_name, told_by = found, "outcome"
        names = self.text[told_by]
        told = pd.Series([by_name.get(name, "open") for name in names], index=names.index, dtype="str")
        flagged = [self.columns[n] for n in _FLAGS if n in self.columns]
        dated = [self.columns[n] for n in ("won_on", "lost_on") if n in self.columns]
        if flagged and not self.map.ends:
            outcome = self._flagged(told)
            return (
                outcome,
                [f"outcomes are told by the flags {', '.join(flagged)}; in all, {_counts(outcome)}"],
                "flags",
            )
        groups = {o: [f"'{n}'" for n, found in by_name.items() if found == o] for o in ("won", "lost", "open")}
        if not self.map.ends and not groups["won"] and not groups["lost"]:
            if not dated:
                return told, [], told_by
            lost = np.where(self.text["lost_on"].notna(), "lost", "open")
            outcome = pd.Series(np.where(self.text["won_on"].notna(), "won", lost), index=names.index, dtype="str")
            return outcome, [f"outcomes are told by dates in {', '.join(dated)}; in all, {_counts(outcome)}"], "dates"
        counts = {o: f"{o}: {', '.join(n[:12]) or 'none'} ({int((told == o).sum()):,})" for o, n in groups.items()}
        column = self.columns.get(told_by, told_by)
        return told, [f"outcomes are told by the names in '{column}'; in all, {'; '.join(counts.values())}"], told_by

    def _ends_by_name(self, names: pd.Series[Any]) -> dict[str, str]:
        """Each stage name's outcome: as the map says, else as a table of stages says, else as the name says."""
        found = [str(name) for name in names.dropna().unique()]
        if self.map.ends:
            return {name: self.map.ends.get(normal(name), "open") for name in found}
        return {name: self.stages.ends.get(name) or outcome_named(name) for name in found}

    def _flagged(self, told: pd.Series[Any]) -> pd.Series[Any]:
        flags = {n: self.text[n].map(truth).astype(bool) for n in _FLAGS if n in self.columns}
        won = flags.get("is_won", told == "won")
        lost = flags.get("is_lost", told == "lost")
        if "is_closed" in flags:
            won, lost = won & flags["is_closed"], flags["is_closed"] & ~won
        return pd.Series(np.where(won, "won", np.where(lost, "lost", "open")), index=told.index, dtype="str")

    def named_ends(self) -> pd.DataFrame:
        """The `name` of each deal's stage, and its outcome as `end` where flags tell it (in whatever language)."""
        end = self.outcome if self.told_by == "flags" else np.nan
        return pd.DataFrame({"name": self.text["stage"], "end": end})

    def _refuse_unread(self, column: str) -> None:
        if self.created.isna().all():
            written = self.text["created"].dropna()
            shown = f"such as '{written.iloc[0]}'" if len(written) else "all are empty"
            raise _fault(
                self.name,
                f"no date in column '{column}' can be read ({shown}); write them as 2026-10-01, or say their format in "
                'the map, such as dates: "%d.%m.%y"'
            )  # fmt: skip

    def _refuse_backwards(self) -> None:
        """Raise InputError where most deals closed before they were created, as if two columns were swapped.

        Not where many of them were created on one day: that is the day of an import.
        """
        if self.has_history or self.until is not None:
            return
        closed = (self.outcome != "open") & self.closing.notna() & self.created.notna()
        backwards = closed & (self.closing.dt.normalize() < self.created.dt.normalize())
        n = int(backwards.sum())
        if n < _FEW_BACKWARDS or 2 * n <= int(closed.sum()):
            return
        if 2 * int(self.created[backwards].dt.normalize().value_counts().iloc[0]) > n:
            return
        used = [self.columns[name] for name in _ENDED_ON if self.text[name][backwards].notna().any()]
        start, end = self.columns["created"], used[0]
        is_open = self.outcome == "open"
        if self.created[is_open].notna().any():  # swapped for closed deals alone: no map can say so
            mend = "If so, put them right in the file"
        else:
            mend = f"If so, say it in a file map.yaml, given with --map map.yaml:\n  created: {end}\n  closed: {start}"
        raise _fault(
            self.name,
            f"{n:,} of {counted(int(closed.sum()), 'closed deal')} closed before they were created: "
            f"are '{start}' and '{end}' swapped? {mend}",
        )

    def _refuse_untold(self) -> None:
        if bool((self.closing <= self.created.max()).any()) and not self.has_history:
            names = ", ".join(sorted(self.text["stage"].dropna().unique())[:12])
            raise _fault(
                self.name,
                f"deals have close dates, but no stage name says won or lost; stages found: {names}. Say which they "
                "are in a file map.yaml and give it with --map map.yaml:\n  stages: {won: [...], lost: [...]}",
            )  # fmt: skip

    # --- deals ---

    def draft(self, *, to_days: bool = True) -> Draft:
        """The deals, with canonical columns in front; all dates to the day where one column has no more (`to_days`)."""
        is_open = self.outcome == "open"
        money = in_one_currency(self.text["value"], self.text["currency"], self.map.rates)
        rows = self.table.rows
        ids = self.text["id"] if "id" in self.columns else pd.Series([f"row {n + 2}" for n in rows.index], rows.index)
        ended_text = self.text["won_on"].fillna(self.text["lost_on"]).fillna(self.text["closed"])
        canonical = {
            "id": ids.fillna("").str.strip(),
            "created": self.created,
            "closed": self.closing.where(~is_open),
            "outcome": self.outcome,
            "stage": self.text["stage"],
            "value": money.values,
            "owner": self._owners(),
            "expected": self.closing.where(is_open),
            "created_text": self.text["created"],
            "closed_text": ended_text.where(~is_open),
            "value_text": self.text["value"],
        }
        if "category" in self.columns:
            canonical["category"] = self.text["category"].map(_category, na_action="ignore").astype("str")
        if BROUGHT_BY in self.columns:
            canonical[BROUGHT_BY] = ids_of(self.text[BROUGHT_BY])
        renamed = {name: name if name not in {*canonical, *OWN} else f"crm {name}" for name in rows.columns}
        used = {column for part, column in self.columns.items() if part != "channel"}
        rest = [c for c in rows.columns if c not in used and c[0] != "_" and not entered_stage(c)]
        kept = rows[rest].rename(columns=renamed)
        deals = pd.DataFrame(canonical, index=rows.index).join(kept)
        whole_days = date_only(deals["created"]) or date_only(deals["closed"])
        if whole_days and to_days:
            for name in ("created", "closed", "expected"):
                deals[name] = deals[name].dt.normalize()
        said = [*self.said, *money.assumptions]
        tasks, words = read_tasks(self.parts, self.map, self.until, canonical["id"], self.people)
        said += words
        said += self._not_told_by_stage()
        said += [f"no column of {name}s was found" for name in ("value", "owner") if name not in self.columns]
        if _value_comes_late(deals):
            said.append("values are filled in only when a deal closes, so an open deal's value is unknown")
        return Draft(
            deals=deals,
            others=tuple(kept.columns),
            said=tuple(dict.fromkeys(s for s in said if s)),
            troubles=(*self.troubles, *self.unmatched, *money.troubles),
            whole_days=whole_days,
            tasks=tasks,
            currency=money.currency,
            order=self.stages.order,
            channel=renamed.get(self.columns.get("channel", ""), ""),
        )

    def _not_told_by_stage(self) -> list[str]:
        """What is not told apart by stage, for nothing says when a deal came to its stage."""
        if self.has_history:
            return []
        names = self.text["stage"][self.outcome == "open"].dropna().unique()
        said = []
        if len(names) > 1:
            shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
            said.append(
                f"the {len(names)} open stages ({shown}) count as one: the file doesn't tell when a deal came to its "
                "stage (a history of stages would)"
            )
        if self.map.order:
            said.append("the map's order of stages is not used, for the file has no history of stages")
        return said

    def _owners(self) -> pd.Series[Any]:
        owners = self.text["owner"].str.strip()
        if not self.people:
            return owners
        return owners.map(lambda who: self.people.get(who, who), na_action="ignore").astype("str")

    @cached_property
    def _ended(self) -> tuple[date, pd.DataFrame]:
        deals = self.whole.deals
        return last_day(deals[["created", "closed"]], deals)

    @cached_property
    def whole(self) -> Draft:
        """The deals of the whole file."""
        return self.draft()

    @property
    def last(self) -> date:
        """The last day on which the file shows something happen."""
        return self._ended[0]

    @property
    def beyond(self) -> pd.DataFrame:
        """The deals with dates that must be slips."""
        return self._ended[1]

    # --- as it was ---

    @cached_property
    def _filled_late(self) -> tuple[str, ...]:
        """The file's columns that are filled in, or cleared, when a deal ends."""
        whole = self.whole
        late = leaks(whole.deals, whole.others)
        names = [name.removeprefix("crm ") if name not in self.raw.rows.columns else name for name in late]
        if _value_comes_late(whole.deals):
            names.append(self.columns["value"])
        if filled_late(whole.deals):
            names.append(self.columns[BROUGHT_BY])
        return tuple(name for name in names if name in self.raw.rows.columns)

    def at(self, day: date) -> tuple[Flat, list[str]]:
        """The export as it would have read at the end of a day; see `cut`. Raises InputError if there were no deals."""
        cut = self.cut(day)
        refuse_nothing(cut.parts, "deals", day)
        known = Flat(cut.parts, self.map, pd.Timestamp(day) + pd.Timedelta(days=1))
        known.troubles = cut.troubles
        return known, cut.words

    def cut(self, day: date, *, past: bool | None = None, moved: Iterable[str] = ()) -> Cut:
        """The tables as they would have read at the end of `day`, and what that took away.

        Deals created later go. Deals closed later (and those named in `moved`, which changed later) are open again,
        with no closing date and a stage that isn't known. What comes later tells one thing alone: which cells were
        still empty, for columns that are filled in or cleared when a deal ends; they are emptied for all deals that
        were open. Expected closing dates and forecast categories may have been moved since, so they go too.
        """
        end = pd.Timestamp(day) + pd.Timedelta(days=1)
        then = Flat(self.parts, self.map, end)
        past = day < self.last if past is None else past
        later = then.created >= end
        gone = later | then.created.isna() if past else later
        ids = then.text["id"].str.strip()
        was_open = (then.outcome == "open") | (then.closing >= end) | ids.isin(set(moved))
        undone = was_open & ((then.outcome != "open") | ids.isin(set(moved)))
        rows = self.raw.rows.copy()
        reopened, waiting = undone[undone].index, was_open[was_open].index
        name = open_stage(then.text["stage"][~gone & (then.outcome == "open") & ~undone])
        for part, value in (("stage", name), ("outcome", "open"), *((f, "false") for f in _FLAGS)):
            if then.columns.get(part) in rows.columns:
                rows.loc[reopened, then.columns[part]] = value
        emptied = [then.columns.get(n) for n in (*_ENDED_ON, "category")] + list(self._filled_late)
        for column in dict.fromkeys(c for c in emptied if c in rows.columns):
            rows.loc[waiting if past else reopened, column] = np.nan
        parts = {**self.parts, "deals": [Table(self.raw.name, rows.drop(index=gone[gone].index))]}
        if self.parts.get("wins"):
            parts["wins"] = [self._known_wins(wins, end) for wins in self.parts["wins"]]
        if self.parts.get("tasks"):
            parts["tasks"] = [known_tasks(table, self.map, end) for table in self.parts["tasks"]]
        words = []
        if later.any() or undone.any():
            words.append(
                f"as of {day}: {int(later.sum()):,} deals created later were left out, and {int(undone.sum()):,} that "
                "closed or changed later are open; owners and other columns are as the file has them, for it doesn't "
                "say when they were set"
            )
        return Cut(parts, words, then.troubles + (then.undated() if past else ()))

    def undated(self) -> tuple[Trouble, ...]:
        """The deals with no creation date, of which nobody can say whether they were there on an earlier day."""
        rows = self.created.isna()
        if not rows.any():
            return ()
        ids = self.text["id"] if "id" in self.columns else pd.Series(rows.index + 2, rows.index).map("row {}".format)
        return (
            Trouble(
                name=no_date_in_words("no creation date", self.text["created"][rows]),
                count=int(rows.sum()),
                share=float(rows.mean()),
                examples=tuple(str(i) for i in ids[rows].dropna().head(3)),
                action="left out, for it can't be told which of them there were by then",
                bias="fewer deals than there were, if these are real ones",
                of="all deals in the file",
            ),
        )

    def _known_wins(self, wins: Table, end: pd.Timestamp) -> Table:
        column = columns_of(wins.rows, ALIASES, self.map)["won_on"]
        won = read_dates(wins.rows[column], day_first=self.day_first, form=self.map.form, zone=self.map.zone).values
        return wins.among(~(won >= end))


# --- columns ----------------------------------------------------------------------------------------------------------


def _fault(name: str, message: str) -> InputError:
    return InputError([Fault(message, file=name)])


def _one_table(tables: Iterable[Table]) -> Table:
    """Several files of deals as one; a row's number in the index."""
    every = list(tables)
    if len(every) == 1:
        return every[0]
    rows = pd.concat([t.rows for t in every], ignore_index=True)
    return Table(", ".join(t.name for t in every), rows)


def _required(table: Table, said: Map, has_wins: bool, has_history: bool) -> dict[str, str]:
    """Part -> column, where all that is needed is there."""
    columns = columns_of(table.rows, ALIASES, said)
    has_dates = has_wins or has_history or bool({"won_on", "lost_on"} & set(columns))
    has_outcome = has_dates or bool({"stage", "outcome", "is_won", "is_closed"} & set(columns))
    given = {"closed": has_dates, "stage": has_outcome}
    missing = [name for name in REQUIRED if name not in columns and not given.get(name)]
    missing += ["id"] if (has_wins or has_history) and "id" not in columns else []
    if missing:
        need = "; ".join(
            f"'{name}' ({REQUIRED.get(name, 'by which its other tables name a deal')})" for name in missing
        )
        known = ", ".join(f"{name}: {column}" for name, column in columns.items()) or "none"
        example = "\n".join(f"  {name}: <its column>" for name in missing)
        raise _fault(
            table.name,
            f"no column was recognised for {need}. The file's columns: {', '.join(table.rows.columns)}. "
            f"Recognised: {known}. Say which column it is in a file map.yaml and give it with --map map.yaml:\n"
            f"{example}\n"
            "(Of a log of events instead: case, activity, end, and start and member where there are such columns)",
        )
    return columns


def _columns_in_words(columns: Mapping[str, str], table: pd.DataFrame) -> str:
    rest = [name for name in table.columns if name not in columns.values()]
    words = ", ".join(f"{name} is '{column}'" for name, column in columns.items())
    return f"columns: {words}" + (f"; others: {', '.join(rest)}" if rest else "")


def _counts(outcome: pd.Series[Any]) -> str:
    return ", ".join(f"{int((outcome == o).sum()):,} {o}" for o in ("won", "lost", "open"))


def _two_orders(mixed: OtherOrder, *, day_first: bool) -> Trouble:
    """Dates of which some are written day first and others month first."""
    read, other = ("day", "month") if day_first else ("month", "day")
    wrong = round(mixed.share * mixed.open)
    bias = (
        f"of the {counted(mixed.open, 'date')} that fit both orders about {wrong:,} may be read as another day, so "
        "ages, times and rates are off"
    )
    if mixed.share > _MIXED:
        bias += "; don't trust a fit or a forecast before all dates are in one order"
    return Trouble(
        name=f"dates in two orders: read {read} first, but these fit only {other} first, such as '{mixed.example}'",
        count=mixed.misfits,
        share=mixed.misfits / mixed.dates,
        examples=(),
        action="taken as no date",
        bias=bias,
        of="such dates",
    )


def _category(text: str) -> str | float:
    return FORECAST_CATEGORIES.get(normal(text), float("nan"))


# --- what the deals show ----------------------------------------------------------------------------------------------


def refuse_nothing(parts: Parts, role: str, day: date) -> None:
    """Raise InputError where no row of a role is left."""
    if not any(len(table.rows) for table in parts.get(role, ())):
        names = ", ".join(table.name for table in parts.get(role, ()))
        raise InputError([Fault(f"no deals were created by {day}", file=names)])


def date_only(moments: pd.Series[Any]) -> bool:
    """Whether moments are known to the day."""
    known = moments.dropna()
    return not known.empty and bool((known == known.dt.normalize()).all())


def last_day(moments: pd.DataFrame, rows: pd.DataFrame) -> tuple[date, pd.DataFrame]:
    """The last day on which something happened, and the rows with dates that must be slips of the pen.

    A few dates (under 0.5%) that come more than a year after all others are taken for slips.
    """
    known = pd.concat([moments[name] for name in moments]).dropna().sort_values()
    gaps = np.flatnonzero((known.diff() > pd.Timedelta(_FAR)).to_numpy())
    slips = [g for g in gaps if len(known) - g <= 0.005 * len(known)]
    end = known.iloc[slips[0] - 1] if slips else known.iloc[-1]
    return end.date(), rows[(moments > end).any(axis=1)]


def _value_comes_late(deals: pd.DataFrame) -> bool:
    """Whether values are known for closed deals alone, so that they tell that a deal has closed."""
    known = deals["value"].notna() & (deals["value"] != 0)
    is_open = deals["outcome"] == "open"
    if not is_open.any() or is_open.all():
        return False
    return bool(known[is_open].mean() < 0.05 and known[deals["outcome"] == "won"].mean() > 0.5)


def open_stage(stages: pd.Series[Any]) -> str:
    """The name of the stage in which open deals are, if they share one that can be kept."""
    names = stages.dropna().unique()
    return str(names[0]) if len(names) == 1 and usable_name(str(names[0])) else OPEN_STAGE


__all__ = ["Flat", "Trouble", "date_only", "last_day", "open_stage", "refuse_nothing"]
