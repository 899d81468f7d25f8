"""Run the benchmark funnel in every program, check that they simulate the same model, and write RESULTS.md.

python benchmarks/run.py                        all programs, five times each, in turn, on one pinned core
python benchmarks/run.py --only c --only simpy  some of them; RESULTS.md is left as it is
python benchmarks/run.py --scaling              besides, the compiled engine from ten thousand to ten million prospects
python benchmarks/run.py --repeats 0 --scaling  that alone
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
COMPILER = ["gcc", "-O3", "-march=native"]
ARRIVALS_A_DAY = 10.0
TOO_FAR = 4.0
"""Standard errors at which two programs can't be the same model."""
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
RUNS_OF_A_SIZE = 3
NO_RUNS = "nothing could be measured"

Result = dict[str, float]


# --- the programs -----------------------------------------------------------------------------------------------------


def python(script: str, *options: str) -> Callable[[Path, int, int], list[str]]:
    """The command of a Python program."""
    head = [sys.executable, str(HERE / script)]
    return lambda _, n, seed: [*head, "--prospects", str(n), "--seed", str(seed), *options]


@dataclass(frozen=True)
class Program:
    """How a program is called (a folder for what is built, prospects, seed), and what is said about it."""

    key: str
    label: str
    command: Callable[[Path, int, int], list[str]]


PROGRAMS = (
    Program("c", "C by hand", lambda folder, n, seed: [str(folder / "funnel"), str(n), str(seed)]),
    Program("compiled", "simfunnel, compiled engine", python("funnel_simfunnel.py", "--engine", "compiled")),
    Program(
        "compiled-kpis",
        "simfunnel, compiled engine, file to KPIs",
        python("funnel_simfunnel.py", "--engine", "compiled", "--kpis"),
    ),
    Program("cimba", "Cimba (Python package, spawned models)", python("funnel_cimba.py")),
    Program("simpy", "SimPy", python("funnel_simpy.py")),
    Program("ciw", "Ciw", python("funnel_ciw.py")),
    Program("readable", "simfunnel, SimPy engine", python("funnel_simfunnel.py", "--engine", "simpy")),
    Program(
        "readable-kpis",
        "simfunnel, SimPy engine, file to KPIs",
        python("funnel_simfunnel.py", "--engine", "simpy", "--kpis"),
    ),
)


class CannotRunError(Exception):
    """A program that isn't there or fails, with its own last words."""


def run(command: list[str]) -> Result:
    """The figures that a program prints as its last line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotRunError(error.strerror or "it can't be started") from None
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CannotRunError(words[-1])
    result: Result = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def build(folder: Path) -> None:
    """Compile the C program; where there is no compiler, it won't be found later."""
    if shutil.which(COMPILER[0]):
        subprocess.run([*COMPILER, "-o", str(folder / "funnel"), str(HERE / "funnel.c"), "-lm"], check=True)


def pin() -> str:
    """Stay on one core, with all children; say so."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned: this system can't"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return "pinned to one core"


@dataclass
class Measured:
    """The runs of each program, and why others have none."""

    runs: dict[str, list[Result]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def rates(self, key: str) -> list[float]:
        """Prospects a second of each run."""
        return [run["prospects"] / run["seconds"] for run in self.runs[key]]

    def rate(self, key: str) -> float | None:
        """Their median, if there are any."""
        return statistics.median(self.rates(key)) if key in self.runs else None


def measure(programs: Iterable[Program], prospects: int, repeats: int, folder: Path) -> Measured:
    """Each program once, then each again, so that a busy minute falls on all of them."""
    measured = Measured()
    for repeat in range(repeats):
        for program in programs:
            if program.key in measured.notes:
                continue
            try:
                result = run(program.command(folder, prospects, repeat + 1))
            except CannotRunError as why:
                measured.notes[program.key] = str(why)
                measured.runs.pop(program.key, None)
                say(f"{program.label}: left out: {why}")
                continue
            measured.runs.setdefault(program.key, []).append(result)
            speed = result["prospects"] / result["seconds"]
            say(f"{repeat + 1}/{repeats} {program.label}: {speed:,.0f} prospects a second")
    return measured


# --- do they agree? ---------------------------------------------------------------------------------------------------

QUANTITIES: dict[str, Callable[[Result, float], float]] = {
    "prospects a day": lambda run, days: run["prospects"] / days,
    "wins a day": lambda run, days: run["wins"] / days,
    "losses a day": lambda run, days: run["losses"] / days,
    "reneges a day": lambda run, days: run["reneges"] / days,
    "mean wait (days)": lambda run, _: run["mean_wait"],
    "utilisation": lambda run, _: run["utilisation"],
}


@dataclass(frozen=True)
class Agreement:
    """One quantity in every program: its mean over the runs, its standard error, and z against the reference."""

    quantity: str
    mean: dict[str, float]
    error: float
    z: dict[str, float]


def agreements(measured: Measured, days: float) -> list[Agreement]:
    """Compare each program's means with those of SimPy (or of the first one, where that didn't run).

    If all are the same model, a quantity has the same variance in each, so that it is pooled over the programs.
    """
    runs = {key: of for key, of in measured.runs.items() if "mean_wait" in of[0]}
    spare = sum(len(of) - 1 for of in runs.values())
    if len(runs) < 2 or not spare:
        return []
    reference = "simpy" if "simpy" in runs else next(iter(runs))
    found = []
    for quantity, value in QUANTITIES.items():
        values = {key: [value(one, days) for one in of] for key, of in runs.items()}
        means = {key: statistics.fmean(column) for key, column in values.items()}
        squares = sum((x - means[key]) ** 2 for key, column in values.items() for x in column)
        sd, n = math.sqrt(squares / spare), {key: len(column) for key, column in values.items()}
        z = {
            key: (means[key] - means[reference]) / (sd * math.sqrt(1 / n[key] + 1 / n[reference]))
            for key in means
            if key != reference
        }
        found.append(Agreement(quantity, means, sd / math.sqrt(min(n.values())), z))
    return found


# --- tables -----------------------------------------------------------------------------------------------------------


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns line up; all but the first to the right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if k == 0 else "-" * (w - 1) + ":" for k, w in enumerate(widths)]
    return "\n".join([line(head), line(rule), *(line(row) for row in rows)])


def ratio(rate: float, to: float | None) -> str:
    """One speed in units of another."""
    return f"{rate / to:.3g}" if to else "n/a"


def speeds(measured: Measured, programs: Iterable[Program]) -> str:
    """The main table, the fastest first."""
    rows = []
    for program in sorted(programs, key=lambda p: -(measured.rate(p.key) or 0)):
        rate = measured.rate(program.key)
        if rate is None:
            rows.append([program.label, "left out", "", "", "", ""])
            continue
        rates, runs = measured.rates(program.key), measured.runs[program.key]
        events = [run["events"] / run["seconds"] for run in runs if run.get("events")]
        rows.append(
            [
                program.label,
                f"{rate:,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{statistics.median(events) / 1e6:.3g}" if events else "n/a",
                ratio(rate, measured.rate("simpy")),
                ratio(rate, measured.rate("c")),
            ]
        )
    head = ["program", "prospects a second", "least to most", "million events a second", "× SimPy", "× C"]
    return table(head, rows)


def agreement_table(found: list[Agreement], programs: Iterable[Program]) -> str:
    """Each quantity in each program, with the standard error and the largest |z|."""
    keys = [p.key for p in programs if p.key in found[0].mean]
    rows = [
        [one.quantity, *(f"{one.mean[key]:.5g}" for key in keys), f"{one.error:.2g}", f"{worst([one]):.1f}"]
        for one in found
    ]
    return table(["mean of", *keys, "standard error", "largest z"], rows)


def worst(found: list[Agreement]) -> float:
    """The largest |z|."""
    return max(abs(z) for one in found for z in one.z.values())


# --- the part about size ----------------------------------------------------------------------------------------------


def scaling(engine: str, sizes: Iterable[int]) -> str:
    """Time and memory of one run by its number of prospects, each in fresh processes."""
    rows: list[list[str]] = []
    first = math.nan
    for size in sizes:
        runs = []
        for repeat in range(RUNS_OF_A_SIZE):
            try:
                chunks = ["--chunks"] if engine == "compiled" else []
                program = python("funnel_simfunnel.py", "--engine", engine, *chunks)
                runs.append(run(program(HERE, size, repeat + 1)))
            except CannotRunError as why:
                say(f"{size:,} prospects: left out: {why}")
                break
        if not runs:
            continue
        cost = statistics.median(run["seconds"] / run["prospects"] * 1e6 for run in runs)
        first = cost if math.isnan(first) else first
        peak, before = (max(run[key] for run in runs) for key in ("megabytes", "megabytes_before"))
        plan = statistics.median(run["plan_seconds"] for run in runs)
        cells = [f"{size:,}", f"{cost * size / 1e6:.3g}", f"{cost:.3g}", f"{cost / first:.2f}"]
        rows.append([*cells, f"{plan:.2g}", f"{before:,.0f}", f"{peak:,.0f}"])
        say(f"{size:,} prospects: {cost:.3g} µs each, {peak:,.0f} MB at most")
    if not rows:
        return ""
    head = ["prospects", "seconds", "µs a prospect", "× the first", "seconds for the plan", "MB before", "MB at most"]
    return table(head, rows)


# --- RESULTS.md -------------------------------------------------------------------------------------------------------


def circumstances(pinned: str) -> str:
    """When, where and with which versions."""
    load = f"load average at the start {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    machine = ", ".join(x for x in (cpu(), f"{os.cpu_count()} cores", memory(), pinned, load) if x)
    names = ("simfunnel", "simpy", "ciw", "cimba", "numpy", "numba", "scipy", "pandas")
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine}. Python {platform.python_version()}, "
        f"{', '.join(f'{name} {version_of(name)}' for name in names)}, {c_compiler()}; commit {commit()}."
    )


def version_of(package: str) -> str:
    """A package's version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def words_of(command: list[str]) -> str:
    """What a command prints, or nothing where it can't run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def c_compiler() -> str:
    """The C compiler with its version and options."""
    number = words_of([COMPILER[0], "-dumpfullversion"])
    return f"{COMPILER[0]} {number} {' '.join(COMPILER[1:])}" if number else "no C compiler"


def commit() -> str:
    """The commit that was measured."""
    number = words_of(["git", "rev-parse", "--short", "HEAD"]) or "unknown"
    return f"{number} with changes" if words_of(["git", "status", "--porcelain", ":/simfunnel"]) else number


def cpu() -> str:
    """The processor's name."""
    return _found_in("/proc/cpuinfo", r"model name\s*: (.*)") or platform.machine()


def memory() -> str:
    """How much memory the machine has."""
    size = _found_in("/proc/meminfo", r"MemTotal:\s*(\d+) kB")
    return f"{int(size) * 1024 / 1e9:.0f} GB of memory" if size else ""


def _found_in(file: str, pattern: str) -> str:
    path = Path(file)
    found = re.search(pattern, path.read_text(encoding="utf-8")) if path.exists() else None
    return found[1].strip() if found else ""


def write(sections: dict[str, str]) -> None:
    """Replace these sections of RESULTS.md; the others stay."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    kept = dict(re.findall(r"^## (.+)\n\n((?:(?!## ).*\n?)*)", text, flags=re.MULTILINE))
    every = {**{name: body.strip() for name, body in kept.items()}, **sections}
    head = "# Results\n\nWritten by `python benchmarks/run.py`; README.md says what is measured.\n"
    parts = [head, *(f"## {name}\n\n{body}\n" for name, body in every.items())]
    RESULTS.write_text("\n".join(parts), encoding="utf-8")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def speed_sections(programs: list[Program], prospects: int, repeats: int) -> tuple[dict[str, str], bool]:
    """Measure the programs, print and describe what came out; and whether they agree."""
    with tempfile.TemporaryDirectory() as name:
        build(Path(name))
        measured = measure(programs, prospects, repeats, Path(name))
    if not measured.runs:
        say(NO_RUNS)
        return {}, True
    speed = speeds(measured, programs)
    say(f"\n{speed}\n")
    why = [f"Left out: {p.label} ({measured.notes[p.key]})." for p in programs if p.key in measured.notes]
    sections = {"Speed": "\n\n".join([f"{prospects:,} prospects a run, medians of {repeats}.", speed, *why])}
    found = agreements(measured, prospects / ARRIVALS_A_DAY)
    if not found:
        return sections, True
    agree = worst(found) < TOO_FAR
    verdict = f"{'they agree' if agree else 'THEY DISAGREE'} (largest |z| {worst(found):.1f}, allowed {TOO_FAR:g})"
    how = f"Means over {repeats} seeds; z against SimPy (or the first), with a variance pooled over all: {verdict}."
    sections["The same model"] = f"{agreement_table(found, programs)}\n\n{how}"
    say(sections["The same model"])
    return sections, agree


def main() -> int:
    """Measure, compare, print and write; 1 where programs disagree."""
    keys = [program.key for program in PROGRAMS]
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--prospects", type=int, default=200_000, help="of one run (default: 200,000)")
    options.add_argument("--repeats", type=int, default=5, help="runs of each program (default: 5)")
    options.add_argument("--only", action="append", choices=keys, help="this program alone; may be given again")
    options.add_argument("--scaling", nargs="?", const="compiled", metavar="ENGINE", help="measure by size, too")
    options.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="the numbers of prospects for --scaling")
    given = options.parse_args()
    around = circumstances(pin())
    say(around)
    sections: dict[str, str] = {}
    agree = True
    if given.repeats:
        programs = [program for program in PROGRAMS if not given.only or program.key in given.only]
        sections, agree = speed_sections(programs, given.prospects, given.repeats)
    if given.scaling:
        sizes = scaling(given.scaling, given.sizes)
        say(f"\n{sizes or NO_RUNS}")
        if sizes:
            what = (
                f"One run of the {given.scaling} engine, whose records leave in chunks; medians of {RUNS_OF_A_SIZE}, "
                "the most of their memory."
            )
            sections["By size"] = f"{what}\n\n{sizes}"
    if sections and not given.only:
        write({name: f"{around}\n\n{body}" for name, body in sections.items()})
        say(f"\nwritten to {RESULTS.relative_to(HERE.parent)}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
