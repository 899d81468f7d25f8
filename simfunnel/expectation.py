"""What a scenario leads one to expect, worked out without simulating: flows, visits, loads, growth of referral chains.

Means only: uncertain numbers at their median; waiting, giving up and effects left out, but for those on referrals; and
routes taken by prospects as they are when they come. So it tells whether a model makes sense (a team asked for twice
its hours), not what will happen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simfunnel.engines.bounds import MAX_REFERRED
from simfunnel.jit import compiled
from simfunnel.numerics import Floats, Tables, effect, forward, holds, quantile, survival, uniform
from simfunnel.plan import LIST, NOWHERE, RATE, Plan, compile_plan
from simfunnel.scenario.conditions import FACT
from simfunnel.scenario.spec import ScenarioSpec, StageSpec

MIN_STEPS, MAX_STEPS = 100, 2000  # of the horizon; a day each where that lies between


@dataclass(frozen=True)
class Load:
    """Hours that a team is asked for and offers, in a mean week of the horizon."""

    team: str
    asked: float
    offered: float

    @property
    def share(self) -> float:
        """Asked as a share of offered; infinity for a team that offers none."""
        return self.asked / self.offered if self.offered > 0 else (math.inf if self.asked > 0 else 0.0)


@dataclass(frozen=True)
class Expectation:
    """What to expect; within the horizon unless said.

    `arrivals` by source (referred prospects included), `planned` visits of each worked source, `entries` by stage,
    `loads` by team; `visits` (sources, stages) of one prospect in the end (infinity where one goes round for ever),
    `brought` (sources, sources): prospects of the column's source that one of the row's brings, and `growth`, the
    factor by which a generation of referred prospects exceeds the one before (the spectral radius of `brought`).
    """

    arrivals: dict[str, float]
    planned: dict[str, float]
    entries: dict[str, float]
    visits: Floats
    loads: tuple[Load, ...]
    brought: Floats
    growth: float


def expect(spec: ScenarioSpec) -> Expectation:
    """What to expect of a scenario."""
    plan = compile_plan(spec)
    some = _some_prospects(plan)
    routed = [_routed(plan, s, some) for s in range(plan.n_stages)]
    stays = [_stay(spec, plan, s, routed[s]) for s in range(plan.n_stages)]
    bringing = [_bringing(plan, s, some) for s in range(plan.n_stages)]
    arrivals, entries = _flow(spec, plan, stays, bringing)
    visits = _visits(spec, plan, routed)
    brought = _brought(spec, plan, visits, stays, bringing)
    return Expectation(
        arrivals=dict(zip(spec.sources, arrivals.tolist(), strict=True)),
        planned={name: _planned(plan, k) for k, (name, source) in enumerate(spec.sources.items()) if source.worked},
        entries=dict(zip(spec.stages, entries.tolist(), strict=True)),
        visits=visits,
        loads=_loads(spec, plan, entries, routed),
        brought=brought,
        growth=_radius(brought),
    )


def explosion(spec: ScenarioSpec) -> tuple[str, ...]:
    """A warning where those who are brought bring more than one each, so that their chains grow without end."""
    if not any(stage.refers or stage.sends for stage in spec.stages.values()):
        return ()
    growth = expect(spec).growth
    if growth < 1:
        return ()
    many = f"{growth:.3g} times the one before" if growth < math.inf else "without bound"
    return (
        f"chains of referrals explode: each generation is {many}, and must stay below 1; "
        f"a replication stops when they have brought {MAX_REFERRED:,} prospects",
    )


def _radius(matrix: Floats) -> float:
    """The factor by which a matrix grows what it is applied to again and again."""
    return float(np.abs(np.linalg.eigvals(matrix)).max(initial=0.0)) if np.isfinite(matrix).all() else math.inf


# --- some prospects as they come --------------------------------------------------------------------------------------

_SOME = 200  # prospects of each source


def _some_prospects(plan: Plan) -> Floats:
    """The facts of some prospects at their birth, as many of each source: (sources, prospects, facts).

    There are none where no route and no effect on referrals looks at them.
    """
    on_referrals = slice(plan.slots.referrals(0), plan.slots.arrivals(0))
    needed = len(plan.routes.to) or np.diff(plan.effects["slot_start"])[on_referrals].any()
    facts = np.zeros((len(plan.source_names), _SOME if needed else 0, plan.n_facts))
    drawn = plan.drawn
    for source in range(len(facts)):
        for k, one in enumerate(facts[source]):
            one[[FACT["source"], FACT["member"]]] = source, NOWHERE
            for a in range(len(drawn.fact)):
                code = 0 if drawn.by[a] == NOWHERE else int(one[drawn.by[a]])
                u = uniform(0, 0, k, int(drawn.purpose[a]), source)
                one[drawn.fact[a]] = quantile(plan.tables, drawn.case[drawn.case_start[a] + code], u)
    return facts


def _routed(plan: Plan, s: int, some: Floats) -> dict[int, float]:
    """The shares of prospects whom the rules of a stage send elsewhere at once, by goal; the mean over all sources."""
    shares: dict[int, float] = {}
    rules = range(int(plan.stages.route_start[s]), int(plan.stages.route_start[s + 1]))
    everyone = some.reshape(-1, plan.n_facts)
    for one in everyone if rules else ():
        one[FACT["stage"]] = s
        rule = next((r for r in rules if holds(plan.conditions, plan.routes.predicate[r], one)), None)
        if rule is not None:
            goal = int(plan.routes.to[rule])
            shares[goal] = shares.get(goal, 0.0) + 1 / len(everyone)
    return shares


def _bringing(plan: Plan, s: int, some: Floats) -> float:
    """The mean factor of the effects on how many those in a stage bring."""
    slot = plan.slots.referrals(s)
    if not len(some[0]) or plan.effects["slot_start"][slot] == plan.effects["slot_start"][slot + 1]:
        return 1.0
    everyone = some.reshape(-1, plan.n_facts)
    everyone[:, FACT["stage"]] = s
    return float(np.mean([effect(plan.effects, plan.conditions, slot, one, 0.0) for one in everyone]))


# --- one stay in a stage, in steps of time ----------------------------------------------------------------------------


class _Stay(NamedTuple):
    """Where those who enter a stage go next and after how many steps (a row for each goal), and who is still there."""

    goals: dict[int, Floats]
    present: Floats
    is_passed: bool


def _steps(plan: Plan) -> tuple[float, Floats]:
    """The length of a step, and the times of all steps from 0 to the horizon."""
    count = min(max(math.ceil(plan.days), MIN_STEPS), MAX_STEPS)
    return plan.days / count, np.linspace(0.0, plan.days, count + 1)


def _stay(spec: ScenarioSpec, plan: Plan, s: int, routed: dict[int, float]) -> _Stay:
    """A stay in stage s: the routed at once, and the exits' times after the gaps between touches, cut by the limit."""
    stage = list(spec.stages.values())[s]
    step, times = _steps(plan)
    if sum(routed.values()) > 1 - 1e-9:
        at_once = (times == 0.0).astype(np.float64)
        return _Stay({to: share * at_once for to, share in routed.items()}, np.zeros(len(times)), is_passed=True)
    gaps = _gaps(stage)
    first, last = int(plan.stages.exit_start[s]), int(plan.stages.exit_start[s + 1])
    chances = _chances(plan, s)
    left = [chance * _within(plan, int(plan.exits.after[e]), step, times - gaps)
            for e, chance in zip(range(first, last), chances, strict=True)]  # fmt: skip
    going = [int(to) for to in plan.exits.to[first:last]]
    leaving = {e: share for e, share in enumerate(left) if going[e] != NOWHERE}
    stayed = 1.0 - np.cumsum(sum(leaving.values(), np.zeros(len(times))))
    goals: dict[int, Floats] = {}
    limit = int(plan.stages.limit[s])
    cut = _within(plan, limit, step, times) if limit != NOWHERE else np.zeros(len(times))
    before = 1.0 - np.concatenate([[0.0], np.cumsum(cut)[:-1]])  # an exit at the very time of the limit comes first
    for e, share in leaving.items():
        goals[going[e]] = goals.get(going[e], np.zeros(len(times))) + share * before
    if limit != NOWHERE:
        to = int(plan.stages.limit_to[s])
        goals[to] = goals.get(to, np.zeros(len(times))) + cut * stayed
    for to in goals:
        goals[to] = goals[to] * (1.0 - sum(routed.values()))
    for to, share in routed.items():
        goals[to] = goals.get(to, np.zeros(len(times))) + share * (times == 0.0)
    present = 1.0 - np.cumsum(sum(goals.values(), np.zeros(len(times))))
    return _Stay(goals, np.maximum(present, 0.0), is_passed=False)


def _gaps(stage: StageSpec) -> float:
    """The mean time between the touches of a stage, in all."""
    return (stage.work.touches - 1) * stage.work.every.mean() if stage.work else 0.0


def _chances(plan: Plan, s: int) -> Floats:
    """The chances of a stage's exits, made to sum to 1."""
    chances = plan.exits.chance[plan.stages.exit_start[s] : plan.stages.exit_start[s + 1]]
    return chances / max(float(chances.sum()), 1e-300)


@compiled
def _chances_below(tables: Tables, distribution: int, edges: Floats, out: Floats) -> None:
    """The chance of a time below each edge; none below 0."""
    for k in range(len(edges)):
        out[k] = 1.0 - survival(tables, distribution, edges[k]) if edges[k] > 0.0 else 0.0


def _within(plan: Plan, distribution: int, step: float, times: Floats) -> Floats:
    """The chance that a time falls into the step around each of `times`; the first takes all before it."""
    below = np.empty(len(times))
    _chances_below(plan.tables, distribution, times + step / 2, below)
    return np.diff(below, prepend=0.0)


# --- who comes and where they go --------------------------------------------------------------------------------------


def _flow(spec: ScenarioSpec, plan: Plan, stays: list[_Stay], bringing: list[float]) -> tuple[Floats, Floats]:
    """Prospects of each source, and entries into each stage, over the horizon."""
    n = plan.n_stages
    _, times = _steps(plan)
    own, aged = _own(plan, times, [s.worked.yields.mean() if s.worked else 1.0 for s in spec.sources.values()])
    referring = [(s, source, bringing[s] * share) for s, source, share in _referring(spec, plan, stays)]
    flows = [(s, to, share) for s, stay in enumerate(stays) for to, share in stay.goals.items() if 0 <= to < n]
    flows += [(s, int(plan.sources.enters[source]), share) for s, source, share in referring]
    at_once = np.zeros((n, n))
    for s, to, share in flows:
        at_once[to, s] += share[0]
    if _radius(at_once) > 0.999:  # a circle that takes less than a step: let it take one
        flows = [(s, to, np.concatenate([[0.0, share[0] + share[1]], share[2:]])) for s, to, share in flows]
        at_once[:] = 0.0
    settle = np.linalg.inv(np.eye(n) - at_once)
    there = np.zeros((n, len(times)))
    for k in range(len(times)):
        coming = own[:, :, k].sum(axis=0) + aged[:, k]
        for s, to, share in flows:
            coming[to] += share[k:0:-1] @ there[s, :k]
        there[:, k] = settle @ coming
    arrivals = own.sum(axis=(1, 2)) + [
        float((plan.deals.source[plan.deals.age > 0] == k).sum()) for k in range(len(own))
    ]
    for s, source, share in referring:
        arrivals[source] += np.cumsum(share)[::-1] @ there[s]
    return arrivals, there.sum(axis=1) - aged.sum(axis=1)


def _own(plan: Plan, times: Floats, found: list[float]) -> tuple[Floats, Floats]:
    """Prospects whom sources bring (sources, stages, steps), and deals that have been in a stage (stages, steps).

    `found` is how many prospects each one who comes stands for: the yield of a visit where a source is worked.
    """
    own = np.zeros((len(plan.source_names), plan.n_stages, len(times)))
    aged = np.zeros((plan.n_stages, len(times)))
    edges = np.concatenate([[0.0], (times[1:] + times[:-1]) / 2, [plan.days]])
    for k, kind in enumerate(plan.sources.kind):
        enters = plan.sources.enters[k]
        if kind == RATE:
            brought = [forward(plan.maps, plan.sources.rate_map[k], float(edge)) for edge in edges]
            own[k, enters] = np.diff(brought) * found[k]
        elif kind == LIST and plan.sources.at[k] < plan.days:
            own[k, enters, np.searchsorted(edges, plan.sources.at[k], side="right") - 1] = (
                plan.sources.size[k] * found[k]
            )
    for source, stage, age in zip(plan.deals.source, plan.deals.stage, plan.deals.age, strict=True):
        if age > 0:
            aged[stage, 0] += 1  # its work here is done
        else:
            own[source, stage, 0] += 1
    return own, aged


def _referring(spec: ScenarioSpec, plan: Plan, stays: list[_Stay]) -> Iterator[tuple[int, int, Floats]]:
    """For each referral rule: its stage, its source, and how many come after how many steps."""
    step, times = _steps(plan)
    rule = 0
    for s, stage in enumerate(spec.stages.values()):
        for said in (*stage.refers, *stage.sends):
            after = _within(plan, int(plan.referrals.after[rule]), step, times)
            coming = after.copy()
            every = said.every.mean() if said.every else math.inf
            for round_ in range(1, int(plan.days / every) + 1) if every > 0 else ():
                k = round(round_ * every / step)
                coming[k:] += stays[s].present[k] * after[: len(times) - k]
            if not stays[s].is_passed:
                yield s, int(plan.referrals.source[rule]), said.number.mean() * coming
            rule += 1


# --- in the end -------------------------------------------------------------------------------------------------------


def _visits(spec: ScenarioSpec, plan: Plan, routed: list[dict[int, float]]) -> Floats:
    """Expected visits of a prospect of each source to each stage: the absorbing chain v = start + v P, solved.

    Stages that nobody who comes to them ever leaves for good (a circle without an end) are visited without number.
    """
    n = plan.n_stages
    moves = np.zeros((n, n))
    for s, stage in enumerate(spec.stages.values()):
        stays = 1.0 - sum(routed[s].values())
        goals = [(goal, chance * stays) for goal, chance in _goals_in_the_end(plan, s, stage)]
        for goal, chance in (*goals, *routed[s].items()):
            if 0 <= goal < n:
                moves[s, goal] += chance
    start = np.zeros((len(spec.sources), n))
    start[np.arange(len(spec.sources)), plan.sources.enters] = 1.0
    for k in np.unique(plan.deals.source):
        deals = plan.deals.stage[plan.deals.source == k]
        start[k] = np.bincount(deals, minlength=n) / len(deals)
    reach = np.eye(n) + (moves > 0)  # row can come to column
    for _ in range(n.bit_length()):
        reach = (reach @ reach > 0).astype(np.float64)
    leaks = moves.sum(axis=1) < 1 - 1e-9
    endless = reach @ leaks == 0
    inner = np.where(endless[:, None] | endless, 0.0, moves)
    visits = np.linalg.solve((np.eye(n) - inner).T, start.T).T
    return np.where((start @ reach > 0) & endless, math.inf, np.where(endless, 0.0, visits))


def _goals_in_the_end(plan: Plan, s: int, stage: StageSpec) -> Iterator[tuple[int, float]]:
    """Where those in stage s go, and with what chance, however long it takes; the limit may come before an exit."""
    limit = int(plan.stages.limit[s])
    gaps = _gaps(stage)
    limits = [] if limit == NOWHERE else [quantile(plan.tables, limit, (k + 0.5) / 200) - gaps for k in range(200)]
    left = 1.0
    for e, chance in enumerate(_chances(plan, s), start=int(plan.stages.exit_start[s])):
        after, goal = int(plan.exits.after[e]), int(plan.exits.to[e])
        in_time = float(np.mean([1.0 - survival(plan.tables, after, most) for most in limits])) if limits else 1.0
        if goal != NOWHERE:
            left -= chance * in_time
            yield goal, chance * in_time
    if limits:
        yield int(plan.stages.limit_to[s]), left


def _brought(spec: ScenarioSpec, plan: Plan, visits: Floats, stays: list[_Stay], bringing: list[float]) -> Floats:
    """Prospects of each source whom one prospect of each source brings; rounds go on for a stay within the horizon."""
    names = list(spec.sources)
    step, _ = _steps(plan)
    brought = np.zeros((len(names), len(names)))
    for s, stage in enumerate(spec.stages.values()):
        for rule in (*stage.refers, *stage.sends) if not stays[s].is_passed else ():
            rounds = 1.0 + (step * stays[s].present.sum() / rule.every.mean() if rule.every else 0.0)
            each = rounds * rule.number.mean() * bringing[s]
            if each > 0:
                brought[:, names.index(rule.source)] += visits[:, s] * each
    return brought


def _loads(spec: ScenarioSpec, plan: Plan, entries: Floats, routed: list[dict[int, float]]) -> tuple[Load, ...]:
    """Each team's hours a week: asked by those who enter its stages and by visits, offered by members' calendars."""
    weeks = plan.days / 7
    asked = np.zeros(len(plan.team_names))
    for s, stage in enumerate(spec.stages.values()):
        if stage.work and stage.work.effort:
            worked_on = entries[s] * (1.0 - sum(routed[s].values()))
            asked[plan.stages.team[s]] += worked_on * stage.work.touches * stage.work.effort.mean()
    for k, source in enumerate(spec.sources.values()):
        if source.worked:
            asked[plan.sources.team[k]] += _planned(plan, k) * source.worked.effort.mean()
    offered = [
        sum(
            forward(plan.maps, plan.members.work_map[m], max(0.0, min(plan.days, plan.members.leaves[m])))
            for m in range(plan.teams.member_start[t], plan.teams.member_start[t + 1])
        )
        for t in range(len(plan.team_names))
    ]
    return tuple(
        Load(name, float(a / weeks), float(o / weeks))
        for name, a, o in zip(plan.team_names, asked, offered, strict=True)
    )


def _planned(plan: Plan, source: int) -> float:
    """How many visits of a worked source the horizon holds."""
    if plan.sources.kind[source] == RATE:
        return float(forward(plan.maps, plan.sources.rate_map[source], plan.days))
    return float(plan.sources.size[source] * (plan.sources.at[source] < plan.days))
