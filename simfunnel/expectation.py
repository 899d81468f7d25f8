"""What a scenario leads one to expect, worked out without simulating: visits, loads, and the growth of referral chains.

Means only: uncertain numbers at their median; effects, giving up, limits and conditional routes left out. So it tells
whether a model makes sense (a team asked for twice its hours), not what will happen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simfunnel.numerics import Floats, forward
from simfunnel.plan import LIST, NOWHERE, RATE, Plan, compile_plan
from simfunnel.scenario.spec import STAYS, ScenarioSpec


@dataclass(frozen=True)
class Load:
    """Hours that a team is asked for and offers, in a mean week of the horizon."""

    team: str
    asked: float
    offered: float

    @property
    def share(self) -> float:
        """Asked as a share of offered; infinity for a team that offers none."""
        return self.asked / self.offered if self.offered > 0 else (np.inf if self.asked > 0 else 0.0)


@dataclass(frozen=True)
class Expectation:
    """Means over the whole horizon.

    `arrivals` by source (referred prospects included where their chains die out), `visits` (sources, stages) a prospect,
    `loads` by team, `brought` (sources, sources): prospects of the column's source that one of the row's brings, and
    `growth`, the factor by which a generation of referred prospects exceeds the one before (its spectral radius).
    """

    arrivals: dict[str, float]
    visits: Floats
    loads: tuple[Load, ...]
    brought: Floats
    growth: float


def expect(spec: ScenarioSpec) -> Expectation:
    """What to expect of a scenario."""
    plan = compile_plan(spec)
    visits = _visits(spec, plan)
    brought = _brought(spec, plan, visits)
    growth = float(np.abs(np.linalg.eigvals(brought)).max(initial=0.0)) if np.isfinite(brought).all() else np.inf
    own = _own_arrivals(plan)
    everyone = own @ np.linalg.inv(np.eye(len(own)) - brought) if growth < 1 else own
    return Expectation(
        arrivals=dict(zip(spec.sources, everyone.tolist(), strict=True)),
        visits=visits,
        loads=_loads(spec, plan, everyone @ visits),
        brought=brought,
        growth=growth,
    )


def _visits(spec: ScenarioSpec, plan: Plan) -> Floats:
    """Expected visits of a prospect of each source to each stage: the absorbing chain v = start + v P, solved."""
    n = plan.n_stages
    moves = np.zeros((n, n))
    for s, stage in enumerate(spec.stages.values()):
        always = next((r.to for r in stage.route if not r.when), None) if isinstance(stage.route, tuple) else None
        if always is not None:
            if always in spec.stages:
                moves[s, list(spec.stages).index(always)] = 1.0
            continue
        first, last = plan.stages.exit_start[s], plan.stages.exit_start[s + 1]
        chances = plan.exits.chance[first:last]
        for to, chance in zip(plan.exits.to[first:last], chances / max(chances.sum(), 1e-300), strict=True):
            if 0 <= to < n:
                moves[s, to] += chance
    start = np.zeros((len(spec.sources), n))
    start[np.arange(len(spec.sources)), plan.sources.enters] = 1.0
    for k, name in enumerate(spec.sources):
        deals = plan.deals.stage[plan.deals.source == k]
        if spec.sources[name].deals is not None and len(deals):
            start[k] = np.bincount(deals, minlength=n) / len(deals)
    try:
        found = np.asarray(np.linalg.solve((np.eye(n) - moves).T, start.T).T, dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full_like(start, np.inf)
    return np.where(found < -1e-9, np.inf, np.maximum(found, 0.0))


def _own_arrivals(plan: Plan) -> Floats:
    """Prospects of each source over the horizon, those who are referred left out."""
    counts = np.zeros(len(plan.source_names))
    for k, kind in enumerate(plan.sources.kind):
        if kind == RATE:
            counts[k] = forward(plan.maps, plan.sources.rate_map[k], plan.days)
        elif kind == LIST and plan.sources.at[k] < plan.days:
            counts[k] = plan.sources.size[k]
        else:
            counts[k] = float((plan.deals.source == k).sum())
    return counts


def _brought(spec: ScenarioSpec, plan: Plan, visits: Floats) -> Floats:
    """Prospects of each source whom one prospect of each source brings."""
    names = list(spec.sources)
    brought = np.zeros((len(names), len(names)))
    for s, stage in enumerate(spec.stages.values()):
        stay = sum(
            plan.exits.chance[e] * (plan.days if way == STAYS else stage.exits[way].after.mean())
            for e, way in enumerate(stage.exits, start=int(plan.stages.exit_start[s]))
        )
        for rule in stage.refers:
            rounds = 1.0
            if rule.every is not None:
                rounds += min(plan.days, stay if stage.exits else plan.days) / max(rule.every.mean(), 1e-9)
            brought[:, names.index(rule.source)] += visits[:, s] * rounds * rule.number.mean()
    return brought


def _loads(spec: ScenarioSpec, plan: Plan, entering: Floats) -> tuple[Load, ...]:
    """Each team's hours a week: asked by those who enter its stages, offered by its members' calendars."""
    weeks = plan.days / 7
    asked = np.zeros(len(plan.team_names))
    for s, stage in enumerate(spec.stages.values()):
        if stage.work and plan.stages.team[s] != NOWHERE:
            asked[plan.stages.team[s]] += entering[s] * stage.work.touches * stage.work.effort.mean()
    offered = [
        sum(
            forward(plan.maps, plan.members.work_map[m], min(plan.days, plan.members.leaves[m]))
            for m in range(plan.teams.member_start[t], plan.teams.member_start[t + 1])
        )
        for t in range(len(plan.team_names))
    ]
    return tuple(
        Load(name, float(a / weeks), float(o / weeks)) for name, a, o in zip(plan.team_names, asked, offered, strict=True)
    )

