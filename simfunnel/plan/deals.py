"""Deals that are open already: where each stands, and what is known of it.

A forecast has thousands of them, the same in every replication: their tables are kept from one plan to the next.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from simfunnel.numerics import Floats
from simfunnel.plan.tables import NOWHERE, DealTable
from simfunnel.plan.workshop import Workshop, floats, ints, number
from simfunnel.randomness import root_key
from simfunnel.scenario.spec import OpenDeal

Levels = tuple[tuple[str, tuple[str, ...] | None], ...]


class Deals(NamedTuple):
    """All open deals of a scenario, source by source."""

    names: tuple[str, ...]
    table: DealTable
    known_of: Floats
    """What is known of their attributes (deals, attributes); NaN where it is not."""


class _Same:
    """A list of deals that equals itself alone, for to compare thousands of deals takes as long as to look at them."""

    def __init__(self, deals: tuple[OpenDeal, ...]) -> None:
        self.deals = deals

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.deals is other.deals

    def __hash__(self) -> int:
        return id(self.deals)


def open_deals(shop: Workshop) -> Deals:
    """The deals of all sources."""
    sources = tuple((name, _Same(source.deals or ())) for name, source in shop.spec.sources.items())
    levels: Levels = tuple((name, shop.words.attributes[name]) for name in shop.spec.attributes)
    return _open_deals(sources, shop.places, shop.words.members, levels)


@lru_cache(maxsize=4)
def _open_deals(
    sources: tuple[tuple[str, _Same], ...], places: tuple[str, ...], members: tuple[str, ...], levels: Levels
) -> Deals:
    """The same from what they hang on. Each one's key comes from its name: one deal more changes no other's luck."""
    rows = [(k, name, deal) for k, (name, listed) in enumerate(sources) for deal in listed.deals]
    place = {name: k for k, name in enumerate(places)}
    member = {name: k for k, name in enumerate(members)}
    table = DealTable(
        source=ints([k for k, _, _ in rows]),
        key=ints([root_key("deal", name, deal.id) for _, name, deal in rows]),
        stage=ints([place[deal.stage] for _, _, deal in rows]),
        age=floats([number(deal.age) for _, _, deal in rows]),
        value=floats([number(deal.value, math.nan) for _, _, deal in rows]),
        owner=ints([member.get(deal.member or "", NOWHERE) for _, _, deal in rows]),
    )
    known_of = np.full((len(rows), len(levels)), math.nan)
    codes = {name: (k, {level: c for c, level in enumerate(of or ())}) for k, (name, of) in enumerate(levels)}
    for r, (_, _, deal) in enumerate(rows):
        for name, value in deal.attributes.items():
            column, code = codes[name]
            known_of[r, column] = code[str(value)] if code else value
    return Deals(tuple(deal.id for _, _, deal in rows), table, known_of)
