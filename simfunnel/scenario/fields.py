"""The values of a scenario's keys: how each kind of value is read, and what it becomes.

Times end up in days, work in hours, chances between 0 and 1, money in the scenario's currency. `spec` says which key
takes which kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from simfunnel import units
from simfunnel.distributions import Distribution, read_distribution
from simfunnel.errors import not_among, within
from simfunnel.units import Number, Rate, Span, Uncertain

STAYS = "stays"
LOST = "lost"
FIRST_YEAR, LAST_YEAR = 1950, 2100
MAX_COUNT = 10_000  # prospects brought at once


class Spec(BaseModel):
    """What every part of a scenario shares: unknown keys are faults, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, populate_by_name=True)


def read_by(reader: Callable[[Any], Any], schema: dict[str, Any]) -> Any:
    """The pydantic markers for a value that one of our readers understands."""
    return (BeforeValidator(reader), WithJsonSchema(schema))


def texts(pattern: str | None = None, *examples: str) -> dict[str, Any]:
    """The schema of a number that may be written as a text."""
    text: dict[str, Any] = {"type": "string", "examples": list(examples)}
    return {"anyOf": [{"type": "number"}, text | ({"pattern": pattern} if pattern else {})]}


def _distribution_of(reader: Callable[[object], Number], floor: float, example: Any, name: str = "exponential") -> Any:
    schema = {
        "anyOf": [
            {"type": ["number", "string"], "examples": [example]},
            {"type": "object", "minProperties": 1, "maxProperties": 1, "examples": [{name: example}]},
        ]
    }
    return read_by(lambda v: read_distribution(v, reader, floor=floor), schema)


def _whole(counted: Distribution) -> Distribution:
    """A distribution of whole numbers, such as how many prospects come."""
    if not counted.is_whole():
        raise ValueError("is no count of prospects; write for example 2, or {poisson: 0.4} for 0.4 on average")
    if counted.mean() > MAX_COUNT:
        raise ValueError(f"brings {counted.mean():,.0f} prospects at once; allowed are {MAX_COUNT:,}")
    return counted


Chance = Annotated[Number, *read_by(units.read_chance, texts(None, "45%", "45% to 55%"))]
Amount = Annotated[Number, *read_by(units.read_amount, texts(None, "12k", "10k to 15k"))]
Figure = Annotated[Number, *read_by(units.read_number, texts(None, "1.2", "0.9 to 1.1"))]
Factor = Annotated[Number, *read_by(units.read_factor, texts(None, "x1.8", "/7", "+20%", "x1.5 to x2"))]
Duration = Annotated[Number, *read_by(units.read_duration, texts(None, "5 days", "2 h"))]
Times = Annotated[Distribution, *_distribution_of(units.read_duration, 0.0, "5 days")]
Efforts = Annotated[Distribution, *_distribution_of(units.read_effort, 0.0, "2 h")]
Counts = Annotated[Distribution, BeforeValidator(_whole), *_distribution_of(units.read_number, 0.0, 2, "poisson")]


def _read_yield(value: object) -> Distribution:
    """A chance of one, or a count."""
    if isinstance(value, str) and "%" in value:
        return Distribution("bernoulli", (("p", units.read_chance(value)),))
    if isinstance(value, str):
        raise ValueError(f"'{value}' is no yield; write a chance such as 8%, a count such as 2, or {{poisson: 0.4}}")
    return read_distribution(value, units.read_number, floor=0.0)


Yields = Annotated[
    Distribution,
    BeforeValidator(_whole),
    *read_by(
        _read_yield,
        {
            "anyOf": [
                {"type": ["number", "string"], "examples": ["8%", 2]},
                {"type": "object", "minProperties": 1, "maxProperties": 1, "examples": [{"poisson": 0.4}]},
            ]
        },
    ),
]
Length = Annotated[
    Span,
    *read_by(units.read_span, {"anyOf": [{"type": "string", "examples": ["2 quarters", "90 days"]}, {"const": 0}]}),
]
RateOf = Annotated[Rate, *read_by(units.read_rate, {"type": "string", "examples": ["12 per day", "40 per week"]})]


def read_date(value: object) -> date:
    """A date from `2026-10-01`. Raises ValueError with words for the user."""
    found = value.date() if isinstance(value, datetime) else value if isinstance(value, date) else None
    try:
        if found is None and re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value)):
            found = date.fromisoformat(str(value))
    except ValueError:
        pass
    if found is None:
        raise ValueError(f"{units.shown(value)} is no date; write it as 2026-10-01")
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise ValueError(f"{found} is too far away; allowed are the years {FIRST_YEAR} to {LAST_YEAR}")
    return found


def _read_name(value: object) -> str:
    """A name; one that looks like a number needs no quotes."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{units.shown(value)} is no name; write a text")
    if not str(value).strip():
        raise ValueError("a name can't be empty")
    return str(value)


Name = Annotated[str, *read_by(_read_name, {"type": ["string", "number"]})]


def _read_count(value: object) -> object:
    """A whole number; yes and no are none, though Python takes them for 1 and 0."""
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.5
    if not (number.is_integer() and abs(number) < units.LARGEST):
        raise ValueError(f"{units.shown(value)} is no whole number")
    return int(number)


Level = str | int | float
"""A value of an attribute: the name of a category (which may look like a number), or a number."""
Levels = Annotated[
    dict[str, Level],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": ["string", "number"]},
            "examples": [{"authority": "decides"}],
        }
    ),
]


def counted(least: int, most: int) -> Any:
    """The pydantic markers of a whole number between two bounds."""
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return (BeforeValidator(_read_count), Field(ge=least, le=most), WithJsonSchema(schema))


Day = Annotated[date, *read_by(read_date, {"type": "string", "format": "date", "examples": ["2026-10-01"]})]


# --- money ------------------------------------------------------------------------------------------------------------


class Money(Spec):
    """An amount and a share of the prospect's value, added."""

    fixed: Number = 0.0
    """So much in the scenario's currency."""
    share: Number = 0.0
    """This share of the prospect's value."""


def _read_money(value: object) -> Money:
    if isinstance(value, Money):
        return value
    if isinstance(value, str):
        if value.strip() == "value":
            return Money(share=1.0)
        found = re.fullmatch(r"(.*%)\s*of\s+value", value.strip())
        if found:
            return Money(share=units.read_share(found[1]))
        if "%" in value or "val" in value:
            raise ValueError(f"'{value}' is no amount; write an amount, 'value' or '5% of value'")
    return Money(fixed=units.read_amount(value))


Booking = Annotated[
    Money,
    *read_by(
        _read_money, {"anyOf": [{"type": "number"}, {"type": "string", "examples": ["value", "5% of value", "12k"]}]}
    ),
]


class SourceCost(Spec):
    """What a source costs: for each prospect, once, and for each day."""

    each: Number = 0.0
    """For each prospect that it brings."""
    once: Number = 0.0
    """Once: when its list arrives, or at the start."""
    per_day: Number = 0.0
    """For each day of the horizon."""


def _read_source_cost(value: object) -> SourceCost:
    if isinstance(value, SourceCost):
        return value
    text = str(value).strip() if isinstance(value, str) else ""
    if text.endswith(" each"):
        return SourceCost(each=units.read_amount(text.removesuffix(" each")))
    if " per " in text:
        amount, _, unit = text.partition(" per ")
        return SourceCost(per_day=_a_day(amount, unit))
    return SourceCost(once=units.read_amount(value))


Spending = Annotated[
    SourceCost,
    *read_by(
        _read_source_cost,
        {"anyOf": [{"type": "number"}, {"type": "string", "examples": ["85 each", "2000 per month"]}]},
    ),
]


def _read_pay(value: object) -> Number:
    """Pay for a day from `6000 per month`."""
    amount, per, unit = str(value).partition(" per ")
    if not per:
        raise ValueError(f"{units.shown(value)} has no period; write for example '6000 per month'")
    return _a_day(amount, unit)


def _a_day(amount: str, unit: str) -> Number:
    """The part of an amount per unit of time that falls on one day."""
    if unit.strip() not in units.DAYS_IN:
        raise ValueError(not_among(unit.strip(), "period", units.DAYS_IN))
    return units.scaled(units.read_amount(amount), 1 / units.DAYS_IN[unit.strip()])


Pay = Annotated[Number, *read_by(_read_pay, {"type": "string", "examples": ["6000 per month"]})]


# --- attributes -------------------------------------------------------------------------------------------------------


class Shares(Spec):
    """A category drawn by chance: its names, in the order in which they were written, and their shares."""

    of: dict[str, Number]
    """Share of each category; they sum to 1."""


def _read_shares(value: Mapping[str, Any]) -> Shares:
    shares = {}
    for name, share in value.items():
        with within(name):
            shares[name] = units.read_chance(share)
    total = sum(units.middle(s) for s in shares.values())
    if abs(total - 1) > 0.005 and not any(isinstance(s, Uncertain) for s in shares.values()):
        raise ValueError(f"the shares sum to {total:.4g} ({total:.1%}), not to 100%")
    return Shares(of=shares)


def _read_drawn(value: object, reader: Callable[[object], Number]) -> Shares | Distribution:
    """Shares of categories, or a distribution of a number."""
    if isinstance(value, Mapping) and (len(value) > 1 or any(_is_share(v) for v in value.values())):
        return _read_shares(value)
    return read_distribution(value, reader)


def _is_share(value: object) -> bool:
    return isinstance(value, str) and value.rstrip().endswith("%")


class Drawn(Spec):
    """Something drawn once for each prospect at its birth, perhaps `by` its source or an attribute drawn before."""

    by: str | None = None
    """`source`, or the name of an attribute written above this one."""
    cases: dict[str, Shares | Distribution]
    """What to draw from, by the value of `by`; `other` serves every value that is not named."""

    @property
    def levels(self) -> tuple[str, ...] | None:
        """The names of the categories, or None for a number."""
        names: dict[str, None] = {}
        for case in self.cases.values():
            if isinstance(case, Distribution):
                return None
            names.update(dict.fromkeys(case.of))
        return tuple(names)


def _reader_of_drawn(reader: Callable[[object], Number]) -> Callable[[object], Drawn]:
    def read(value: object) -> Drawn:
        if isinstance(value, Drawn):
            return value
        if isinstance(value, Mapping) and "by" in value:
            strange = set(value) - {"by", "cases"}
            if strange or not isinstance(value.get("cases"), Mapping) or not value["cases"]:
                raise ValueError(
                    "write {by: …, cases: {name: …}}" + (f"; unknown: {', '.join(strange)}" if strange else "")
                )
            cases = {}
            for name, case in value["cases"].items():
                with within("cases", name):
                    cases[name] = _read_drawn(case, reader)
            if len({isinstance(c, Shares) for c in cases.values()}) > 1:
                raise ValueError("every case must be of one kind: shares of categories, or a number")
            return Drawn(by=str(value["by"]), cases=cases)
        return Drawn(cases={"other": _read_drawn(value, reader)})

    return read


def _drawn_schema(*examples: Any) -> dict[str, Any]:
    return {"type": ["object", "number", "string"], "examples": list(examples)}


AttributeSpec = Annotated[
    Drawn,
    *read_by(
        _reader_of_drawn(units.read_number),
        _drawn_schema({"smb": "70%", "mid": "30%"}, {"poisson": 3}, {"by": "source", "cases": {"other": 3}}),
    ),
]
ValueSpec = Annotated[
    Drawn,
    *read_by(
        _reader_of_drawn(units.read_amount),
        _drawn_schema(
            "12k", {"lognormal": {"median": "12k", "p90": "60k"}}, {"by": "segment", "cases": {"other": "9k"}}
        ),
    ),
]

When = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {"type": "object", "examples": [{"source": "referral", "waited": "1 h to 24 h"}, {"seats": "over 5"}]}
    ),
]
"""Conditions that must all hold: a fact or attribute, and a value, a list of values or a range."""
