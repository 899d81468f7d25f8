"""How much sooner two workers are done than one, on two cores.

Three jobs in alternating rounds, for which the machine should have nothing else to do: a whole command, start and files
included; its replications alone, by workers who are there already; and, for what the machine can give at all, two
processes at once of one worker each, which both do all of these replications. Writes a section of RESULTS.md.

    python benchmarks/workers.py [--replications 2000 20000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from run import RESULTS, circumstances, say, table, write

import simfunnel as sf

SCENARIO = Path(__file__).parents[1] / "scenarios" / "quickstart.yaml"


def command(replications: int, workers: int) -> float:
    """Seconds of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["-n", str(replications), "--workers", str(workers), "-o", str(Path(folder) / "run")]
        call = [sys.executable, "-m", "simfunnel", "run", str(SCENARIO), *options]
        begin = time.perf_counter()
        subprocess.run(call, check=True, capture_output=True)
        return time.perf_counter() - begin


def alone(replications: int, workers: int, processes: int = 1) -> float:
    """Seconds of the replications by workers who are there; the mean over processes that do this at once."""
    call = [sys.executable, __file__, "--alone", str(replications), str(workers)]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(call, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)]
    for one in running:
        assert one.stdout
        one.stdout.readline()  # it is ready
    return statistics.fmean([float(words) for words in answers(running)])


def answers(running: list[subprocess.Popen[str]]) -> Iterator[str]:
    """What processes that wait for a line say, once all have got theirs."""
    for one in running:
        line: IO[str] | None = one.stdin
        assert line
        line.write("go\n")
        line.flush()
    yield from (one.communicate()[0] for one in running)


def when_told(replications: int, workers: int) -> None:
    """What such a process does: get ready, wait, and print its seconds."""
    scenario = sf.load(SCENARIO)
    sf.run(scenario, 64, workers=workers)
    print("ready", flush=True)
    input()
    begin = time.perf_counter()
    sf.run(scenario, replications, workers=workers)
    print(time.perf_counter() - begin)


def jobs(n: int) -> dict[str, tuple[Callable[[], float], Callable[[], float]]]:
    """What is timed, with one and with two."""
    return {
        f"`run -n {n}`": (partial(command, n, 1), partial(command, n, 2)),
        f"{n:,} replications alone": (partial(alone, n, 1), partial(alone, n, 2)),
        f"{n:,} by each of two processes": (lambda: 2 * alone(n, 1), partial(alone, n, 1, 2)),
    }


def row(name: str, one: list[float], two: list[float]) -> list[str]:
    """Medians, and how many times as fast the second is, round by round."""
    times = sorted(a / b for a, b in zip(one, two, strict=True))
    medians = [f"{statistics.median(seconds):.1f}" for seconds in (one, two)]
    return [name, *medians, f"{statistics.median(times):.2f}", f"{times[0]:.2f} to {times[-1]:.2f}"]


def main() -> None:
    """Measure, print and write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--replications", type=int, nargs="+", default=[2_000, 20_000])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--alone", type=int, nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.alone:
        when_told(*given.alone)
        return
    around = circumstances("not pinned")
    sf.run(sf.load(SCENARIO), 2)  # compiled, if it was not
    rows = []
    for n in given.replications:
        for name, (one, two) in jobs(n).items():
            rounds = [(one(), two()) for _ in range(given.rounds)]
            rows.append(row(name, [first for first, _ in rounds], [second for _, second in rounds]))
            say(" | ".join(rows[-1]))
    head = ["job", "seconds with one", "with two", "times as fast", "least to most"]
    what = (
        f"The quickstart, in {given.rounds} rounds of one worker and two. Rows of two processes tell what the machine "
        "can give: both at once, beside one after the other."
    )
    write({"Workers": f"{around}\n\n{what}\n\n{table(head, rows)}"})
    say(f"written to {RESULTS.name}")


if __name__ == "__main__":
    main()
