"""Every metric once more, said plainly: one row after the other, one period after the other, no cubes.

The slow second opinion on `simfunnel.kpis`: the same words, other code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfunnel.engines.records import (
    BOOKED,
    GAVE_UP,
    OPENED,
    PAID,
    SERVED,
    STARTED,
    Records,
)
from simfunnel.numerics import forward
from simfunnel.periods import periods
from simfunnel.plan import LIST, Plan

Row = dict[str, Any]


def rows(table: object) -> Iterator[Row]:
    """The rows of a part of records, each a map of column to number."""
    columns = {name: column.tolist() for name, column in vars(table).items()}
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


@dataclass
class Plain:
    """One replication in periods of a unit; `group` names the group of each prospect (None: only everyone)."""

    records: Records
    plan: Plan
    unit: str
    group: list[str] | None = None
    by: str | None = None

    def __post_init__(self) -> None:
        plan = self.plan
        self.edges = periods(plan.start, plan.warm_up, plan.days, self.unit, plan.fiscal_year_ends).edges.tolist()
        self.customer = [bool(c) for c in plan.stages.customer] + [False] * (len(plan.place_names) - plan.n_stages)
        self.open = [place < plan.n_stages and not self.customer[place] for place in range(len(plan.place_names))]
        self.moves = list(rows(self.records.moves))
        self.tasks = list(rows(self.records.tasks))
        self.money = list(rows(self.records.money))
        self.people = list(rows(self.records.prospects))

    def is_in(self, time: float, k: int) -> bool:
        """Whether a time lies in period k; the run's very end lies in the last."""
        begin, end = self.edges[k], self.edges[k + 1]
        return begin <= time < end or (time == end and k == len(self.edges) - 2)

    def is_mine(self, name: str, prospect: int, source: int = -1) -> bool:
        """Whether a prospect (or, without one, what a source alone did) belongs to a group."""
        if self.group is None:
            return True
        if prospect < 0:
            return self.by == "source" and self.plan.source_names[source] == name
        return self.group[prospect] == name

    def days(self, since: float, until: float, k: int) -> float:
        """Days of period k between two times."""
        return max(0.0, min(until, self.edges[k + 1]) - max(since, self.edges[k]))

    def count_moves(self, name: str, k: int, which: Callable[[Row], bool]) -> float:
        """Moves of a group in a period."""
        return sum(self.is_mine(name, m["prospect"]) and self.is_in(m["time"], k) and which(m) for m in self.moves)

    def was_customer(self, move: Row) -> bool:
        """Whether a move leaves a customer's place."""
        return move["origin"] >= 0 and self.customer[move["origin"]]

    def won(self, move: Row) -> bool:
        """Whether a move makes a customer."""
        return self.customer[move["goal"]] and not self.was_customer(move) and move["cause"] != OPENED

    def lost(self, move: Row) -> bool:
        """Whether a move ends an open deal without a win."""
        ends = move["origin"] >= 0 and move["goal"] >= self.plan.n_stages
        return ends and not self.was_customer(move)

    def standing(self, name: str, k: int, places: list[bool]) -> list[int]:
        """The prospects of a group who are in these places at a period's end."""
        last = k == len(self.edges) - 2
        place: dict[int, int] = {}
        for move in self.moves:
            if move["time"] < self.edges[k + 1] or last:
                place[move["prospect"]] = move["goal"]
        return [p for p, where in place.items() if places[where] and self.is_mine(name, p)]

    def work(self, name: str, k: int, *, member: int | None = None) -> float:
        """Hours of work in a period, of a group's tasks or of a member's."""
        total = 0.0
        for task in self.tasks:
            mine = self.is_mine(name, task["prospect"], task["source"]) if member is None else task["member"] == member
            if task["outcome"] == SERVED and mine:
                total += self.hours(task["member"], task["begun"], min(task["ended"], self.plan.days), k)
        return total

    def hours(self, member: int, since: float, until: float, k: int) -> float:
        """A member's hours of work in a period between two times."""
        maps, m = self.plan.maps, int(self.plan.members.work_map[member])
        begin, end = max(since, self.edges[k]), min(until, self.edges[k + 1])
        return max(0.0, forward(maps, m, end) - forward(maps, m, begin)) if end > begin else 0.0

    def earned(self, name: str, k: int) -> float:
        """Bookings over their terms."""
        total = 0.0
        for row in self.money:
            if row["kind"] != BOOKED or not self.is_mine(name, row["prospect"]):
                continue
            term = self.plan.stages.term[row["stage"]]
            if term > 0:
                total += row["amount"] * self.days(row["time"], row["time"] + term, k) / term
            elif self.is_in(row["time"], k):
                total += row["amount"]
        return total

    def spent(self, name: str, k: int) -> float:
        """All costs."""
        plan, sources, members = self.plan, self.plan.sources, self.plan.members
        total = sum(r["amount"] for r in self.money if self.is_paid(name, r, k) and r["kind"] not in (BOOKED, PAID))
        ends = {}
        for move in reversed(self.moves):
            p, goal = move["prospect"], move["goal"]
            if goal < plan.n_stages and self.is_mine(name, p):
                total += plan.stages.cost_per_day[goal] * self.days(move["time"], ends.get(p, plan.days), k)
            ends[p] = move["time"]
        for source, label in enumerate(plan.source_names):
            if self.group is None or (self.by == "source" and label == name):
                total += sources.cost_per_day[source] * self.days(0.0, plan.days, k)
                time = sources.at[source] if sources.kind[source] == LIST else 0.0
                if self.edges[k] <= time < self.edges[k + 1]:
                    total += sources.cost_once[source]
        for m in range(len(plan.member_names) if self.group is None else 0):
            total += members.pay_per_day[m] * self.days(members.hired[m], members.leaves[m], k)
        return float(total)

    def is_paid(self, name: str, row: Row, k: int) -> bool:
        """Whether an amount belongs to a group and a period."""
        return self.is_mine(name, row["prospect"]) and self.is_in(row["time"], k)

    def metrics(self, name: str, k: int) -> dict[str, float]:
        """Every metric of a group in a period."""
        plan, people, span = self.plan, self.people, range(len(self.plan.member_names))
        brought = [p for p in range(len(people)) if self.is_mine(name, p) and self.is_in(people[p]["born"], k)]
        brought = [p for p in brought if people[p]["parent"] >= 0]
        brought = [p for p in brought if people[p]["generation"] > people[people[p]["parent"]]["generation"]]
        served = [t for t in self.tasks if t["outcome"] == SERVED and t["prospect"] >= 0 and self.is_in(t["begun"], k)]
        waits = [24 * (t["begun"] - t["asked"]) for t in served if self.is_mine(name, t["prospect"])]
        left = [t for t in self.tasks if t["outcome"] == GAVE_UP and self.is_in(t["left"], k)]
        wins, lost = self.count_moves(name, k, self.won), self.count_moves(name, k, self.lost)
        offered = sum(self.hours(m, self.edges[k], float(plan.members.leaves[m]), k) for m in span)
        paid = {kind: sum(r["amount"] for r in self.money if self.is_paid(name, r, k) and r["kind"] == kind)
                for kind in (BOOKED, PAID)}  # fmt: skip
        still_open = self.standing(name, k, self.open)
        revenue, cost = self.earned(name, k), self.spent(name, k)
        return {
            "prospects": self.count_moves(name, k, lambda move: move["cause"] == STARTED),
            "referrals": len(brought),
            "wins": wins,
            "lost": lost,
            "win_rate": wins / (wins + lost) if wins + lost else np.nan,
            "bookings": paid[BOOKED],
            "revenue": revenue,
            "cash": paid[PAID],
            "cost": cost,
            "profit": revenue - cost,
            "open_deals": len(still_open),
            "pipeline_value": sum(people[p]["value"] for p in still_open),
            "customers": len(self.standing(name, k, self.customer)),
            "churned": self.count_moves(name, k, lambda m: self.was_customer(m) and not self.customer[m["goal"]]),
            "reneged": sum(self.is_mine(name, t["prospect"]) for t in left),
            "wait": float(np.mean(waits)) if waits else np.nan,
            "hours": self.work(name, k),
            "utilisation": sum(self.work(name, k, member=m) for m in span) / offered if offered else np.nan,
        }
