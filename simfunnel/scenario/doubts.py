"""What a scenario may say but probably does not mean."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from simfunnel.errors import nearest
from simfunnel.scenario.conditions import member_names, read_clauses, vocabulary
from simfunnel.scenario.fields import Shares
from simfunnel.scenario.spec import ScenarioSpec
from simfunnel.units import middle


def warnings_of(spec: ScenarioSpec) -> Iterator[str]:
    """What is allowed but probably not meant."""
    for name in unreachable(spec):
        yield f"stage '{name}' can't be reached from any source"
    busy = {stage.work.team for stage in spec.stages.values() if stage.work}
    busy |= {source.worked.team for source in spec.sources.values() if source.worked}
    for name, team in spec.teams.items():
        if name not in busy:
            meant = nearest(name, [other for other in spec.teams if other != name])
            yield f"team '{name}' has no work in any stage or source" + (f"; did you mean '{meant}'?" if meant else "")
        if not member_names(name, spec):
            yield f"team '{name}' has no members: whoever needs it waits until patience or a limit ends it"
        if team.ramp is not None and not team.hired and not any(m.hired for m in team.members or ()):
            yield f"team '{name}' has a ramp but nobody's day of hire (hired:), so it changes nothing"
    filled = {rule.source for stage in spec.stages.values() for rule in (*stage.refers, *stage.sends)}
    for name, source in spec.sources.items():
        if source.rate is None and source.at is None and source.deals is None and name not in filled:
            yield f"source '{name}' brings nobody: it has no rate, list or deals, and no stage refers or sends to it"
        if source.deals == ():
            yield f"source '{name}' lists no open deals; with --deals EXPORT, forecast and compare fill it"
        if source.at and source.at >= spec.start + timedelta(days=spec.days):
            yield f"source '{name}' comes on {source.at}, after the horizon ends"
    yield from _idle_effects(spec)
    if not any(stage.is_customer for stage in spec.stages.values()):
        yield "no stage books anything, so there are no wins; give one books: value, or customer: true"


def _idle_effects(spec: ScenarioSpec) -> Iterator[str]:
    """Effects whose condition nobody can meet as the numbers stand."""
    words = vocabulary(spec)
    spared = {
        str(level) for stage in spec.stages.values() for way in stage.exits.values() for level in way.set.values()
    }
    spared |= {str(v) for source in spec.sources.values() for d in source.deals or () for v in d.attributes.values()}
    chained = any(stage.refers for stage in spec.stages.values())
    for k, effect in enumerate(spec.effects):
        for name, wanted in effect.when.items():
            intervals = [interval for _, found in read_clauses(name, wanted, words) for interval in found]
            why = ""
            drawn = spec.attributes.get(name)
            if drawn is not None and drawn.levels is not None:
                met = [level for c, level in enumerate(drawn.levels) if any(i.low <= c < i.high for i in intervals)]
                cases = [case.of for case in drawn.cases.values() if isinstance(case, Shares)]
                if not spared & set(met) and not any(middle(case.get(m, 0.0)) > 0 for case in cases for m in met):
                    why = f"nobody has {name} {' or '.join(met)}"
            elif name == "generation" and not chained and not any(i.low <= 0 < i.high for i in intervals):
                why = "nobody is referred"
            elif name == "date" and not any(i.low < spec.days and i.high > 0 for i in intervals):
                why = "its dates lie outside the horizon"
            elif name == "touches" and effect.odds is not None:
                stages = [spec.stages.get(place.partition("->")[0].strip()) for place in effect.on]
                counts = {stage.work.touches if stage.work else 0 for stage in stages if stage}
                if not any(i.low <= count < i.high for i in intervals for count in counts):
                    why = f"there are {' or '.join(map(str, sorted(counts)))} touches"
            if why:
                yield f"effect {k + 1} never applies: {why}"


def unreachable(spec: ScenarioSpec) -> list[str]:
    """The stages that no prospect can come to."""
    first = next(iter(spec.stages))
    todo = [source.enters or first for source in spec.sources.values()]
    todo += [deal.stage for source in spec.sources.values() for deal in source.deals or ()]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen or name not in spec.stages:
            continue
        seen.add(name)
        stage = spec.stages[name]
        todo += stage.exits
        todo += [stage.limit.to] if stage.limit else []
        todo += [stage.work.gives_up] if stage.work and stage.work.patience else []
        if isinstance(stage.route, tuple):
            todo += [rule.to for rule in stage.route]
        else:
            todo += spec.stages
    return [name for name in spec.stages if name not in seen]
