"""Pictures of runs, comparisons, forecasts and bridges.

Each picture is made in two steps: `extract` takes a table out of the results (to be tested, exported or drawn
elsewhere), and the rest draws that table. Nothing here opens a window or touches pyplot's current figure.
"""

from simfunnel.plots.forecasts import bridge, deals, quarter
from simfunnel.plots.many import comparison, forecast
from simfunnel.plots.one import Pictures
from simfunnel.plots.style import save

__all__ = ["Pictures", "bridge", "comparison", "deals", "forecast", "quarter", "save"]
