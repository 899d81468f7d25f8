"""The command line: each command reads, calls the library, and shows.

Exit codes: 0 done, 1 the run failed, 2 the user's input is at fault; then clear messages, and nothing half-written. 130
after an interruption, as shells have it.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import NoReturn

from cyclopts import App
from cyclopts.exceptions import CycloptsError

from simfunnel import __version__
from simfunnel.cli.comparing import compare, experiment
from simfunnel.cli.engines import verify, warmup
from simfunnel.cli.forecasts import bridge, forecast
from simfunnel.cli.histories import backtest, fit, segments
from simfunnel.cli.models import check, init, schema
from simfunnel.cli.output import INTERRUPTED
from simfunnel.cli.running import run
from simfunnel.errors import InputError, SimfunnelError

app = App(
    name="simfunnel",
    help="Simulate and forecast a sales pipeline, from today's open deals and with sellers' limited time.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
_COMMANDS = (init, check, run, compare, experiment, fit, forecast, bridge, backtest, segments, verify, warmup, schema)
for _command in _COMMANDS:
    app.command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    gc.set_threshold(50_000, 20, 50)  # start-up makes many objects that stay: to go through them often is a tenth of it
    try:
        result = app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
        return result if isinstance(result, int) else 0
    except CycloptsError:
        return 2
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except SimfunnelError as error:
        print(f"simfunnel: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("simfunnel: interrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, MemoryError) as error:
        print(f"simfunnel: {error or 'out of memory'}", file=sys.stderr)
        return 1


def process() -> NoReturn:
    """Run the command line as a process of its own, and end it."""
    code: list[int] = []
    atexit.register(_leave, code)  # the first to be told, so the last to be done
    code.append(main())
    sys.exit(code[0])


def _leave(code: list[int]) -> None:
    """End now, and let the system take all memory back: Python would take apart what it holds, most of a second."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # the usual end tells of it
    if code:
        os._exit(code[0])
