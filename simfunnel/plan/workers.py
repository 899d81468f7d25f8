"""Who works: teams, and their members' hours as maps from clock time to work."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

from simfunnel.calendars import Calendar, work_map
from simfunnel.numerics import Floats
from simfunnel.plan.tables import NEVER, NOWHERE, MemberTable, TeamTable
from simfunnel.plan.workshop import Workshop, floats, ints, number, starts
from simfunnel.scenario.conditions import member_names, read_when
from simfunnel.scenario.spec import ORDERS, TeamSpec, Working


def team_table(shop: Workshop) -> TeamTable:
    """All teams."""
    teams = list(shop.spec.teams.items())
    return TeamTable(
        member_start=starts([len(member_names(name, shop.spec)) for name, _ in teams]),
        order=ints([ORDERS.index(team.serves.then) for _, team in teams]),
        first_start=starts([len(team.serves.first) for _, team in teams]),
        first=ints([shop.conditions.add(read_when(w, shop.words)) for _, t in teams for w in t.serves.first]),
        owned=ints([team.ownership == "owner" for _, team in teams]),
        choosy=ints([any(member.only for member in team.members or ()) for _, team in teams]),
    )


def member_table(shop: Workshop) -> MemberTable:
    """All members, team by team."""
    rows: list[tuple[Working, TeamSpec, int]] = []
    for team in shop.spec.teams.values():
        for member in team.members if team.members is not None else ():
            only = shop.conditions.add(read_when(member.only, shop.words)) if member.only else NOWHERE
            rows += [(member, team, only)] * member.count
        rows += [(team, team, NOWHERE)] * (team.size or 0)
    days = [
        (_since_start(shop, _said(m, t, "hired"), 0.0), _since_start(shop, _said(m, t, "leaves"), NEVER))
        for m, t, _ in rows
    ]
    return MemberTable(
        work_map=ints([_work_map(shop, m, t) for m, t, _ in rows]),
        leaves=floats([leaves for _, leaves in days]),
        only=ints([only for _, _, only in rows]),
        skill=floats([number(_said(m, t, "skill"), 1.0) for m, t, _ in rows]),
        pay_per_day=floats([number(_said(m, t, "pay")) for m, t, _ in rows]),
        hired=floats([hired for hired, _ in days]),
    )


def _since_start(shop: Workshop, day: date | None, default: float) -> float:
    return default if day is None else float((day - shop.spec.start).days)


def _work_map(shop: Workshop, member: Working, team: TeamSpec) -> int:
    """The member's own map; it goes on after they leave, so that the task in hand can be ended."""
    calendar: Calendar = _said(member, team, "calendar") or shop.spec.calendar
    pace = number(_said(member, team, "selling_time"), 1.0) * number(_said(member, team, "speed"), 1.0)
    hired: date | None = _said(member, team, "hired")
    ramp = number(_said(member, team, "ramp"))
    return shop.maps.add(*_hours_of_work(calendar, shop.spec.start, shop.whole_days, pace, hired, ramp))


@lru_cache(maxsize=256)
def _hours_of_work(
    calendar: Calendar, start: date, days: int, pace: float, hired: date | None, ramp: float
) -> tuple[Floats, Floats]:
    """The map's nodes; kept, for most members of most replications have the same."""

    def on(day: date) -> float:
        if hired is None:
            return pace
        worked = (day - hired).days
        if worked < 0:
            return 0.0
        return pace * (min(1.0, (worked + 0.5) / ramp) if ramp > 0 else 1.0)

    return work_map(calendar, start, days, on)


def _said(member: Working, team: TeamSpec, what: str) -> Any:
    """What the member says, or else the team."""
    own = getattr(member, what)
    return getattr(team, what) if own is None else own
