"""What a forecast must beat: four baselines, each the best version of what a good analyst would do.

Each is a function of the past as a history has it, the windows, the size of the ensemble and generators by name: what
it draws for one window does not depend on which others are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from simfunnel.forecasting.baselines.past import Draws, Past, draws_of, past_of
from simfunnel.forecasting.baselines.pipeline import stage_by_week, stage_weighted
from simfunnel.forecasting.baselines.totals import run_rate, smoothing
from simfunnel.forecasting.windows import Foreseen, Window

Baseline = Callable[[Past, date, Sequence[Window], int, Draws], Foreseen]

BASELINES: dict[str, Baseline] = {
    "stage-weighted": stage_weighted,
    "stage by week": stage_by_week,
    "run rate": run_rate,
    "ETS": smoothing,
}

__all__ = ["BASELINES", "Baseline", "Draws", "Past", "draws_of", "past_of"]
