"""A history of deals: which there were, what stages they went through, how they ended, what was done, until a date."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.bringers import BROUGHT_BY, with_origin
from simfunnel.crm.evidence import VISITS, Evidence, QualityReport, Trouble, created_on
from simfunnel.crm.names import NEVER_ATTRIBUTES, normal, outcome_named
from simfunnel.crm.quality import examine, first_day
from simfunnel.crm.tables import read_dates, read_numbers
from simfunnel.crm.visits import one_visit_each, stage_order, with_unseen
from simfunnel.errors import Fault, InputError
from simfunnel.scenario.conditions import FACTS
from simfunnel.scenario.fields import STAYS

COLUMNS = ("id", "created", "closed", "outcome", "stage", "value", "owner")
TASKS = ("deal", "activity", "member", "start", "end")
OPEN_STAGE = "open"  # what the open stage is called where the file has several, or none
RARE = "rare channels"  # those beyond the most levels
MOST_LEVELS = 40  # a column with more different values says who, not what kind
MOST_ATTRIBUTES = 8
OWN = {"id", "created", "closed", "outcome", "owner", "other", "category", *FACTS}  # names that a column can't keep
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Draft:
    """What an importer read: deals as they were known, before checks.

    `deals` has the columns of a History and beside them: `expected` (an open deal's close date), `created_text`,
    `closed_text` and `value_text` (as written), perhaps `category`, and those named in `others`, as text. `visits` and
    `tasks` name a deal by its label in the index of `deals`; `visits` is None for a flat export. `order` has the open
    stages' order where something says it. `complete`: each deal is seen from its first moment on, whenever it closed.
    `channel` is the one of `others` that says where deals came from; `deals` may have `brought_by`, the id of who did.
    `amounts` are those that deals had and since when (see `amounts_of`), where a history tells them. `watched_from` is
    the first day whose closings are in the export, where it tells that itself.
    """

    deals: pd.DataFrame = field(repr=False)
    others: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    visits: pd.DataFrame | None = field(default=None, repr=False)
    tasks: pd.DataFrame | None = field(default=None, repr=False)
    order: tuple[str, ...] = ()
    whole_days: bool = False
    complete: bool = False
    currency: str = ""
    channel: str = ""
    amounts: pd.DataFrame | None = field(default=None, repr=False)
    watched_from: date | None = None


@dataclass(frozen=True)
class History:
    """The deals of one export as they were known at the end of the as-of day.

    `deals` has one row a deal: `id`, `created`, `closed` (NaT while open), `outcome` ('won', 'lost' or 'open'),
    `stage`, `value` (NaN where unknown), `owner`, perhaps `category` (the sellers' forecast: commit, best case,
    pipeline, omitted or closed) and `brought_by` (the id of the deal whose people referred it, NaN for none), then the
    columns named in `attributes`. `observed_from` is the first day whose
    closings are in the export: a deal that closed earlier is missing (left truncation).

    `visits` has one row a visit of a deal to a stage, by deal, then time: `deal` (a row of `deals`), `stage`,
    `entered`, `left` (NaT while there), `next` (a stage, 'won', 'lost', or '' while there), `owner`. A flat export has
    one visit a deal, to `open_stage`. `stages` are the open stages in their order, which deals may skip and go back in.
    `tasks`, where known, has `deal`, `activity`, `member`, `start`, `end` (NaT while under way). `currency` is ''
    where nothing tells. `channel` is the attribute that says where deals came from, or ''. `amounts`, where known, has
    each amount that a deal had, and since when: `deal`, `at`, `value` (NaN where it had none). `loaded_on` are the
    first and the last of the days on which nearly all deals were loaded at once, as by an import: they tell no rate of
    new deals.
    """

    deals: pd.DataFrame = field(repr=False)
    attributes: tuple[str, ...]
    as_of: date
    observed_from: date
    assumptions: tuple[str, ...]
    quality: QualityReport
    name: str
    open_stage: str
    whole_days: bool
    visits: pd.DataFrame = field(repr=False)
    stages: tuple[str, ...]
    tasks: pd.DataFrame | None = field(default=None, repr=False)
    currency: str = ""
    channel: str = ""
    amounts: pd.DataFrame | None = field(default=None, repr=False)
    loaded_on: tuple[date, date] | None = None

    @property
    def loaded(self) -> pd.Series[bool]:
        """Which deals were loaded at once."""
        return created_on(self.deals["created"], self.loaded_on)

    @property
    def end(self) -> pd.Timestamp:
        """The first moment that is not known: midnight after the as-of day."""
        return pd.Timestamp(self.as_of) + _DAY

    def age(self, at: pd.Timestamp) -> pd.Series[float]:
        """Each deal's age in days at a moment.

        Where the file has dates without times, a deal counts from noon of its day, so that half a day comes off.
        """
        return self._days(self.deals["created"], at)

    def _days(self, since: pd.Series[Any], at: pd.Timestamp) -> pd.Series[float]:
        spans: pd.Series[Any] = since.rsub(at)
        days: pd.Series[float] = spans.dt.total_seconds() / 86400
        return days - 0.5 if self.whole_days else days

    def open_deals(self, *, as_one_stage: bool = False) -> pd.DataFrame:
        """The deals that are open at the end of the as-of day: id, stage, age in it (days), value, member, attributes.

        `as_one_stage` puts all into `open_stage`, with their age since creation.
        """
        here = self.deals[self.deals["outcome"] == "open"]
        now = self.visits[self.visits["left"].isna()].set_index("deal")
        age = self.age(self.end) if as_one_stage else self._days(now["entered"], self.end)
        columns = {
            "id": here["id"],
            "stage": self.open_stage if as_one_stage else now["stage"].reindex(here.index),
            "age": age.reindex(here.index).clip(lower=0.0),
            "value": here["value"],
            "member": here["owner"],
            **{name: here[name] for name in self.attributes},
        }
        return pd.DataFrame(columns, index=here.index).reset_index(drop=True)


def usable_name(stage: str) -> bool:
    """Whether a scenario can call an open stage so."""
    return outcome_named(stage) == "open" and stage != STAYS and "->" not in stage


def history_of(draft: Draft, day: date, name: str, said: tuple[str, ...], beyond: pd.DataFrame) -> History:
    """The history of a draft after every check. Raises InputError where no deal is left."""
    draft, renamed = _with_usable_stages(draft)
    visits = draft.visits
    stages = () if visits is None else stage_order(visits, draft.order)
    evidence = Evidence(
        deals=draft.deals,
        as_of=day,
        others=draft.others,
        beyond=beyond,
        visits=_none_yet() if visits is None else visits,
        tasks=pd.DataFrame(columns=list(TASKS)) if draft.tasks is None else draft.tasks,
        stages=stages,
        complete=draft.complete,
        watched_from=draft.watched_from,
    )
    mended, quality = examine(evidence)
    deals = mended.deals
    troubles = (*draft.troubles, *quality.troubles)
    if deals.empty:
        why = "; ".join(f"{t.name}: {t.count:,}" for t in troubles)
        n = len(draft.deals)
        found = f"none of the {n:,} deals can be used ({why})" if n else f"no deals were created by {day}"
        raise InputError([Fault(found, file=name)])
    channel = draft.channel if draft.channel in mended.others else ""
    attributes, deals, words = _attributes(deals, mended.others, channel)
    if draft.channel != channel:
        words.append(f"the channel '{draft.channel}' is not used: it gives the outcome away")
    stage = _open_stage(deals, stages)
    if visits is None:
        mine, stages = one_visit_each(deals, stage), (stage,)
    else:
        mine = with_unseen(mended.visits, deals, stages[0] if stages else stage)
        stages = stages or (stage,)
        words += [f"stages in their order: {' -> '.join(stages)}"]
    places = pd.Series(np.arange(len(deals)), index=deals.index)
    extra = [name for name in ("category", BROUGHT_BY) if name in deals]
    return History(
        deals=deals[[*COLUMNS, *extra, *attributes]].reset_index(drop=True),
        attributes=attributes,
        as_of=day,
        observed_from=deals["created"].min().date() if draft.complete else first_day(replace(mended, deals=deals)),
        assumptions=tuple(dict.fromkeys((*said, *renamed, *words))),
        quality=QualityReport(troubles, quality.deals),
        name=name,
        open_stage=stage,
        whole_days=draft.whole_days,
        visits=_placed(mine, places, ["deal", "entered"]),
        stages=stages,
        tasks=None if draft.tasks is None else _placed(mended.tasks, places, ["start", "deal"]),
        currency=draft.currency,
        channel=channel if channel in attributes else "",
        amounts=None if draft.amounts is None else _placed(draft.amounts, places, ["deal", "at"]),
        loaded_on=mended.loaded_on,
    )


def _with_usable_stages(draft: Draft) -> tuple[Draft, list[str]]:
    """The draft with other names for stages that a scenario can't call as the file does, and words on them."""
    if draft.visits is None:
        return draft, []
    stages = dict.fromkeys([*draft.order, *draft.visits["stage"].dropna().unique()])
    names: dict[str, str] = {}
    for stage in stages:
        if stage == STAYS or "->" in stage:
            name = re.sub(r"\s*->\s*", " to ", stage).strip() if "->" in stage else f"{stage} (stage)"
            while name in {*stages, *names.values()}:
                name = f"{name} (stage)"
            names[stage] = name
    if not names:
        return draft, []
    deals, visits, tasks = draft.deals, draft.visits, draft.tasks
    deals = deals.assign(stage=deals["stage"].replace(names))
    visits = visits.assign(**{part: visits[part].replace(names) for part in ("stage", "next")})
    tasks = tasks if tasks is None else tasks.assign(activity=tasks["activity"].replace(names))
    order = tuple(names.get(stage, stage) for stage in draft.order)
    shown = ", ".join(f"'{stage}' is called '{name}'" for stage, name in names.items())
    said = [f"a scenario can't name these stages as the file does: {shown}"]
    return replace(draft, deals=deals, visits=visits, tasks=tasks, order=order), said


def _none_yet() -> pd.DataFrame:
    return pd.DataFrame(columns=list(VISITS))


def _placed(rows: pd.DataFrame, places: pd.Series[Any], order: list[str]) -> pd.DataFrame:
    """The rows with each deal's place in the history."""
    mine = rows[rows["deal"].isin(places.index)]
    placed = mine.assign(deal=mine["deal"].map(places).astype("int64"))
    return placed.sort_values(order, kind="stable", ignore_index=True)


def _open_stage(deals: pd.DataFrame, stages: tuple[str, ...]) -> str:
    """The name of the stage in which deals are open, if they share one."""
    if stages:
        return stages[0] if len(stages) == 1 else OPEN_STAGE
    names = deals.loc[deals["outcome"] == "open", "stage"].dropna().unique()
    return str(names[0]) if len(names) == 1 and usable_name(str(names[0])) else OPEN_STAGE


def _attributes(
    deals: pd.DataFrame, others: tuple[str, ...], channel: str
) -> tuple[tuple[str, ...], pd.DataFrame, list[str]]:
    """The columns that sort deals into a few kinds; missing cells become the kind 'unknown'."""
    chosen = []
    if channel:
        deals = deals.assign(**{channel: _channels(deals[channel])})
    for name in others:
        column = deals[name]
        levels = column.dropna().nunique()
        few = 2 <= levels <= min(MOST_LEVELS, len(deals) / 5)
        if not few or column.notna().mean() <= 0.5 or normal(name) in NEVER_ATTRIBUTES:
            continue
        kinds = column.dropna().drop_duplicates()
        a_number = levels > 12 and read_numbers(kinds)[0].notna().all()
        if name == channel or (not a_number and not read_dates(kinds).values.notna().all()):
            chosen.append(name)
    if channel in chosen[MOST_ATTRIBUTES:]:
        chosen.insert(MOST_ATTRIBUTES - 1, chosen.pop(chosen.index(channel)))
    left = chosen[MOST_ATTRIBUTES:]
    chosen = chosen[:MOST_ATTRIBUTES]
    deals = deals.assign(**{name: deals[name].str.strip().fillna("unknown") for name in chosen})
    deals, more = with_origin(deals)
    chosen += more
    said = [f"attributes of a deal: {', '.join(chosen)}"] if chosen else []
    if channel and channel not in chosen:
        n = deals[channel].nunique()
        why = f"it has {n:,} different value{'s' * (n > 1)} in {len(deals):,} deals"
        why = "such a column says how things stand today" if normal(channel) in NEVER_ATTRIBUTES else why
        said.append(f"the channel '{channel}' is not used: {why}")
    if left:
        said.append(f"columns not used, beyond {MOST_ATTRIBUTES} attributes: {', '.join(left)}")
    return tuple(chosen), deals, said


def _channels(column: pd.Series[Any]) -> pd.Series[Any]:
    """The channel of each deal: 'unknown' where a cell is empty, 'rare channels' for those beyond the most frequent."""
    known = column.str.strip()
    known = known.where(known != "").fillna("unknown")
    counts = known.value_counts()
    if len(counts) <= MOST_LEVELS or len(counts) > len(known) / 5:
        return known  # a few kinds; or so many that the column says who, not what kind
    return known.where(known.isin(counts.index[: MOST_LEVELS - 1]), RARE)


__all__ = ["COLUMNS", "OPEN_STAGE", "OWN", "TASKS", "Draft", "History", "history_of", "usable_name"]
