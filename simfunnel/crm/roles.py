"""What a table is: deals, a history of their stages, a log of events, people, ... told by its columns alone.

The rules are a table: a new kind of table is one more `Role`. Nothing in the rows decides, so that a file read as of an
earlier date is taken for the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from simfunnel.crm.maps import Map
from simfunnel.crm.names import ALIASES, CHANGES, EVENTS, PEOPLE, STAGES, TASKS, normal
from simfunnel.crm.sources import Table

Parts = Mapping[str, Sequence[Table]]
"""Role -> the tables that have it."""

_SAVES = {**CHANGES, "id": ("opportunityid", "dealid"), "stage": ALIASES["stage"]}
_ENTRIES = {**CHANGES, "stage": (*ALIASES["stage"], "value", "newvalue")}
_SNAPSHOTS = {**ALIASES, "snapshot": CHANGES["snapshot"]}
_WORK = {**TASKS, "told": ("whatid", *TASKS["subject"], *(name for name in TASKS["activity"] if name != "type"))}
_ENDED = "closed|stage|outcome|is_won|is_closed|is_lost|won_on|lost_on"


@dataclass(frozen=True)
class Role:
    """A kind of table: it has one part of each of `needs` (`a|b` is a or b), and none of `lacks`, under `aliases`."""

    name: str
    aliases: Mapping[str, tuple[str, ...]]
    needs: tuple[str, ...]
    lacks: tuple[str, ...] = ()

    def fits(self, table: pd.DataFrame, said: Map) -> bool:
        """Whether a table's columns are those of this kind."""
        has = columns_of(table, self.aliases, said)
        return all(any(part in has for part in need.split("|")) for need in self.needs) and not any(
            part in has for part in self.lacks
        )


# Columns of deals, which a table of something else has not.
_DEAL = {f"its {part}": ALIASES[part] for part in ("stage", "closed", "outcome", "is_won", "created", "value")}
_ENDS = ("its stage", "its closed", "its outcome", "its is_won")
_SHOWN = {"its name": ("name", "accountid", "isclosed", "leadsource"), "its deal": ("dealid", "opportunityid")}

ROLES: tuple[Role, ...] = (
    Role("events", {**EVENTS, **_DEAL}, ("case", "activity", "start|end"), ("its closed",)),
    Role("field history", CHANGES, ("id", "old", "new", "at|saved")),
    Role("property history", {**CHANGES, **_DEAL}, ("id", "field", "to", "at|saved"), _ENDS),
    Role("stage history", {**_ENTRIES, **_DEAL}, ("id", "stage", "at"), ("its closed", "its is_won")),
    Role("stage history", {**_SAVES, **_SHOWN}, ("id", "row", "stage", "saved"), ("its name",)),
    Role("snapshots", _SNAPSHOTS, ("id", "snapshot", "stage|outcome|closed|is_won|is_closed")),
    Role("stages", {**STAGES, **_DEAL, **_SHOWN}, ("id", "label", "is_won|is_closed|order"), ("its value", "its deal")),
    Role("tasks", {**_WORK, **_DEAL}, ("id", "told", "start|end|noted"), ("its stage", "its closed")),
    Role("deals", ALIASES, ("created", _ENDED)),
    Role("wins", ALIASES, ("id", "won_on"), ("created",)),
    Role("leads", ALIASES, ("id", "created"), ("closed", "stage")),
    Role("people", {**PEOPLE, **_DEAL}, ("id", "first|mail", "last|mail"), ("its value",)),
)

# Beside a table of deals with an `id` of their own, one that points to deals has their saves: an OpportunityHistory of
# which only OpportunityId, CreatedDate and StageName were asked for.
_OF_OTHERS = Role("stage history", {**_SAVES, "own": ("id",), **_SHOWN}, ("id", "stage", "saved"), ("own", "its name"))


HISTORIES = ("stage history", "field history", "property history", "snapshots", "entries")
_ENTERED = re.compile(r"(?i)^(?:property_)?(?:hs_)?(?:v2_)?date[ _]entered[ _]+(.+)$")


def entered_stage(column: str) -> str | None:
    """The stage whose day of entry a column holds, or None.

    >>> entered_stage("hs_v2_date_entered_closedwon"), entered_stage('Date entered "Demo (Sales Pipeline)"')
    ('closedwon', 'Demo')
    """
    found = _ENTERED.match(column)
    if found is None:
        return None
    name = found[1].strip()
    return re.sub(r"\s*\([^)]*\)$", "", name.strip("\"'“”").strip()) if name[:1] in "\"'“" else name


def columns_of(table: pd.DataFrame, aliases: Mapping[str, tuple[str, ...]], said: Map) -> dict[str, str]:
    """Part -> the table's column: as the map says, else by its aliases, the most telling first."""
    found = {normal(column): column for column in reversed(table.columns)}
    taken = set(said.columns.values())
    columns = {}
    for part, names in aliases.items():
        mine = said.columns.get(part)
        alias = next((found[a] for a in names if a in found and found[a] not in taken), None)
        column = mine if mine in table.columns else alias
        if column is not None:
            columns[part] = column
    return columns


def in_roles(tables: Iterable[Table], said: Map) -> dict[str, list[Table]]:
    """The tables by what they are; those that no rule knows are 'others', and a lone one is taken for deals."""
    every = list(tables)
    parts: dict[str, list[Table]] = {}
    for table in every:
        role = next((role.name for role in ROLES if role.fits(table.rows, said)), "others")
        parts.setdefault(role, []).append(table)
    pointing = [table for table in parts.get("deals", ()) if _OF_OTHERS.fits(table.rows, said)]
    if pointing and len(pointing) < len(parts["deals"]):
        parts["deals"] = [table for table in parts["deals"] if not _OF_OTHERS.fits(table.rows, said)]
        parts.setdefault("stage history", []).extend(pointing)
    if "leads" in parts and ("deals" not in parts or "wins" in parts):
        parts["deals"] = [*parts.get("deals", []), *parts.pop("leads")]
    entries = [t for t in parts.get("deals", ()) if any(entered_stage(column) for column in t.rows.columns)]
    if entries:
        parts["entries"] = entries
    if len(every) == 1 and not {"events", "deals", "snapshots"} & parts.keys() and "history" not in next(iter(parts)):
        return {"deals": every}
    return parts


__all__ = ["HISTORIES", "ROLES", "Parts", "Role", "columns_of", "entered_stage", "in_roles"]
