"""One as-of date of a backtest: from the history as it was known then to what each method foresaw.

What came afterwards has no way in: a replay is given the history cut at its date, and nothing else of the export.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from simfunnel.crm.importing import History
from simfunnel.errors import InputError, RunError
from simfunnel.forecasting.baselines import BASELINES, draws_of, past_of
from simfunnel.forecasting.forecast import from_today
from simfunnel.forecasting.pooling import ALONE
from simfunnel.forecasting.windows import METRICS, Foreseen, Window, foreseen, won_between
from simfunnel.numerics import Floats
from simfunnel.randomness import purpose
from simfunnel.scenario import Scenario, from_tree

OURS = "simfunnel"
METHODS = (OURS, ALONE, *BASELINES)
"""Our forecast, pooled from the simulation and the baselines by their records; the simulation alone; the baselines."""

Fitter = Callable[[History], Scenario]
"""Makes the scenario to forecast with from a history."""


@dataclass(frozen=True)
class Fitting:
    """The usual way from a history to a scenario: `fit` with its options, and the fiscal year that the windows have.

    Raises InputError where `busy` is no share, or the country is not known.
    """

    currency: str = "USD"
    fiscal_year_ends: int = 12
    country: str = ""
    busy: float | None = None

    def __post_init__(self) -> None:
        """Refuse what `fit` would, before any date is begun."""
        from simfunnel.fitting.fit import check_busy, holidays_of

        check_busy(self.busy)
        holidays_of(self.country, (2026,))

    def __call__(self, history: History) -> Scenario:
        """The scenario fitted to a history."""
        from simfunnel.fitting.fit import fit

        return from_tree(fit(history, **vars(self)).tree, Path())


@dataclass(frozen=True)
class Replay:
    """What the simulation and each baseline foresaw on a date.

    `already` is what a window had won by then, by (window, metric); `samples` are ensembles of what was still to come,
    by (method, window, metric); `chances` are those of the open deals named in `deals`, by (method, window).
    """

    as_of: date
    windows: tuple[Window, ...]
    already: dict[tuple[str, str], float]
    samples: dict[tuple[str, str, str], Floats]
    deals: tuple[str, ...]
    chances: dict[tuple[str, str], Floats]


def replay(history: History, windows: Sequence[Window], fitter: Fitter, replications: int, seed: int) -> Replay:
    """Fit and forecast on one date, beside the baselines. Raises InputError or RunError, naming the date."""
    as_of = history.as_of
    try:
        scenario = _reaching(fitter(history), history, windows)
        ours = foreseen(scenario, as_of, windows, replications, purpose(str(seed), as_of.isoformat()))
    except InputError as error:
        raise InputError(f"as of {as_of}: {error}") from None
    except RunError as error:
        raise RunError(f"as of {as_of}: {error}") from None
    found: dict[str, Foreseen] = {ALONE: ours}
    past = past_of(history)
    for k, (name, baseline) in enumerate(BASELINES.items()):
        found[name] = baseline(past, as_of, windows, replications, draws_of(seed, as_of.toordinal(), k))
    already = {
        (window.name, metric): amount
        for window in windows
        for metric, amount in won_between(history.deals, window.counts_from, _until(window, history)).items()
    }
    return Replay(
        as_of,
        tuple(windows),
        already,
        {(method, *key): sample for method, seen in found.items() for key, sample in seen.totals.items()},
        tuple(str(name) for name in history.open_deals()["id"]),
        {(method, name): chances for method, seen in found.items() for name, chances in seen.chances.items()},
    )


def _until(window: Window, history: History) -> date:
    """Until when a window's wins are known."""
    return max(window.counts_from, min(window.begin, history.end.date()))


def _reaching(scenario: Scenario, history: History, windows: Sequence[Window]) -> Scenario:
    """The scenario from the day after the as-of date to the end of the last window."""
    for quarters in (1, 2, 3):
        ready = from_today(scenario, history, quarters=quarters)
        if ready.spec.days >= max(window.days(history.as_of)[1] for window in windows):
            break
    return ready


__all__ = ["METHODS", "METRICS", "OURS", "Fitter", "Fitting", "Replay", "replay"]
