"""Who comes: what is drawn at birth, and sources with their cumulative rates."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from simfunnel.distributions import Distribution, QuantileTable, discrete
from simfunnel.numerics import Flags, Floats
from simfunnel.plan.dates import by_day, day_facts, thinned_out
from simfunnel.plan.effects import ceiling, looks_at_stock
from simfunnel.plan.tables import DEALS, LIST, NEVER, NOWHERE, RATE, REFERRED, DrawnTable, SourceTable
from simfunnel.plan.workshop import Workshop, floats, ints, number
from simfunnel.randomness import purpose, root_key
from simfunnel.scenario.conditions import FACT
from simfunnel.scenario.fields import Drawn, Shares
from simfunnel.scenario.spec import EffectSpec, SourceSpec

_WEEKDAY_MONTH_HOLIDAY = tuple(FACT[fact] - FACT["quarter_day"] for fact in ("weekday", "month", "holiday"))


def drawn_table(shop: Workshop) -> DrawnTable:
    """Attributes, then the value."""
    everything = [*shop.spec.attributes.items(), ("value", shop.spec.value)]
    by, start, cases = [], [0], []
    for _, drawn in everything:
        by.append(NOWHERE if drawn.by is None else shop.words.fact(drawn.by))
        cases += _cases(shop, drawn)
        start.append(len(cases))
    return DrawnTable(
        fact=ints([shop.words.fact(name) for name, _ in everything]),
        by=ints(by),
        case_start=ints(start[:-1]),
        case=ints(cases),
        purpose=ints([purpose("attribute", name) for name, _ in everything]),
        anew=ints(_drawn_anew(dict(everything))),
    )


def _drawn_anew(everything: dict[str, Drawn]) -> list[bool]:
    """For each attribute and the value, whether a further deal with the same one draws it again."""
    anew = {"source": True}
    for name, drawn in everything.items():
        anew[name] = name == "value" or anew.get(drawn.by or "", False)
    return [anew[name] for name in everything]


def _cases(shop: Workshop, drawn: Drawn) -> list[int]:
    """The distribution for each code of `by`, or the one for everyone."""
    if drawn.by is None:
        return [_case(shop, drawn.cases["other"], drawn)]
    codes = shop.words.sources if drawn.by == "source" else shop.words.attributes[drawn.by] or ()
    return [_case(shop, drawn.cases[code] if code in drawn.cases else drawn.cases["other"], drawn) for code in codes]


def _case(shop: Workshop, case: Shares | Distribution, drawn: Drawn) -> int:
    if isinstance(case, Distribution):
        return shop.distributions.add(case.settled())
    levels = drawn.levels or ()
    return shop.distributions.add(_codes(tuple(number(case.of.get(level, 0.0)) for level in levels)))


@lru_cache(maxsize=1024)
def _codes(chances: tuple[float, ...]) -> QuantileTable:
    """The table of a category's codes; kept, so that equal ones are packed once."""
    return discrete(chances, range(len(chances)))


def source_table(shop: Workshop) -> SourceTable:
    """All sources; a list comes when the calendar opens on its day."""
    rows = list(shop.spec.sources.items())
    kinds = [RATE if s.rate else LIST if s.at else DEALS if s.deals is not None else REFERRED for _, s in rows]
    opens = min((begin for begin, _ in shop.spec.calendar.hours), default=0.0) / 24
    first = next(iter(shop.spec.stages))
    return SourceTable(
        kind=ints(kinds),
        key=ints([root_key("source", name) for name, _ in rows]),
        enters=ints([shop.place(s.enters or first) for _, s in rows]),
        rate_map=ints([_arrivals(shop, name, s) if s.rate else NOWHERE for name, s in rows]),
        at=floats([(s.at - shop.spec.start).days + opens if s.at else NEVER for _, s in rows]),
        size=ints([s.size or 0 for _, s in rows]),
        ceiling=floats([_ceiling(shop, name) for name, _ in rows]),
        team=ints([list(shop.spec.teams).index(s.worked.team) if s.worked else NOWHERE for _, s in rows]),
        effort=ints([shop.maybe(s.worked.effort if s.worked else None) for _, s in rows]),
        yields=ints([shop.maybe(s.worked.yields if s.worked else None) for _, s in rows]),
        cost_each=floats([number(s.cost.each) for _, s in rows]),
        cost_once=floats([number(s.cost.once) for _, s in rows]),
        cost_per_day=floats([number(s.cost.per_day) for _, s in rows]),
    )


def _arrivals(shop: Workshop, name: str, source: SourceSpec) -> int:
    """The cumulative rate of a source as a map from time to expected arrivals."""
    calendar = shop.spec.calendar
    weekday, month, holiday = (shop.day_facts[: shop.whole_days, k].astype(int) for k in _WEEKDAY_MONTH_HOLIDAY)
    rate, working = _rates(shop, source)
    by_weekday = floats([number(source.weekday.get(day), 1.0) for day in range(7)])
    by_month = floats([number(source.season.get(m), 1.0) for m in range(13)])
    rate = rate * (by_weekday[weekday] * by_month[month]) * _arrival_effects(shop, name)
    is_open = np.isin(weekday, calendar.days) & (holiday == 0)
    spells = [_spells(rate, ~working, 0.0, 24.0, 24.0)]
    spells += [_spells(rate, working & is_open, *hours, calendar.hours_a_day) for hours in calendar.hours]
    spells.append(_shift_under_way(shop, source, rate, working))
    begins, ends, amounts = np.concatenate(spells, axis=1)
    if not len(begins):
        return shop.maps.add(floats([0.0, shop.whole_days]), floats([0.0, 0.0]))
    order = np.argsort(begins)
    return shop.maps.add(*thinned_out(*_summed(begins[order], ends[order], amounts[order])))


def _spells(rate: Floats, comes: Flags, begin: float, end: float, hours: float) -> Floats:
    """From when until when prospects come, and how many: of a day's `hours` those from one hour to another."""
    days = np.flatnonzero(comes & (rate > 0.0))
    return np.stack([days + begin / 24, days + end / 24, rate[days] * (end - begin) / hours])


def _shift_under_way(shop: Workshop, source: SourceSpec, rate: Floats, working: Flags) -> Floats:
    """The spell of the shift that began on the evening before the start, at the rate of the first day; or none."""
    calendar = shop.spec.calendar
    weekday, month, holiday = day_facts(shop.spec, -1, 1)[0, list(_WEEKDAY_MONTH_HOLIDAY)].astype(int)
    late = [(begin, end) for begin, end in calendar.hours if end > 24.0]
    if not late or not working[0] or weekday not in calendar.days or holiday:
        return np.empty((3, 0))
    today = shop.day_facts[0, list(_WEEKDAY_MONTH_HOLIDAY)].astype(int)
    usual = number(source.weekday.get(int(today[0]), 1.0)) * number(source.season.get(int(today[1]), 1.0))
    its_own = number(source.weekday.get(int(weekday), 1.0)) * number(source.season.get(int(month), 1.0))
    ((_, end),) = late
    amount = rate[0] * (its_own / usual if usual > 0 else 0.0) * (end - 24.0) / calendar.hours_a_day
    return np.array([[0.0], [(end - 24.0) / 24], [amount]])


def _summed(begins: Floats, ends: Floats, amounts: Floats) -> tuple[Floats, Floats]:
    """Amounts that come evenly from when until when, as the nodes of their cumulative sum."""
    if (begins[1:] < ends[:-1]).any():  # a night's shift and the plain rate that follows it
        x = np.unique(np.concatenate([[0.0], begins, ends]))
        pace = np.zeros(len(x))
        np.add.at(pace, np.searchsorted(x, begins), amounts / (ends - begins))
        np.subtract.at(pace, np.searchsorted(x, ends), amounts / (ends - begins))
        steps = np.maximum(np.cumsum(pace)[:-1], 0.0) * np.diff(x)
        return x, np.concatenate([[0.0], np.cumsum(steps)])
    total = np.cumsum(np.concatenate([[0.0], amounts]))
    x = np.concatenate([[0.0], np.stack([begins, ends], axis=1).ravel()])
    y = np.concatenate([[0.0], np.stack([total[:-1], total[1:]], axis=1).ravel()])
    keep = np.ones(len(x), dtype=bool)
    keep[1::2] = begins > np.concatenate([[0.0], ends[:-1]])  # else it begins where the one before it ends
    return x[keep], y[keep]


def _rates(shop: Workshop, source: SourceSpec) -> tuple[Floats, Flags]:
    """The rate on each day, and whether it counts only while the calendar is open; 0 before the first step."""
    rate, working = np.zeros(shop.whole_days), np.zeros(shop.whole_days, dtype=bool)
    for since, step in source.rate.steps if source.rate else ():
        first = max((since - shop.spec.start).days, 0) if since else 0
        rate[first:], working[first:] = number(step.per_day), step.working
    return rate, working


def _on_arrivals(shop: Workshop, name: str, *, by_stock: bool) -> list[EffectSpec]:
    """The effects on a source's arrivals: those that look at stocks, or those of the date alone."""
    found = [e for e in shop.spec.effects if e.arrivals is not None and (not e.on or name in e.on)]
    return [e for e in found if looks_at_stock(shop, e) == by_stock]


def _ceiling(shop: Workshop, name: str) -> float:
    """The furthest that stocks can raise the arrivals of a source; 0 where they have no say."""
    found = _on_arrivals(shop, name, by_stock=True)
    return math.prod(ceiling(effect) for effect in found) if found else 0.0


def _arrival_effects(shop: Workshop, name: str) -> Floats:
    """The product of all effects of the date on a source's arrivals, by day."""
    product = np.ones(shop.whole_days)
    for effect in _on_arrivals(shop, name, by_stock=False):
        product *= by_day(shop.spec, shop.words, effect, number(effect.arrivals), 0, shop.whole_days)
    return product
