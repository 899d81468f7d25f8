"""Worker processes beside the command line: they start while it still reads, and draw while it writes tables.

A worker takes a second or two to import what it needs and to load the compiled engine; so long the process that asked
for it would wait. This module imports next to nothing, so that it can be asked first.
"""

from __future__ import annotations

import atexit
import gc
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

AnyT = TypeVar("AnyT")


@contextmanager
def begun(workers: int) -> Iterator[Callable[[], None]]:
    """Have this many of joblib's workers start; what is given waits for them. If the block fails first, they are ended.

    They leave Ctrl-C to this process, which ends them.
    """
    from joblib import Parallel, delayed

    # Of an interruption the command tells in its own words.
    warnings.filterwarnings("ignore", r"\d+ tasks .* have been cancelled", UserWarning)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # processes inherit it
    try:
        jobs = (delayed(_get_ready)() for _ in range(workers))
        starting: Any = iter(Parallel(n_jobs=workers, return_as="generator_unordered")(jobs))
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield partial(_wait_for, starting)
    finally:
        starting.close()


def _wait_for(starting: Iterator[None]) -> None:
    """Wait until all of them are ready; of one that was killed hears who gives them work, and has it replaced."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    with suppress(BrokenProcessPool):
        for _ in starting:
            pass


def _get_ready() -> None:
    """Load, in a worker, what a replication needs; but leave the compiling, where it is to be done, to one process."""
    from simfunnel.engines import compiled
    from simfunnel.replicate import warm_up

    atexit.register(gc.freeze)  # who waits for the worker's end need not wait until it has looked at all it holds
    if not compiled.is_cold():
        warm_up()


def meanwhile(workers: int, function: Callable[..., AnyT], *given: object) -> Callable[[], AnyT]:
    """Have one of the workers compute something; what is returned waits for it, and computes it here if that died."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    # As many workers as there are: for another number, joblib would start them anew.
    coming = iter(Parallel(n_jobs=workers, return_as="generator")([delayed(function)(*given)]))

    def found() -> AnyT:
        try:
            return next(coming)
        except BrokenProcessPool:
            return function(*given)

    return found
