"""Whether a scenario says what deals are worth, or only counts them."""

from __future__ import annotations

from simfunnel.distributions import Distribution
from simfunnel.scenario.spec import ScenarioSpec


def says_values(spec: ScenarioSpec) -> bool:
    """Whether a scenario says what deals are worth: in `value`, in its open deals, by an effect or by `books`.

    One fitted to a history that does not know it has `value: 1`, so that wins are counted.
    """
    listed = any(deal.value not in (None, 1.0) for source in spec.sources.values() for deal in source.deals or ())
    changed = any(effect.value is not None for effect in spec.effects)
    fixed = any(stage.books and stage.books.fixed for stage in spec.stages.values())
    return not _drawn_values(spec) <= {0.0, 1.0} or listed or changed or fixed


def counts_ones(spec: ScenarioSpec) -> bool:
    """Whether every deal is worth 1 for want of a value, so that amounts are numbers of deals."""
    return not says_values(spec) and 1.0 in _drawn_values(spec)


def _drawn_values(spec: ScenarioSpec) -> set[object]:
    """The values that a deal may have; None for one that is drawn from a distribution."""
    cases = spec.value.cases.values()
    return {case.params[0][1] if isinstance(case, Distribution) and case.is_constant else None for case in cases}
