"""Conditions as users write them (`when: {source: referral, waited: 1 h to 24 h}`), read into intervals of facts.

Everything that a condition may look at is a fact: a number that the engines keep for each prospect. A category is the
number of its place among its names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from simfunnel import units
from simfunnel.calendars import read_days, read_month
from simfunnel.errors import not_among
from simfunnel.scenario.spec import ScenarioSpec
from simfunnel.units import Interval

FACTS = (
    "source", "stage", "member", "generation", "value", "waited", "touches", "visits", "age",
    "date", "quarter_day", "quarter_days_left", "weekday", "month", "holiday",
)  # fmt: skip
"""The facts that every prospect has, in the order of the engines' array; its attributes follow."""
FACT = {name: k for k, name in enumerate(FACTS)}
DATED = FACTS[FACTS.index("date") :]
COUNTED = ("generation", "value", "waited", "touches", "visits", "age")
"""The facts that are amounts, for each of which (`per`) an effect can apply."""
STOCK = "in "
"""`in customer` is how many prospects are in the stage (or have come to the end) `customer`: a fact of the moment."""

NOT_PLACED = -1
"""The place of a stock where only the words of a condition are looked at."""

Clause = tuple[int, tuple[Interval, ...]]


@dataclass(frozen=True)
class Vocabulary:
    """What conditions of a scenario may name."""

    sources: tuple[str, ...]
    stages: tuple[str, ...]
    members: tuple[str, ...]
    attributes: Mapping[str, tuple[str, ...] | None]
    start: date
    ends: tuple[str, ...] = ()
    stocks: tuple[str, ...] = ()
    """The places whose stock a condition or an effect looks at."""

    def fact(self, name: str) -> int:
        """The place in the engines' array of a fact, an attribute (they follow the facts), or a stock (the last)."""
        if name in FACT:
            return FACT[name]
        if name in self.attributes:
            return len(FACTS) + list(self.attributes).index(name)
        return len(FACTS) + len(self.attributes) + self.stocks.index(name.removeprefix(STOCK))

    def is_stock(self, name: str) -> bool:
        """Whether a name means how many prospects are in a place."""
        return name.startswith(STOCK) and name not in self.attributes


def vocabulary(spec: ScenarioSpec) -> Vocabulary:
    """What conditions of this scenario may name."""
    return Vocabulary(
        sources=tuple(spec.sources),
        stages=tuple(spec.stages),
        members=tuple(name for team in spec.teams for name in member_names(team, spec)),
        attributes={name: drawn.levels for name, drawn in spec.attributes.items()},
        start=spec.start,
        ends=spec.ends,
        stocks=_stocks_looked_at(spec),
    )


def _stocks_looked_at(spec: ScenarioSpec) -> tuple[str, ...]:
    """The places whose stock is looked at anywhere, in the order of the file."""
    names = [name for effect in spec.effects for name in effect.when]
    names += [read_per(effect.per)[1] for effect in spec.effects if effect.per]
    routes = [stage.route for stage in spec.stages.values() if isinstance(stage.route, tuple)]
    names += [name for route in routes for rule in route for name in rule.when]
    for team in spec.teams.values():
        names += [name for when in team.serves.first for name in when]
        names += [name for member in team.members or () for name in member.only]
    stocks = [name.removeprefix(STOCK) for name in names if name.startswith(STOCK) and name not in spec.attributes]
    return tuple(dict.fromkeys(stocks))


def read_per(text: str) -> tuple[float, str]:
    """The amount and the fact of `touches`, `2 touches`, `10k value`, `1 day waited`, `100 in customer`.

    Raises ValueError with words for the user where the amount is none; whether the fact exists is not looked at.
    """
    found = re.fullmatch(r"([0-9]\S*(?: (?:min|h|days?|weeks?|months?|quarters?|years?))?) +(\S.*)", text.strip())
    if not found:
        return 1.0, text.strip()
    amount, fact = found.groups()
    read = units.read_duration if fact in ("waited", "age") else units.read_amount
    size = units.middle(read(amount))
    if size <= 0:
        raise ValueError(f"per: '{text}' counts in steps of nothing; write for example '100 in customer'")
    return size, fact


def member_names(team: str, spec: ScenarioSpec) -> tuple[str, ...]:
    """The names of a team's members; `closer 3` for the third one, who was given none."""
    said = spec.teams[team]
    if said.members is None:
        return tuple(f"{team} {k + 1}" for k in range(said.size or 0))
    names: list[str] = []
    for member in said.members:
        for k in range(member.count):
            alone = member.name and member.count == 1
            names.append(
                str(member.name) if alone else f"{member.name} {k + 1}" if member.name else f"{team} {len(names) + 1}"
            )
    return tuple(names)


def read_when(when: Mapping[str, object], words: Vocabulary) -> tuple[Clause, ...]:
    """The clauses of a condition, all of which must hold. Raises ValueError with words for the user."""
    return tuple(clause for name, wanted in when.items() for clause in read_clauses(name, wanted, words))


def read_clauses(name: str, wanted: object, words: Vocabulary) -> tuple[Clause, ...]:
    """What a condition asks of a fact; of `quarter_day` it may ask several things: `not first 30, not last 7`."""
    parts = str(wanted).split(",") if name == "quarter_day" else [wanted]
    return tuple(read_clause(name, part, words) for part in parts)


def read_clause(name: str, wanted: object, words: Vocabulary) -> Clause:
    """One clause: the fact that it looks at, and the intervals in which the fact may lie."""
    known = [n for n in FACTS if n != "quarter_days_left"]
    if words.is_stock(name):
        place = name.removeprefix(STOCK)
        if place not in (*words.stages, *words.ends):
            raise ValueError(not_among(place, "stage or end", (*words.stages, *words.ends)))
    elif name not in known and name not in words.attributes:
        raise ValueError(not_among(name, "fact or attribute", [*words.attributes, *known, "in STAGE"]))
    if name == "quarter_day":
        return _quarter_days(wanted)
    alternatives = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    if not alternatives:
        raise ValueError(f"{name}: an empty list can never hold")
    read = _reader(name, words)
    fact = words.fact(name) if not words.is_stock(name) or words.stocks else NOT_PLACED
    return fact, tuple(interval for one in alternatives for interval in read(one))


def _reader(name: str, words: Vocabulary) -> Callable[[object], list[Interval]]:
    """The reader of one alternative of a fact."""
    named = {"source": words.sources, "stage": words.stages, "member": words.members}
    categories = named.get(name) or words.attributes.get(name)
    if name in named or (name in words.attributes and categories is not None):
        return lambda one: [_category(one, name, categories or ())]
    if name in ("waited", "age"):
        return lambda one: [units.read_interval(one, units.read_duration)]
    if name == "value":
        return lambda one: [units.read_interval(one, units.read_amount)]
    if name == "date":
        return lambda one: [_dates(one, words.start)]
    if name == "holiday":
        return lambda one: [_exactly(_yes_or_no(one))]
    if name == "weekday":
        return lambda one: [_exactly(day) for day in read_days(str(one))]
    if name == "month":
        return lambda one: [_exactly(read_month(one))]
    return lambda one: [units.read_interval(one, units.read_number)]


def _exactly(code: int) -> Interval:
    return Interval(code - 0.5, code + 0.5)


def _yes_or_no(one: object) -> int:
    words = {"yes": 1, "true": 1, "no": 0, "false": 0}
    if str(one).lower() not in words:
        raise ValueError(f"holiday: '{one}' is not known; write yes or no (the calendar says which days are holidays)")
    return words[str(one).lower()]


def _category(one: object, name: str, categories: tuple[str, ...]) -> Interval:
    if str(one) not in categories:
        what = name if name in FACT else f"value of {name}"
        raise ValueError(not_among(one, what, categories))
    return _exactly(categories.index(str(one)))


def _quarter_days(wanted: object) -> Clause:
    """`first 7` or `last 14`: days of the fiscal quarter; `not first 7`: all but these."""
    found = re.fullmatch(r"(not )? *(first|last) +([1-9][0-9]{0,2})", str(wanted).strip())
    if not found:
        raise ValueError(f"quarter_day: '{wanted}' is not known; write 'first 7', 'last 14' or 'not first 7'")
    fact = FACT["quarter_day"] if found[2] == "first" else FACT["quarter_days_left"]
    edge = int(found[3]) - 0.5
    return fact, (Interval(edge, math.inf) if found[1] else Interval(-0.5, edge),)


def _dates(one: object, start: date) -> Interval:
    """`2026-11-01`, `2026-11-01 to 2026-12-15` (both days taken in), `from …`, `until …` (the day taken in)."""
    text = str(one).strip()

    def day(part: str) -> float:
        try:
            return float((date.fromisoformat(part.strip()) - start) / timedelta(days=1))
        except ValueError:
            raise ValueError(
                f"date: '{one}' is not known; write '2026-11-01 to 2026-12-15', 'from …' or 'until …'"
            ) from None

    if text.startswith("from "):
        return Interval(day(text.removeprefix("from ")), math.inf)
    if text.startswith("until "):
        return Interval(-math.inf, day(text.removeprefix("until ")) + 1)
    first, to, last = text.partition(" to ")
    begin, end = day(first), day(last if to else first) + 1
    if begin >= end:
        raise ValueError(f"date: '{one}' runs backwards")
    return Interval(begin, end)
