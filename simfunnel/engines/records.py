"""What happened in one replication, as flat columns: prospects, moves, tasks and money.

Times are days since the start. Every result is a pure function of these columns and the plan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfunnel.numerics import Floats, Ints

STARTED, EXITED, LIMITED, RENEGED, ROUTED, OPENED = range(6)
"""Why a prospect moved: it came, by an exit, at a limit, tired of waiting, by a rule, or it was open at the start."""
CAUSES = ("came", "exit", "limit", "reneged", "routed", "open")

BOOKED, PAID, STAGE_COST, TOUCH_COST, REWARD, SOURCE_COST = range(6)
"""Kinds of money; the first two come in, the others go out."""
MONEY = ("books", "cash", "stage cost", "touch cost", "reward", "source cost")

SERVED, GAVE_UP, OUT_OF_TIME, STILL_WAITING = range(4)
"""How a task's wait ended."""


@dataclass(frozen=True)
class Prospects:
    """One row a prospect, in the order in which they came; `parent` is a row or -1, `deal` a row of the plan's."""

    key: Ints
    source: Ints
    parent: Ints
    generation: Ints
    born: Floats
    value: Floats
    deal: Ints
    attributes: Floats


@dataclass(frozen=True)
class Moves:
    """One row a passage from place `origin` (-1: from outside) to place `goal`; `member` worked on it last, or -1."""

    time: Floats
    prospect: Ints
    origin: Ints
    goal: Ints
    cause: Ints
    member: Ints


@dataclass(frozen=True)
class Tasks:
    """One row a touch that was asked for; a visit that finds prospects has a source alone, no prospect or stage.

    `begun` and `ended` are NaN where nobody served; then `left` tells when the prospect stopped waiting (NaN: it still
    waits at the horizon). A task in hand at the horizon has an `ended` beyond it.
    """

    prospect: Ints
    source: Ints
    stage: Ints
    team: Ints
    member: Ints
    touch: Ints
    outcome: Ints
    asked: Floats
    begun: Floats
    ended: Floats
    left: Floats


@dataclass(frozen=True)
class MoneyRows:
    """One row an amount (always positive), of a kind of `MONEY`, at a stage (-1: none)."""

    time: Floats
    prospect: Ints
    stage: Ints
    kind: Ints
    amount: Floats


@dataclass(frozen=True)
class Records:
    """All that one replication leaves behind."""

    prospects: Prospects
    moves: Moves
    tasks: Tasks
    money: MoneyRows
    events: int


_PLENTY = 1 << 22  # rows up to which a column gets room for eight times as many
_TABLES: dict[str, Any] = {"prospects": Prospects, "moves": Moves, "tasks": Tasks, "money": MoneyRows}


class _Column:
    """A column that grows load by load: every row is copied once, and for more room once again or less."""

    def __init__(self, rows: Any) -> None:
        self._room, self._rows = rows.copy(), len(rows)

    def add(self, rows: Any) -> None:
        """Add the next rows."""
        last = self._rows + len(rows)
        if last > len(self._room):
            # Room that nothing is written to takes no memory from the system, so there may be plenty at first.
            room = min(8 * last, max(2 * last, _PLENTY))
            longer = np.empty((room, *rows.shape[1:]), dtype=rows.dtype)
            longer[: self._rows] = self.whole()
            self._room = longer
        self._room[self._rows : last] = rows
        self._rows = last

    def whole(self) -> Any:
        """All rows so far."""
        return self._room[: self._rows]


def joined(loads: Iterable[Records]) -> Records:
    """One replication's records from its loads, at least one; each may be gone when the next is asked for."""
    gathered: dict[str, dict[str, _Column]] = {table: {} for table in _TABLES}
    events = 0
    for load in loads:
        events = load.events
        for table, columns_ in gathered.items():
            for name, rows in vars(getattr(load, table)).items():
                if name in columns_:
                    columns_[name].add(rows)
                else:
                    columns_[name] = _Column(rows)
    whole = {table: {name: column.whole() for name, column in gathered[table].items()} for table in _TABLES}
    return Records(**{table: kind(**whole[table]) for table, kind in _TABLES.items()}, events=events)


def columns(rows: list[tuple[float, ...]], types: str) -> list[np.ndarray]:
    """Rows of mixed numbers as columns; `types` has an `i` or `f` for each."""
    kinds = {"i": np.int64, "f": np.float64}
    if not rows:
        return [np.empty(0, dtype=kinds[t]) for t in types]
    return [np.array(column, dtype=kinds[t]) for column, t in zip(zip(*rows, strict=True), types, strict=True)]


class Collector:
    """Rows of one replication as they come, each a tuple in the order of its columns, and the records made of them."""

    def __init__(self, attributes: int) -> None:
        self.width = attributes
        self.prospects: list[tuple[float, ...]] = []
        self.attributes: list[Floats] = []
        self.moves: list[tuple[float, ...]] = []
        self.tasks: list[tuple[float, ...]] = []
        self.money: list[tuple[float, ...]] = []

    def records(self, events: int) -> Records:
        """The rows as columns."""
        attributes = np.array(self.attributes, dtype=np.float64).reshape(len(self.attributes), self.width)
        return Records(
            Prospects(*[*columns(self.prospects, "iiiiffi"), attributes]),
            Moves(*columns(self.moves, "fiiiii")),
            Tasks(*columns(self.tasks, "iiiiiiiffff")),
            MoneyRows(*columns(self.money, "fiiif")),
            events,
        )
