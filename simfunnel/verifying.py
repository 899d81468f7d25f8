"""Known answers on an engine: estimates beside exact values, the z's as a set, and the coverage of intervals.

Each case of `known_answers` is run in replications that no other case shares, so what cases say is independent. What is
measured in one run is not: all of it is held to the bound on a single z, but only the first quantity of each case goes
into the test of the set and into the coverage.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simfunnel.engines.records import Records
from simfunnel.errors import InputError
from simfunnel.known_answers import CASES, CERTAIN, CHECKS, Check, Estimate, Sample, scenario_of
from simfunnel.numerics import Floats
from simfunnel.plan import Plan, compile_plan
from simfunnel.randomness import MAX_SEED
from simfunnel.replicate import Progress, engine_for, simulate
from simfunnel.results import summarise
from simfunnel.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

MOST = 4.0
"""The largest |z| that passes: a right engine exceeds it in 1 of 16,000 estimates (of 8,000, with 100 replications)."""
LEVEL = 1e-4
"""The chance that the z's of a right engine fail as a set, in each of two tests."""
BATCH = 20
"""Replications behind each of the intervals whose coverage is counted."""
COVERAGE = 0.9
"""What share of the intervals says that it covers."""
APART = 10_000
"""Case k has the replications from k times this on."""


@dataclass(frozen=True)
class Effort:
    """How much to run."""

    steady: int
    """Replications of a queue in its steady state."""
    longer: int
    """How many times their scenario's horizon these run."""
    other: int
    """Replications of any other model."""
    precision: float
    """The largest standard error that passes, as a share of the one that `Check.precision` gives."""


QUICK = Effort(steady=80, longer=2, other=100, precision=1.0)
FULL = Effort(steady=220, longer=7, other=400, precision=0.3)
# Those who still wait at the horizon are missing in shares and means of those served, by about 1 / span of them, while
# the standard error falls with the root of span times replications. So it is the span that grows first, as far as a
# horizon may (50 years): as chosen, a z leans by some 0.3.


@dataclass(frozen=True)
class Answer:
    """One known answer and its estimate."""

    check: Check
    estimate: Estimate
    widest: float = math.inf
    """The largest standard error that passes."""
    in_set: bool = False
    """Whether it is the first of its case, of those with luck."""

    @property
    def z(self) -> float:
        """How many standard errors the estimate lies above the exact value; 0 where both are the same without luck."""
        off = self.estimate.mean - self.check.exact
        if off == 0 or math.isnan(off):
            return off
        return off / self.estimate.se if self.estimate.se > 0 else math.copysign(math.inf, off)

    @property
    def fault(self) -> str | None:
        """What is wrong with it."""
        name, found = f"{self.check.case}, {self.check.what}", self.estimate
        if not abs(self.z) <= MOST:  # NaN too
            return f"{name}: exact {self.check.exact:.6g}, estimate {found.mean:.6g}, z = {self.z:+.1f}"
        if self.check.case in CERTAIN:
            return f"{name}: replications differ, though there is no luck in it" if found.se > 0 else None
        if not 0 < found.se <= self.widest:
            return f"{name}: a standard error of {found.se:.2g}, where 0 to {self.widest:.2g} is in order"
        return None


@dataclass(frozen=True)
class Control:
    """Arrivals or efforts of a case: how far their mean lies from what is expected, as a share of it.

    The estimates are made as if this were 0, so that a wrong rate of arrivals would not show in them.
    """

    case: str
    what: str
    estimate: Estimate

    @property
    def z(self) -> float:
        """How many standard errors the mean lies above what is expected."""
        return self.estimate.z(0.0)

    @property
    def fault(self) -> str | None:
        """What is wrong with it."""
        if abs(self.z) <= MOST:
            return None
        return f"{self.case}, {self.what}: {self.estimate.mean:+.2%} from what is expected, z = {self.z:+.1f}"


@dataclass(frozen=True)
class SetTest:
    """Whether independent z's are as many standard normal ones would be.

    Their sum of squares must lie in the middle of chi-square, and their sum over the root of their number in the middle
    of a normal distribution, both outside the tails that hold `LEVEL` together.
    """

    n: int
    squares: float
    lowest: float
    highest: float
    shift: float
    furthest: float

    @classmethod
    def of(cls, zs: Sequence[float]) -> SetTest:
        """Test these z's."""
        from scipy import stats

        z, n = np.array(zs), len(zs)
        lowest, highest = float(stats.chi2.ppf(LEVEL / 2, n)), float(stats.chi2.isf(LEVEL / 2, n))
        shift, furthest = float(z.sum() / math.sqrt(n)), float(stats.norm.isf(LEVEL / 2))
        return cls(n, float(z @ z), lowest, highest, shift, furthest)

    @property
    def faults(self) -> list[str]:
        """What is wrong with the z's as a set."""
        found = []
        if not self.squares <= self.highest:
            found.append(
                f"the z's as a set are too large: sum of squares {self.squares:.1f}, at most {self.highest:.1f}"
            )
        if self.squares < self.lowest:
            found.append(
                f"the z's as a set are too small for their standard errors: sum of squares {self.squares:.2f}, "
                f"at least {self.lowest:.2f}"
            )
        if not abs(self.shift) <= self.furthest:
            found.append(
                f"the z's as a set lean to one side: {self.shift:+.2f}, at most {self.furthest:.2f} either way"
            )
        return found


@dataclass(frozen=True)
class Coverage:
    """How many of the intervals of a mean over a batch of replications cover the exact value, by case."""

    covered: dict[str, int]
    intervals: dict[str, int]

    @property
    def share(self) -> float:
        """The share of all intervals that cover."""
        return sum(self.covered.values()) / sum(self.intervals.values())

    @property
    def se(self) -> float:
        """The standard error of the share, where the intervals are what they say."""
        return math.sqrt(COVERAGE * (1 - COVERAGE) / sum(self.intervals.values()))

    @property
    def z(self) -> float:
        """How many standard errors the share lies above what the intervals say."""
        return (self.share - COVERAGE) / self.se

    @property
    def faults(self) -> list[str]:
        """What is wrong with it."""
        if abs(self.z) <= MOST:
            return []
        return [f"the {COVERAGE:.0%} intervals cover {self.share:.1%} of the time, z = {self.z:+.1f}"]


@dataclass(frozen=True)
class Verification:
    """All that `verify` found."""

    engine: str
    seed: int
    quick: bool
    answers: tuple[Answer, ...]
    controls: tuple[Control, ...]
    set_test: SetTest
    coverage: Coverage
    getting_ready: float = 0.0
    """Seconds until the engine was compiled or loaded."""
    seconds: float = 0.0
    """Seconds after that."""

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong; none for an engine that passes."""
        alone = [*(answer.fault for answer in self.answers), *(control.fault for control in self.controls)]
        return [*filter(None, alone), *self.set_test.faults, *self.coverage.faults]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def verify(
    *, engine: str = "auto", seed: int = 1, quick: bool = False, progress: Progress | None = None
) -> Verification:
    """Run every known answer on an engine and judge its estimates. Raises InputError for arguments that can't be."""
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"a seed must be 0 to {MAX_SEED}, not {seed}")
    effort = QUICK if quick else FULL
    scenarios = {case: scenario_of(case) for case in CASES}
    name = engine_for(scenarios[CASES[0]], engine)
    begun = time.monotonic()
    samples = {case: _sample(case, scenarios[case], 2, name, seed) for case in CASES if case in CERTAIN}
    ready = time.monotonic()
    todo = {case: _asked(scenarios[case], effort) for case in CASES if case not in CERTAIN}
    total, done = sum(count for _, count in todo.values()), 0

    def tell() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    for case, (scenario, count) in todo.items():
        samples[case] = _sample(case, scenario, count, name, seed, tell)
    answers = [answer for case in CASES for answer in _answers(case, samples[case], effort)]
    return Verification(
        engine=name,
        seed=seed,
        quick=quick,
        answers=tuple(answers),
        controls=tuple(
            Control(case, what, estimate) for case in todo for what, estimate in samples[case].luck_estimates().items()
        ),
        set_test=SetTest.of([answer.z for answer in answers if answer.in_set]),
        coverage=coverage_of({case: (_checks(case)[0].exact, samples[case].values[:, 0]) for case in todo}),
        getting_ready=ready - begun,
        seconds=time.monotonic() - ready,
    )


def _checks(case: str) -> list[Check]:
    return [check for check in CHECKS if check.case == case]


def _asked(scenario: Scenario, effort: Effort) -> tuple[Scenario, int]:
    """A case as it is to be run, and how many replications of it."""
    spec = scenario.spec
    if spec.warm_up.days_from(spec.start) == 0:
        return scenario, effort.other
    return scenario.override({"horizon": f"{effort.longer * spec.days:g} days"}), effort.steady


def _sample(
    case: str, scenario: Scenario, count: int, engine: str, seed: int, tell: Callable[[], None] = lambda: None
) -> Sample:
    """Replications of a case, measured."""
    plan = compile_plan(scenario.spec, folder=str(scenario.folder))

    def runs() -> Iterator[tuple[Records, Plan]]:
        first = APART * CASES.index(case)
        for number in range(first, first + count):
            yield simulate(plan, seed, number, engine), plan
            tell()

    return Sample.of(_checks(case), scenario, runs())


def _answers(case: str, sample: Sample, effort: Effort) -> list[Answer]:
    return [
        Answer(
            check,
            sample.estimate(column, check.per),
            widest=effort.precision * check.precision * check.exact,
            in_set=column == 0 and case not in CERTAIN,
        )
        for column, check in enumerate(_checks(case))
    ]


def coverage_of(samples: dict[str, tuple[float, Floats]]) -> Coverage:
    """Cut the values of each case into batches, and count the intervals of their means that cover the exact value.

    The intervals are those that every table of results has (`results.summarise`).
    """
    covered, intervals = {}, {}
    for case, (exact, values) in samples.items():
        table = _intervals(values)
        covered[case] = int(((table["low"] <= exact) & (exact <= table["high"])).sum())
        intervals[case] = len(table)
    return Coverage(covered, intervals)


def _intervals(values: Floats) -> pd.DataFrame:
    """The interval of the mean of each batch."""
    import pandas as pd

    whole = len(values) // BATCH * BATCH
    return summarise(pd.DataFrame({"value": values[:whole], "batch": np.arange(whole) // BATCH}), ["batch"], ())


# --- in words and as data ---------------------------------------------------------------------------------------------


def words_of(found: Verification) -> list[str]:
    """What was found besides the table, a line each."""
    test, cover = found.set_test, found.coverage
    largest, largest_control = (max(abs(x.z) for x in xs) for xs in (found.answers, found.controls))
    return [
        f"Each alone: the largest |z| is {largest:.2f}; up to {MOST:g} passes. The estimates of queues are for the "
        f"expected arrivals and efforts; these too must be as expected: of {len(found.controls)} the largest |z| is "
        f"{largest_control:.2f}.",
        f"As a set: the first z of each of {test.n} cases, which share no random numbers (those of one run are not "
        f"independent). Their sum of squares is {test.squares:.1f}; {test.lowest:.1f} to {test.highest:.1f} passes "
        f"(chi-square, {test.n} degrees of freedom). Their sum over the root of {test.n} is {test.shift:+.2f}; up to "
        f"{test.furthest:.2f} either way passes. Each would fail a right engine once in {1 / LEVEL:,.0f}.",
        f"Intervals: of {sum(cover.intervals.values())} intervals of {COVERAGE:.0%}, each of a mean over {BATCH} "
        f"replications, {cover.share:.1%} cover the exact value (standard error {cover.se:.1%}, z = {cover.z:+.2f}; "
        f"up to {MOST:g} either way passes).",
        f"Took {found.seconds:.0f} s, after {found.getting_ready:.0f} s to get the {found.engine} engine ready.",
        *(f"Fault: {fault}." for fault in found.faults),
        "PASSED" if found.passed else "FAILED",
    ]


def results_json(found: Verification) -> dict[str, Any]:
    """What was found, as plain data; the same bytes for the same version, engine and seed."""
    test, cover = found.set_test, found.coverage
    return {
        "engine": found.engine,
        "seed": found.seed,
        "quick": found.quick,
        "passed": found.passed,
        "faults": found.faults,
        "answers": [
            {
                "case": answer.check.case,
                "quantity": answer.check.what,
                "exact": answer.check.exact,
                "source": answer.check.source,
                "estimate": _finite(answer.estimate.mean),
                "se": _finite(answer.estimate.se),
                "z": _finite(answer.z),
                "n": answer.estimate.n,
                "in_set": answer.in_set,
            }
            for answer in found.answers
        ],
        "controls": [
            {
                "case": control.case,
                "what": control.what,
                "off": _finite(control.estimate.mean),
                "se": _finite(control.estimate.se),
                "z": _finite(control.z),
            }
            for control in found.controls
        ],
        "set": {name: _finite(value) for name, value in vars(test).items()},
        "coverage": {
            "says": COVERAGE,
            "share": cover.share,
            "se": cover.se,
            "z": cover.z,
            "cases": {case: [cover.covered[case], n] for case, n in cover.intervals.items()},
        },
    }


def _finite(x: float) -> float | None:
    """A number that JSON can hold."""
    return x if math.isfinite(x) else None
