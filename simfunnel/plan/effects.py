"""What odds, times, hazards, effort, patience, arrivals, referrals and value depend on: effects, filed by place."""

from __future__ import annotations

import math

from simfunnel.numerics import Effects, Rows, rows_of
from simfunnel.plan.tables import NOWHERE, Slots
from simfunnel.plan.workshop import Workshop, floats, ints, number, starts
from simfunnel.scenario.conditions import read_per, read_when
from simfunnel.scenario.fields import STAYS
from simfunnel.scenario.spec import EffectSpec


def effect_table(shop: Workshop) -> Rows:
    """All effects, each filed at every slot on which it acts."""
    exits = shop.exits
    slots = Slots(len(exits), len(shop.spec.stages), len(shop.spec.sources))
    filed: list[list[tuple[EffectSpec, float, int]]] = [[] for _ in range(slots.count)]
    for effect in shop.spec.effects:
        predicate = shop.conditions.add(read_when(effect.when, shop.words))
        for slot, factor in _slots_of(shop, effect, slots):
            filed[slot].append((effect, factor, predicate))
    flat = [one for slot in filed for one in slot]
    fades = [effect.fades for effect, _, _ in flat]
    per = [read_per(effect.per) if effect.per else (1.0, "") for effect, _, _ in flat]
    bounds = [number(effect.most, math.nan) for effect, _, _ in flat]
    table = Effects(
        slot_start=starts([len(slot) for slot in filed]),
        predicate=ints([predicate for _, _, predicate in flat]),
        factor=floats([factor for _, factor, _ in flat]),
        power=ints([shop.words.fact(name) if name else NOWHERE for _, name in per]),
        step=floats([step for step, _ in per]),
        least=floats([bound if bound < 1 else 0.0 for bound in bounds]),
        most=floats([bound if bound >= 1 else math.inf for bound in bounds]),
        since=floats([(f.from_ - shop.spec.start).days if f else 0.0 for f in fades]),
        half_life=floats([number(f.half_life) if f else 0.0 for f in fades]),
    )
    return rows_of(table)


def _slots_of(shop: Workshop, effect: EffectSpec, slots: Slots) -> list[tuple[int, float]]:
    """Where an effect is filed, with its factor there."""
    exits = shop.exits
    stages = list(shop.spec.stages)
    on_stages = [stages.index(p) for p in effect.on if p in stages] if effect.on else list(range(len(stages)))
    on_exits = [e for e, (s, goal, _) in enumerate(exits) if (stages[s], goal) in exits_named(effect)]
    places = shop.places
    whole = [e for e, (s, goal, _) in enumerate(exits) if s in on_stages and goal != STAYS]
    forward = [e for e in whole if exits[e][0] < places.index(exits[e][1]) < len(stages)]
    filed: list[tuple[int, float]] = []
    if effect.odds is not None:
        filed += [(slots.odds(e), number(effect.odds)) for e in sorted({*on_exits, *forward})]
    if effect.time is not None:
        filed += [(slots.time(e), number(effect.time)) for e in sorted({*on_exits, *whole})]
    if effect.hazard is not None:
        filed += [(slots.hazard(e), number(effect.hazard)) for e in sorted({*on_exits, *whole})]
    if effect.effort is not None:
        filed += [(slots.effort(s), number(effect.effort)) for s in on_stages]
    if effect.patience is not None:
        filed += [(slots.patience(s), number(effect.patience)) for s in on_stages]
    if effect.referrals is not None:
        filed += [(slots.referrals(s), number(effect.referrals)) for s in on_stages]
    if effect.arrivals is not None and looks_at_stock(shop, effect):
        sources = list(shop.spec.sources)
        on_sources = [k for k, name in enumerate(sources) if not effect.on or name in effect.on]
        filed += [(slots.arrivals(k), number(effect.arrivals)) for k in on_sources]
    if effect.value is not None:
        filed.append((slots.value, number(effect.value)))
    return filed


def exits_named(effect: EffectSpec) -> set[tuple[str, ...]]:
    """The exits (`stage -> goal`) that an effect names."""
    return {tuple(part.strip() for part in place.split("->")) for place in effect.on if "->" in place}


def looks_at_stock(shop: Workshop, effect: EffectSpec) -> bool:
    """Whether an effect depends on how many are somewhere, which nobody knows beforehand."""
    names = [*effect.when, *([read_per(effect.per)[1]] if effect.per else [])]
    return any(shop.words.is_stock(name) for name in names)


def ceiling(effect: EffectSpec) -> float:
    """The furthest that an effect can raise arrivals; 1 for one that lowers them."""
    factor = number(effect.arrivals, 1.0)
    return max(1.0, number(effect.most, factor) if effect.per else factor)
