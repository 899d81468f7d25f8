"""From a settled scenario to its plan, part by part."""

from __future__ import annotations

import math

from simfunnel.plan.deals import open_deals
from simfunnel.plan.effects import effect_table
from simfunnel.plan.people import drawn_table, source_table
from simfunnel.plan.places import exit_table, purposes, referral_table, route_table, stage_table
from simfunnel.plan.tables import Plan
from simfunnel.plan.workers import member_table, team_table
from simfunnel.plan.workshop import Workshop, ints, number
from simfunnel.scenario.spec import PluginSpec, ScenarioSpec


def compile_plan(spec: ScenarioSpec, *, folder: str = ".") -> Plan:
    """Compile a settled scenario (uncertain numbers that are left are taken at their median).

    `folder` is where rules in Python are looked for. The tables come first, for the packers fill while they are made.
    """
    shop = Workshop(spec)
    drawn, sources, deals = drawn_table(shop), source_table(shop), open_deals(shop)
    stages, exits, routes, referrals = (
        stage_table(shop),
        exit_table(shop, deals),
        route_table(shop),
        referral_table(shop),
    )
    teams, members, effects = team_table(shop), member_table(shop), effect_table(shop)
    return Plan(
        start=spec.start,
        days=spec.days,
        warm_up=spec.warm_up.days_from(spec.start),
        currency=spec.currency,
        fiscal_year_ends=spec.fiscal_year_ends,
        source_names=tuple(spec.sources),
        place_names=shop.places,
        team_names=tuple(spec.teams),
        member_names=shop.words.members,
        attribute_names=tuple(spec.attributes),
        attribute_levels=tuple(drawn.levels for drawn in spec.attributes.values()),
        tables=shop.distributions.pack(),
        maps=shop.maps.pack(),
        conditions=shop.conditions.pack(),
        day_facts=shop.day_facts,
        target=number(spec.target, math.nan),
        plugin_folder=folder,
        deal_names=deals.names,
        plugins=tuple(s.route.python if isinstance(s.route, PluginSpec) else "" for s in spec.stages.values()),
        drawn=drawn,
        sources=sources,
        deals=deals.table,
        known_of=deals.known_of,
        stages=stages,
        exits=exits,
        routes=routes,
        referrals=referrals,
        teams=teams,
        members=members,
        purposes=purposes(shop),
        effects=effects,
        stocks=ints([shop.place(name) for name in shop.words.stocks]),
    )
