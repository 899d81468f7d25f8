"""A scenario in words, as `simfunnel check` tells it: what flows where, who works, and whether it can be."""

from __future__ import annotations

import math
from collections.abc import Iterator

from simfunnel import units
from simfunnel.calendars import ALWAYS, DAYS, Calendar
from simfunnel.distributions import Distribution
from simfunnel.expectation import Expectation, expect, explosion
from simfunnel.formatting import counted, money
from simfunnel.plan import Uncertainty
from simfunnel.scenario.conditions import STOCK, member_names, read_per
from simfunnel.scenario.fields import STAYS, Drawn, Money
from simfunnel.scenario.spec import FACTORS, EffectSpec, PluginSpec, RateSteps, ScenarioSpec, SourceSpec, StageSpec
from simfunnel.scenario.worth import counts_ones
from simfunnel.units import Number, Uncertain

_ABOUT = "Counts and hours are means over the horizon, without effects, waiting and giving up; a run tells the rest."


def describe(spec: ScenarioSpec, warnings: tuple[str, ...] = ()) -> str:
    """The model in words, with what it leads one to expect; `warnings` end it."""
    expected = expect(spec)
    told = (*warnings, *explosion(spec))
    parts = [
        _heading(spec),
        ["", "Who comes:", *(f"  {line}" for line in _sources(spec, expected))],
        ["", "Where they go:", *(f"  {line}" for line in _stages(spec, expected)), *_ends(spec)],
        ["", "Who works (mean hours a week):", *(f"  {line}" for line in _teams(spec, expected))] if spec.teams else [],
        ["", "What changes the odds and the rest:", *(f"  {effect(e)}" for e in spec.effects)] if spec.effects else [],
        ["", *_referrals(expected)] if expected.growth > 0 else [],
        ["", _ABOUT],
        ["", *(f"Warning: {text}." for text in told)] if told else [],
    ]
    return "\n".join(line for part in parts for line in part)


def _heading(spec: ScenarioSpec) -> Iterator[str]:
    yield f"{spec.name}" + (f": {spec.description}" if spec.description else "")
    yield f"  from {spec.start} for {spec.days:,.0f} days" + (
        f", of which the first {spec.warm_up.days_from(spec.start):,.0f} are not counted" if spec.warm_up.count else ""
    )
    yield f"  {_calendar(spec.calendar)}; money in {spec.currency}"
    if spec.attributes:
        yield "  each prospect has: " + "; ".join(
            f"{name} ({', '.join(drawn.levels) if drawn.levels else 'a number'})"
            for name, drawn in spec.attributes.items()
        )
    if spec.value != Drawn(cases={"other": Distribution.constant(0.0)}):
        yield f"  {_worth(spec)}"
    count = _leaves(Uncertainty(spec).places)
    if count:
        numbers = "1 number is" if count == 1 else f"{count} numbers are"
        yield f"  {numbers} uncertain: each replication draws its own; below the median stands"


def _worth(spec: ScenarioSpec) -> str:
    """What a prospect is worth, by whatever decides it."""
    if counts_ones(spec):
        return "no deal has a value: each counts as 1, and a run leaves out what would only count them"
    cases = spec.value.cases.items()
    means = {name: money(case.mean(), spec.currency) for name, case in cases if isinstance(case, Distribution)}
    if spec.value.by is None:
        return f"a prospect is worth {means['other']} on average"
    return f"a prospect is worth, on average by {spec.value.by}: " + ", ".join(f"{k} {v}" for k, v in means.items())


def _leaves(places: object) -> int:
    return sum(map(_leaves, places.values())) if isinstance(places, dict) else 1


def _calendar(calendar: Calendar) -> str:
    if calendar == ALWAYS:
        return "everyone works round the clock"
    days = ", ".join(DAYS[d] for d in calendar.days)
    return f"work on {days} {calendar.clock()}" + ("" if calendar.holidays else ", no holidays")


# --- quantities -------------------------------------------------------------------------------------------------------


def _share(value: Number | None, rest: float = 0.0) -> str:
    if value is None:
        return f"the rest, {rest:.3g}%" if rest < 100 else "everyone"
    if isinstance(value, Uncertain):
        return f"{100 * value.low:.3g}% to {100 * value.high:.3g}%"
    return f"{100 * value:.3g}%"


def _days(days: float) -> str:
    """A time in the unit that reads best."""
    if days == 0:
        return "at once"
    for unit, least in (("year", units.DAYS_PER_YEAR), ("day", 1.0), ("h", units.HOUR)):
        if days >= least:
            text = f"{days / units.DAYS_IN[unit]:.3g}"
            return f"{text} {unit}{'' if unit == 'h' or text == '1' else 's'}"
    return f"{days / units.MINUTE:.3g} min"


def _later(after: Distribution) -> str:
    """When something follows."""
    return f"after {_days(after.mean())}" if after.mean() else "at once"


def _hours(hours: float) -> str:
    return f"{hours:.3g} h" if hours >= 1 else f"{60 * hours:.0f} min"


def _price(amount: Number, currency: str) -> str:
    """A small amount keeps its cents."""
    number = float(units.middle(amount))
    return money(number, currency) if abs(number) >= 100 else f"{number:.3g} {currency}"


def _amount(amount: Money, currency: str) -> str:
    parts = [_price(amount.fixed, currency)] if units.middle(amount.fixed) else []
    if amount.share == 1.0:
        parts.append("its value")
    elif units.middle(amount.share):
        parts.append(f"{_share(amount.share)} of its value")
    return " plus ".join(parts) or money(0.0, currency)


# --- parts ------------------------------------------------------------------------------------------------------------


def _sources(spec: ScenarioSpec, expected: Expectation) -> Iterator[str]:
    first = next(iter(spec.stages))
    weeks = spec.days / 7
    for name, source in spec.sources.items():
        count = expected.arrivals[name]
        into = f", into {source.enters}" if (source.enters or first) != first else ""
        planned = expected.planned.get(name, 0.0)
        yield f"{name}: {_way(source, count, weeks, planned)}{into}{_costs(source, spec.currency)}"


def _costs(source: SourceSpec, currency: str) -> str:
    """What a source costs, as the end of a line."""
    words = {"each": "each", "once": "once", "per_day": "a day"}
    parts = [(getattr(source.cost, name), word) for name, word in words.items()]
    said = [f"{_price(amount, currency)} {word}" for amount, word in parts if units.middle(amount)]
    return f"; costs {' and '.join(said)}" if said else ""


def _way(source: SourceSpec, count: float, weeks: float, visits: float) -> str:
    if source.worked is not None:
        work = source.worked
        planned = (
            f"{source.size:,} to visit from {source.at} on" if source.at else f"{visits / weeks:,.3g} visits a week"
        )
        found = f"each takes {work.team} {_hours(work.effort.mean())} and finds {work.yields.mean():.3g} prospects"
        return f"{planned}; {found}, about {count:,.0f} in all if all visits are made"
    if source.rate is not None:
        steps = isinstance(source.rate, RateSteps) and len(source.rate.steps) > 1
        return f"about {count:,.0f} in all, {count / weeks:,.3g} a week" + (
            " on average; the rate changes" if steps else ""
        )
    if source.at is not None:
        return f"a list of {source.size:,} on {source.at}"
    if source.deals is not None:
        return f"{counted(len(source.deals), 'deal')} already open"
    return f"those whom others bring, or further deals, about {count:,.0f} in all"


def _stages(spec: ScenarioSpec, expected: Expectation) -> Iterator[str]:
    came = sum(expected.arrivals.values())
    for s, (name, stage) in enumerate(spec.stages.items()):
        visits = sum(
            count / came * expected.visits[k, s] for k, count in enumerate(expected.arrivals.values()) if count > 0
        )
        often = "again and again" if visits == math.inf else f"{visits:.2g} visits a prospect in the end"
        what = f"about {expected.entries[name]:,.0f} come; {often}" if visits else "nobody comes"
        yield f"{name} ({what})" + (": a customer" if stage.is_customer else "")
        yield from (f"  {line}" for line in _stage(spec, stage))


def _ends(spec: ScenarioSpec) -> Iterator[str]:
    if spec.ends:
        yield f"  the end is {' or '.join(spec.ends)}"


def _stage(spec: ScenarioSpec, stage: StageSpec) -> Iterator[str]:
    for key, word in (("books", "books"), ("cash", "is paid"), ("cost", "costs")):
        amount = getattr(stage, key)
        if amount is not None:
            term = units.middle(stage.term) if key == "books" else 0.0
            yield f"{word} {_amount(amount, spec.currency)}" + (f", earned over {_days(term)}" if term else "")
    if units.middle(stage.cost_per_day):
        yield f"costs {_price(stage.cost_per_day, spec.currency)} a day for each who is here"
    if isinstance(stage.route, PluginSpec):
        yield f"a rule of your own, {stage.route.python}, may send it elsewhere first"
    else:
        for k, sent in enumerate(stage.route):
            whom = f"those whose {_when(sent.when)} go" if sent.when else f"everyone{' else' * (k > 0)} goes"
            yield f"{whom} straight to {sent.to}"
    if stage.work:
        work = stage.work
        effort = f"{_hours(work.effort.mean())} of work" if work.effort else "a touch that takes no seller's time"
        yield f"{work.team or 'by itself'}: {effort}" + (
            f", {work.touches} times, {_days(work.every.mean())} apart" if work.touches > 1 else ""
        )
        if units.middle(work.cost):
            yield f"each time costs {_price(work.cost, spec.currency)}"
        if work.patience:
            yield f"waits {_days(work.patience.mean())} on average for someone, then goes to {work.gives_up}"
    rest = 100 * (1 - sum(units.middle(w.chance) for w in stage.exits.values() if w.chance is not None))
    for goal, way in stage.exits.items():
        if goal == STAYS:
            yield f"{_share(way.chance, rest)} never leave"
        else:
            time = way.after.mean()
            when = f", after {_days(time)} on average" if time else ""
            comma = "," if way.chance is None and rest < 100 else ""
            yield f"{_share(way.chance, rest)}{comma} to {goal}{when}" + (
                f"; {' and '.join(f'{k} becomes {v}' for k, v in way.set.items())}" if way.set else ""
            )
    if stage.limit:
        limit = stage.limit.after
        often = "at the most" if limit.is_constant else "on average, if nothing comes before"
        yield f"after {_days(limit.mean())} {often}, to {stage.limit.to}"
    for rule in stage.refers:
        again = f", again every {_days(rule.every.mean())}" if rule.every else ""
        reward = f"; {money(float(units.middle(rule.reward)), spec.currency)} for each who buys"
        yield f"brings {rule.number.mean():.3g} prospects to {rule.source} {_later(rule.after)}{again}" + (
            reward if units.middle(rule.reward) else ""
        )
    for deal in stage.sends:
        again = f", again every {_days(deal.every.mean())}" if deal.every else ""
        yield (
            f"begins {deal.number.mean():.3g} further deals with the same one, as {deal.source}, "
            f"{_later(deal.after)}{again}"
        )


def _teams(spec: ScenarioSpec, expected: Expectation) -> Iterator[str]:
    for load in expected.loads:
        members = len(member_names(load.team, spec))
        verdict = "has time to spare"
        if load.share > 1:
            verdict = "is asked for more than it has: its queue grows without end, unless people give up"
        elif load.share > 0.85:
            verdict = "is close to its limit: expect queues"
        percent = f"{load.share:.0%}" if load.share < 100 else "far over 100%"
        who = f"{load.team} ({members} member{'s' * (members != 1)})"
        yield f"{who}: asked {load.asked:.3g} of {load.offered:.3g}, {percent}; {verdict}"


def _referrals(expected: Expectation) -> Iterator[str]:
    growth = expected.growth
    if growth < 1:
        yield f"Referral chains die out: each generation is {growth:.3g} of the one before (below 1)."


def effect(one: EffectSpec) -> str:
    """An effect in words."""
    changes = ", ".join(f"{name} {_times(getattr(one, name))}" for name in FACTORS if getattr(one, name) is not None)
    per = _per(one)
    fades = (
        f", from {one.fades.from_} on, half of it gone every {_days(float(units.middle(one.fades.half_life)))}"
        if one.fades
        else ""
    )
    return f"{' and '.join(one.on) or 'everywhere'}: {changes}{per}{fades}" + (
        f", when {_when(one.when)}" if one.when else ""
    )


def _per(one: EffectSpec) -> str:
    """For each of what a factor applies, and how far at the most."""
    if one.per is None:
        return ""
    size, name = read_per(one.per)
    many = "" if size == 1 else f"{size:,.6g} "
    most = f", {_times(one.most)} at the most" if one.most is not None else ""
    if name.startswith(STOCK):
        return f" for each {many}prospect{'' if size == 1 else 's'} {name}{most}"
    unit = {"age": " days", "waited": " days"}.get(name, "")
    return f" for each of its {many}{name}{unit}{most}"


def _times(factor: Number) -> str:
    """A factor, as a divisor where that is shorter."""
    if isinstance(factor, Uncertain):
        return f"{_times(factor.low)} to {_times(factor.high)}"
    times, divided = f"{factor:.4g}", f"{1 / factor:.4g}" if factor else ""
    return f"/{divided}" if 0 < len(divided) < len(times) else f"x{times}"


def _when(when: dict[str, object]) -> str:
    return " and ".join(
        f"{f'the number {name}' if name.startswith(STOCK) else name} is "
        + (" or ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in when.items()
    )
