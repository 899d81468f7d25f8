"""The scenario as the user writes it: frozen models, one for each part of the file.

The text under each field is its documentation: the JSON Schema and the reference page are made from it. Times end up in
days, work in hours, chances between 0 and 1, money in the scenario's currency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from simfunnel import units
from simfunnel.calendars import ALWAYS, Calendar, public_holidays, read_days, read_hours, read_month
from simfunnel.distributions import Distribution
from simfunnel.errors import not_among, within
from simfunnel.scenario.fields import (
    FIRST_YEAR,
    LAST_YEAR,
    LOST,
    STAYS,
    Amount,
    AttributeSpec,
    Booking,
    Chance,
    Counts,
    Day,
    Drawn,
    Duration,
    Efforts,
    Factor,
    Figure,
    Length,
    Levels,
    Name,
    Pay,
    SourceCost,
    Spec,
    Spending,
    Times,
    ValueSpec,
    When,
    Yields,
    counted,
    read_by,
    read_date,
    texts,
)
from simfunnel.units import Number, Rate, Span

# --- calendars and sources --------------------------------------------------------------------------------------------


def _read_calendar(value: object) -> Calendar:
    """A calendar from its three keys, or the word `always`."""
    if isinstance(value, Calendar):
        return value
    if value == "always":
        return ALWAYS
    if not isinstance(value, Mapping):
        example = '{days: Mon-Fri, hours: "09:00-17:00", holidays: US}'
        raise ValueError(f"{units.shown(value)} is no calendar; write {example} or always")
    strange = [k for k in value if k not in _CALENDAR]
    if strange:
        with within(strange[0]):
            raise ValueError(not_among(strange[0], "key of a calendar", _CALENDAR))
    parts = []
    for key, (default, read) in _CALENDAR.items():
        with within(key):
            parts.append(read(value.get(key, default)))
    return Calendar(*parts)


def _read_holidays(value: object) -> frozenset[date]:
    """Holidays from a country code, or a list of dates."""
    if isinstance(value, str) and not value[:1].isdigit():
        return public_holidays(value, tuple(range(FIRST_YEAR, LAST_YEAR + units.MAX_SPAN_YEARS + 1)))
    if not isinstance(value, (str, list, tuple)):
        raise ValueError(f"{units.shown(value)} are no holidays; write a country code such as US, or a list of dates")
    return frozenset(read_date(day) for day in ([value] if isinstance(value, str) else value))


_CALENDAR: dict[str, tuple[object, Callable[[object], Any]]] = {
    "days": ("Mon-Fri", read_days),
    "hours": ("09:00-17:00", read_hours),
    "holidays": ((), _read_holidays),
}


CalendarSpec = Annotated[
    Calendar,
    *read_by(
        _read_calendar,
        {
            "anyOf": [
                {"type": "string", "enum": ["always"]},
                {
                    "type": "object",
                    "examples": [{"days": "Mon-Fri", "hours": "09:00-17:00", "holidays": "US"}],
                    "additionalProperties": False,
                    "properties": {
                        "days": {"type": ["string", "array"], "description": "open days, such as Mon-Fri"},
                        "hours": {
                            "type": ["string", "array"],
                            "description": "open hours, such as 09:00-17:00, or 22:00-06:00 into the next day",
                        },
                        "holidays": {"type": ["string", "array"], "description": "a country code, or a list of dates"},
                    },
                },
            ]
        },
    ),
]


class RateSteps(Spec):
    """A rate, or rates that hold from a date on."""

    steps: tuple[tuple[date | None, Rate], ...]
    """(from this date on, this rate), by date; None is the start."""


def _read_rate_steps(value: object) -> RateSteps:
    if isinstance(value, RateSteps):
        return value
    if isinstance(value, Mapping):
        if not value:
            raise ValueError("no rate is given; write for example {2026-10-01: 12 per day}")
        rates = {}
        for day, rate in value.items():
            with within(day):
                rates[read_date(day)] = units.read_rate(rate)
        return RateSteps(steps=tuple((day, rates[day]) for day in sorted(rates)))
    return RateSteps(steps=((None, units.read_rate(value)),))


_BY_NAME = {"type": "object", "additionalProperties": texts(None, "x1.2")}


def _read_by_name(read_names: Callable[[object], Sequence[int]], example: str) -> Callable[[object], dict[int, Number]]:
    def read(value: object) -> dict[int, Number]:
        if not isinstance(value, Mapping):
            raise ValueError(f"{units.shown(value)} is no list of factors by name; write for example {example}")
        factors: dict[int, Number] = {}
        for name, factor in value.items():
            with within(name):
                for code in read_names(name):
                    if code in factors:
                        raise ValueError(f"'{name}' has a factor already")
                    factors[code] = units.read_factor(factor)
        return factors

    return read


_Weekdays = Annotated[dict[int, Number], *read_by(_read_by_name(read_days, "{Sat: x0.2}"), _BY_NAME)]
_Months = Annotated[dict[int, Number], *read_by(_read_by_name(lambda n: [read_month(n)], "{Dec: x0.5}"), _BY_NAME)]


class OpenDeal(Spec):
    """A deal that is already under way at the start."""

    id: Name
    """Its name in the CRM; its luck belongs to this name."""
    stage: Name
    """The stage where it stands."""
    age: Duration = 0.0
    """How long it has been there; it has just come unless said. Work in its stage is done if it has been there."""
    value: Amount | None = None
    """What it is worth; drawn from `value` if it is not known."""
    member: Name | None = None
    """The member who owns it."""
    attributes: Levels = Field(default_factory=dict)
    """What is known of its attributes; the others are drawn."""


class WorkedSpec(Spec):
    """Work that finds prospects: without a team's hours there are none."""

    team: Name
    """Who does it."""
    effort: Efforts
    """Hours of work of one visit, call or letter."""
    yields: Yields
    """How many prospects one visit finds: `8%` (one or none), a count, or a distribution of counts."""


class SourceSpec(Spec):
    """Where prospects come from. A source with neither rate, list nor deals is filled by referrals and sent deals."""

    rate: Annotated[
        RateSteps | None, *read_by(_read_rate_steps, {"type": ["string", "object"], "examples": ["12 per day"]})
    ] = None
    """How many come: `12 per day`, `40 per week`, `8 per working day`, or by date {2026-10-01: 12 per day, …}."""
    weekday: _Weekdays = Field(default_factory=dict)
    """Factors on the rate by day of the week, such as {Mon-Thu: x1.1, Sat: x0.2, Sun: x0}."""
    season: _Months = Field(default_factory=dict)
    """Factors on the rate by month, such as {Dec: x0.5}."""
    at: Day | None = None
    """The day on which a list of prospects arrives, all at once, when the calendar opens."""
    size: Annotated[int, *counted(0, 10_000_000)] | None = None
    """How many prospects are on the list."""
    deals: tuple[OpenDeal, ...] | None = None
    """Deals already open at the start, one by one; or {file: deals.csv}."""
    worked: WorkedSpec | None = None
    """Whoever comes by rate or list is only someone to visit: a task for a team, which finds prospects."""
    enters: Name | None = None
    """The stage where its prospects begin; the first stage unless said."""
    cost: Spending = SourceCost()
    """`85 each`, `2000 per month`, or an amount paid once."""

    @model_validator(mode="after")
    def _one_way(self) -> SourceSpec:
        """A source has one way of bringing prospects."""
        ways = [name for name in ("rate", "at", "deals") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise ValueError(f"a source has one of rate, at and deals, not {' and '.join(ways)}; make two sources")
        if (self.at is None) != (self.size is None):
            raise ValueError("a list needs both at: (its day) and size: (how many)")
        if (self.weekday or self.season) and self.rate is None:
            raise ValueError("weekday and season change a rate; this source has none")
        if self.worked and self.rate is None and self.at is None:
            raise ValueError("worked: needs a rate (visits planned) or a list (at: and size:) of whom to visit")
        return self


# --- teams ------------------------------------------------------------------------------------------------------------


class Working(Spec):
    """How someone works; what a member doesn't say, the team says."""

    calendar: CalendarSpec | None = None
    """When they work; the scenario's calendar unless said."""
    selling_time: Chance | None = None
    """The share of open hours that goes into this work; 100% unless said."""
    speed: Figure | None = None
    """Hours of effort done in an hour of selling time; 1 unless said."""
    skill: Figure | None = None
    """Multiplies the odds of every exit forward from a stage on which they worked; 1 unless said."""
    hired: Day | None = None
    """The first day of work."""
    leaves: Day | None = None
    """The day from which they take no new task; the one in hand they finish."""
    ramp: Duration | None = None
    """How long until a new hire has full speed; it grows evenly from the day of hire."""
    pay: Pay | None = None
    """What one of them costs, such as `6000 per month`, while employed."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        """Nobody works backwards, or leaves before they come."""
        for name in ("speed", "skill"):
            if (number := getattr(self, name)) is not None and units.middle(number) <= 0:
                raise ValueError(f"{name} must be above 0, not {units.middle(number):g}")
        if self.hired and self.leaves and self.leaves <= self.hired:
            raise ValueError(f"leaves on {self.leaves}, not after being hired on {self.hired}")
        return self


class MemberSpec(Working):
    """One member of a team, or several alike."""

    name: Name | None = None
    """Their name; numbered names are given to those who have none."""
    count: Annotated[int, *counted(0, 10_000)] = 1
    """How many of them there are; one unless said."""
    only: When = Field(default_factory=dict)
    """Whom they may serve, such as {segment: enterprise}; everyone unless said."""


ORDERS = ("oldest first", "newest first", "highest value first")


class Serving(Spec):
    """Who is served next: those who meet the first condition, then the second, …; among equals by `then`."""

    first: tuple[When, ...] = ()
    """Conditions, the most urgent first, such as [{segment: enterprise}, {source: referral}]."""
    then: Literal["oldest first", "newest first", "highest value first"] = "oldest first"
    """The order among equals."""


def _read_serving(value: object) -> object:
    if isinstance(value, str):
        if value not in ORDERS:
            raise ValueError(not_among(value, "order of service", ORDERS))
        return Serving(then=value)  # type: ignore[arg-type]
    return value


class TeamSpec(Working):
    """People who share a queue of work."""

    size: Annotated[int, *counted(0, 10_000)] | None = None
    """How many members, all alike."""
    members: tuple[MemberSpec, ...] | None = None
    """The members one by one, where they differ."""
    serves: Annotated[Serving, BeforeValidator(_read_serving)] = Serving()
    """`oldest first`, `newest first`, `highest value first`, or {first: [conditions], then: …}."""
    ownership: Literal["pool", "owner"] = "pool"
    """`owner`: whoever serves a prospect first keeps it for all later work of this team; `pool`: anyone."""

    @model_validator(mode="after")
    def _size_or_members(self) -> TeamSpec:
        """A team is counted or listed, not both."""
        if (self.size is None) == (self.members is None):
            raise ValueError("a team has either size: or members:")
        return self


# --- stages -----------------------------------------------------------------------------------------------------------


class WorkSpec(Spec):
    """The work on a prospect in a stage, before it is decided where the prospect goes."""

    team: Name | None = None
    """Who does it; nobody for touches that take no seller's time, such as a card by post."""
    effort: Efforts | None = None
    """Hours of work of one touch; needed where there is a team."""
    touches: Annotated[int, *counted(1, 1000)] = 1
    """How many times they work on it; once unless said."""
    every: Times = Distribution.constant(0.0)
    """The time between the end of one touch and asking for the next; none unless said."""
    patience: Times | None = None
    """How long the prospect waits for a member at each touch before giving up; for ever unless said."""
    gives_up: Name = LOST
    """Where the impatient go; `lost` unless said."""
    cost: Amount = 0.0
    """What each touch costs, besides the members' pay."""

    @model_validator(mode="after")
    def _by_someone(self) -> Self:
        """A team's work takes hours; touches of nobody take none, and nobody waits for them."""
        if self.team is not None and self.effort is None:
            raise ValueError("a team's work needs effort: (the hours of one touch)")
        if self.team is None and (self.effort is not None or self.patience is not None):
            raise ValueError("effort and patience need a team: (who does the work)")
        return self


class ExitSpec(Spec):
    """A way out of a stage."""

    chance: Chance | None = None
    """The share that leaves this way; one exit may leave it out and is the rest."""
    after: Times = Distribution.constant(0.0)
    """How long those who leave this way take, from entry or from the end of the work; no time unless said."""
    set: Levels = Field(default_factory=dict)
    """Attributes that change on this way, such as {authority: decides}."""


class LimitSpec(Spec):
    """When to give up."""

    after: Times
    """How long a prospect may stay in the stage, from entry."""
    to: Name = LOST
    """Where it goes then; `lost` unless said."""


class RouteSpec(Spec):
    """A prospect that meets the condition goes straight on, before any work."""

    when: When = Field(default_factory=dict)
    """The condition; everyone unless said."""
    to: Name
    """The stage or end."""


class PluginSpec(Spec):
    """A routing rule of the user's own, in Python."""

    python: Annotated[str, Field(pattern=r"^[^:]+\.py:[A-Za-z_]\w*$")]
    """`file.py:function`; it gets the prospect's facts as a dict and returns a stage's name, or None to stay."""


def _read_route(value: object) -> object:
    """Routes are a list of rules, one rule alone, or one Python rule."""
    return [value] if isinstance(value, Mapping) and "python" not in value else value


def _kind_of_route(value: object) -> str:
    return "plugin" if isinstance(value, PluginSpec) or (isinstance(value, Mapping) and "python" in value) else "rules"


Route = Annotated[
    Annotated[PluginSpec, Tag("plugin")] | Annotated[tuple[RouteSpec, ...], Tag("rules")],
    Discriminator(_kind_of_route),
    BeforeValidator(_read_route),
]


class SendSpec(Spec):
    """Further deals with the same one: a second product, an order once more. They keep its attributes and owners.

    What is drawn `by` source, and the value, are drawn anew.
    """

    number: Counts
    """How many come."""
    after: Times = Distribution.constant(0.0)
    """How long after entering the stage (or after each round) each one comes."""
    source: Name
    """The source under whose name they come."""
    every: Times | None = None
    """Again each time this has passed, while in the stage; once unless said."""


class ReferralSpec(SendSpec):
    """New prospects whom one in this stage brings."""

    reward: Amount = 0.0
    """Paid once for each of them who becomes a customer."""


class StageSpec(Spec):
    """A place in the funnel."""

    work: WorkSpec | None = None
    """Work of a team that comes before any exit."""
    exits: dict[str, ExitSpec] = Field(default_factory=dict)
    """Ways out, by the name of the stage or end to which they lead; `stays` is the share that never leaves."""
    limit: LimitSpec | None = None
    """When to give up."""
    route: Route = ()
    """Rules that send a prospect elsewhere before any work: [{when: …, to: …}] or {python: file.py:function}."""
    customer: bool | None = None
    """Whether those here are customers; yes where the stage books something, unless said."""
    books: Booking | None = None
    """Booked on entry: an amount, `value`, or `5% of value`; above 100% for an uplift, such as `110% of value`."""
    term: Duration = 0.0
    """The time over which a booking becomes revenue, evenly; at once unless said."""
    cash: Booking | None = None
    """Paid to us on entry."""
    cost: Booking | None = None
    """What entering costs us."""
    cost_per_day: Amount = 0.0
    """What each day of each prospect here costs us."""
    refers: tuple[ReferralSpec, ...] = ()
    """Whom those here bring: one rule, or a list of them."""
    sends: tuple[SendSpec, ...] = ()
    """Further deals that those here begin: one rule, or a list of them."""

    @property
    def is_customer(self) -> bool:
        """Whether those in this stage are customers."""
        return self.books is not None if self.customer is None else self.customer

    @model_validator(mode="before")
    @classmethod
    def _wrap(cls, data: Any) -> Any:
        """One rule stands for a list of one."""
        if isinstance(data, Mapping):
            data = {k: [v] if k in ("refers", "sends") and isinstance(v, Mapping) else v for k, v in data.items()}
        return data


# --- effects ----------------------------------------------------------------------------------------------------------


class Fading(Spec):
    """An effect that begins on a day and fades: the logarithm of its factor halves with each half-life."""

    from_: Annotated[Day, Field(alias="from")]
    """The day on which it begins, at full strength."""
    half_life: Duration
    """How long until half of it is left."""

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        """Nothing halves at once."""
        if units.middle(self.half_life) <= 0:
            raise ValueError("half_life must be above 0")
        return self


class EffectSpec(Spec):
    """What multiplies odds, time, pace, hazard, effort, patience, value, arrivals or referrals, for whom and when."""

    when: When = Field(default_factory=dict)
    """The condition; always unless said."""
    on: tuple[str, ...] = ()
    """An exit (`quote -> customer`), a stage, a source (for arrivals), or a list of them; everywhere unless said."""
    odds: Factor | None = None
    """On the odds of an exit; on a stage it means all exits forward."""
    time: Factor | None = None
    """On the time that an exit takes."""
    pace: Factor | None = None
    """On how fast the time of an exit runs on some days; `when` may then look at the date only."""
    hazard: Factor | None = None
    """On the chance that an exit takes place when it falls due, by the date and age then; at most x1. Who misses it is
    as others who have stayed so long: an exit may come later, or no more."""
    effort: Factor | None = None
    """On the hours of work."""
    patience: Factor | None = None
    """On how long a prospect waits for a member."""
    value: Factor | None = None
    """On the prospect's value, at its birth."""
    arrivals: Factor | None = None
    """On the rate of a source; `when` and `per` may then look at the date and at how many are in a stage only."""
    referrals: Factor | None = None
    """On how many prospects those in a stage bring (refers and sends)."""
    per: str | None = None
    """Apply the factor once for each of these: `touches`, `2 visits`, `10k value`, `100 in customer`, an attribute."""
    most: Factor | None = None
    """The furthest that `per` can take the factor, such as x3 or /3."""
    fades: Fading | None = None
    """Begin on a day and fade."""

    @model_validator(mode="before")
    @classmethod
    def _wrap(cls, data: Any) -> Any:
        """One place stands for a list of one."""
        if isinstance(data, Mapping) and isinstance(data.get("on"), str):
            data = {**data, "on": [data["on"]]}
        return data

    @model_validator(mode="after")
    def _does_something(self) -> EffectSpec:
        """An effect has a factor, and one on odds says where."""
        said = [f for f in FACTORS if getattr(self, f) is not None]
        if not said:
            raise ValueError(f"an effect needs one of {', '.join(FACTORS)}")
        if "odds" in said and not self.on:
            raise ValueError("an effect on odds needs on: a stage or an exit such as 'quote -> customer'")
        most = self.hazard.high if isinstance(self.hazard, units.Uncertain) else self.hazard
        if most is not None and most > 1:
            raise ValueError("a hazard can be x1 at most; slow down the other days or ages instead")
        if self.most is not None:
            factors = [units.middle(getattr(self, f)) for f in said]
            if self.per is None:
                raise ValueError("most bounds what per: can do; this effect has no per")
            if any((factor > 1) != (units.middle(self.most) > 1) for factor in factors):
                raise ValueError("most must lie on the same side of x1 as the factor")
        return self


FACTORS = ("odds", "time", "pace", "hazard", "effort", "patience", "value", "arrivals", "referrals")


# --- the whole --------------------------------------------------------------------------------------------------------


class ScenarioSpec(Spec):
    """A scenario: prospects from sources flow through stages, where teams with limited time work on them."""

    VARIANT_KEYS: ClassVar[tuple[str, ...]] = ("extends", "override")
    """Keys that a file may have besides; they are resolved before it becomes a spec."""

    name: Annotated[str, Field(min_length=1)]
    """What it is called."""
    description: str = ""
    """What it is about, in a sentence or two."""
    start: Day
    """The first day."""
    horizon: Length
    """How long it runs, such as `2 quarters`."""
    warm_up: Length = Span(0.0, "day")
    """How much of the beginning is left out of every result; nothing unless said."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    """ISO 4217 code, such as EUR; USD unless said."""
    fiscal_year_ends: Annotated[int, *read_by(read_month, {"type": "string", "examples": ["December"]})] = 12
    """The month in which the fiscal year ends; quarters are counted from it. December unless said."""
    calendar: CalendarSpec = Calendar()
    """When everyone works unless said otherwise; Mon-Fri 09:00-17:00 without holidays unless said."""
    attributes: dict[str, AttributeSpec] = Field(default_factory=dict)
    """Drawn once for each prospect, in this order: shares, a distribution, or {by: …, cases: …}."""
    sources: Annotated[dict[str, SourceSpec], Field(min_length=1)]
    """Where prospects come from."""
    value: ValueSpec = Drawn(cases={"other": Distribution.constant(0.0)})
    """What a prospect is worth, drawn at its birth: an amount, a distribution, or {by: …, cases: …}."""
    teams: dict[str, TeamSpec] = Field(default_factory=dict)
    """Who works."""
    stages: Annotated[dict[str, StageSpec], Field(min_length=1)]
    """The funnel, in its order: an exit to a later stage goes forward."""
    effects: tuple[EffectSpec, ...] = ()
    """What odds, time, effort, patience, value and arrivals depend on."""
    target: Amount | None = None
    """Bookings wanted in each quarter; forecasts tell the chance of reaching it."""

    @model_validator(mode="before")
    @classmethod
    def _no_nulls(cls, data: Any) -> Any:
        """`referral:` with nothing behind it means `{}`."""
        if isinstance(data, Mapping):
            data = dict(data)
            for part in ("sources", "stages"):
                if isinstance(data.get(part), Mapping):
                    data[part] = {k: {} if v is None else v for k, v in data[part].items()}
        return data

    @property
    def days(self) -> float:
        """The length of the horizon in days."""
        return self.horizon.days_from(self.start)

    @property
    def ends(self) -> tuple[str, ...]:
        """Where prospects leave for good: every goal of an exit, a limit or impatience that is no stage."""
        names: dict[str, None] = {}
        for stage in self.stages.values():
            goals = [*stage.exits, *([stage.limit.to] if stage.limit else [])]
            if stage.work and stage.work.patience:
                goals.append(stage.work.gives_up)
            if isinstance(stage.route, tuple):
                goals += [rule.to for rule in stage.route]
            names.update(dict.fromkeys(g for g in goals if g not in self.stages and g != STAYS))
        return tuple(names)
