"""Commands about the engines: verify, warmup."""

from __future__ import annotations

import time
from typing import Annotated

from cyclopts import Parameter

from simfunnel.cli.options import Engine, Json
from simfunnel.cli.output import say_if_cold, show


def warmup() -> None:
    """Compile the engine now, once for this machine, so that the first run need not wait for it."""
    from simfunnel.replicate import warm_up

    say_if_cold("compiled")
    begun = time.monotonic()
    warm_up()
    print(f"The compiled engine is ready ({time.monotonic() - begun:.1f} s).")


def verify(
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    engine: Engine = "auto",
    seed: int = 1,
    json_: Json = False,
) -> int:
    """Check an engine against answers known from theory and print: exact, estimate, standard error, z.

    It fails (exit code 1) where an estimate is more than four standard errors off, where the z's as a set are not those
    of a standard normal distribution, or where intervals cover less or more often than they say.

    Args:
        quick: Run less: about 15 s instead of 90 s, and standard errors three times as wide.
        engine: Which engine; simpy takes some 40 times as long.
        seed: The seed; the same seed gives the same results.
        json_: Print one JSON object instead of the table.
    """
    from simfunnel import verifying
    from simfunnel.cli.screens import progress, show_verification

    if engine != "simpy":
        say_if_cold("compiled")
    with progress("checking known answers") as tell:
        found = verifying.verify(engine=engine, seed=seed, quick=quick, progress=tell)
    show(json_, lambda: verifying.results_json(found), lambda: show_verification(found))
    return 0 if found.passed else 1
