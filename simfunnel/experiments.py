"""Experiments: a baseline and named strategies, compared on the same luck, from one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from simfunnel import kpis
from simfunnel.comparison import Comparison, compare
from simfunnel.errors import Fault, InputError, not_among
from simfunnel.replicate import Progress
from simfunnel.scenario import Scenario, load
from simfunnel.scenario.documents import Document, parse, read_text
from simfunnel.scenario.fields import Spec
from simfunnel.scenario.wording import shape_faults


class ExperimentSpec(Spec):
    """An experiment as the user writes it."""

    name: Annotated[str, Field(min_length=1)]
    """What it is called."""
    description: str = ""
    """The question that it answers."""
    baseline: str
    """The scenario file against which the strategies are compared."""
    strategies: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    """Each strategy's changes to the baseline, by name, written as in a scenario's `override`."""
    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("bookings", "wins", "profit")
    """The metrics that are shown."""
    period: Literal["all", "quarter", "month"] = "all"
    """The periods by which they are shown: the whole horizon unless said."""
    replications: Annotated[int, Field(ge=2, le=100_000)] = 100
    """How many replications of each scenario."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 1
    """The seed that all of them share."""


@dataclass(frozen=True)
class Experiment:
    """An experiment, read and checked: the baseline and a whole scenario for each strategy."""

    spec: ExperimentSpec
    baseline: Scenario
    strategies: Mapping[str, Scenario]


def load_experiment(path: str | Path) -> Experiment:
    """Read an experiment file and every scenario that it makes. Raises InputError with every fault."""
    path = Path(path)
    document = parse(read_text(path), str(path))
    faults: list[Fault] = []
    spec: ExperimentSpec | None = None
    try:
        spec = ExperimentSpec.model_validate(document.tree)
    except ValidationError as error:
        faults += shape_faults(error, document, ExperimentSpec)
    measures, changes = document.tree.get("measures"), document.tree.get("strategies")
    for k, measure in enumerate(measures if isinstance(measures, list) else []):
        if measure not in kpis.METRICS:
            faults.append(document.fault(("measures", k), not_among(measure, "metric", kpis.METRICS)))
    baseline = _baseline(document, path, faults)
    strategies = {}
    for name, change in changes.items() if isinstance(changes, Mapping) else ():
        if baseline is None:
            break
        try:
            strategies[name] = baseline.override(change if isinstance(change, Mapping) else {}, name=name)
        except InputError as error:
            faults += [document.fault(("strategies", name, *f.path.split(".")), _said(f)) for f in error.faults]
    if faults or spec is None or baseline is None:
        raise InputError(sorted(faults, key=lambda f: (f.file, f.line, f.column)))
    return Experiment(spec, baseline, strategies)


def _said(fault: Fault) -> str:
    return f"{fault.path}: {fault.message}" if fault.path else fault.message


def _baseline(document: Document, path: Path, faults: list[Fault]) -> Scenario | None:
    name = document.tree.get("baseline")
    if not isinstance(name, str):
        return None
    try:
        return load(path.parent / name)
    except InputError as error:
        own = [f for f in error.faults if f.line]
        faults += own or [document.fault(("baseline",), str(f)) for f in error.faults]
        return None


def run_experiment(
    experiment: Experiment | str | Path,
    *,
    replications: int | None = None,
    seed: int | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Run an experiment (or the file of one); what is not given here, the experiment says."""
    found = experiment if isinstance(experiment, Experiment) else load_experiment(experiment)
    spec = found.spec
    return compare(
        found.baseline,
        *found.strategies.values(),
        replications=spec.replications if replications is None else replications,
        seed=spec.seed if seed is None else seed,
        workers=workers,
        unit=spec.period,
        progress=progress,
    )
