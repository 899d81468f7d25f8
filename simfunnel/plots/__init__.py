"""Pictures of runs, comparisons and forecasts.

Each picture is made in two steps: `extract` takes a table out of the results (to be tested, exported or drawn
elsewhere), and the rest draws that table. Nothing here opens a window or touches pyplot's current figure.
"""

from simfunnel.plots.many import comparison, forecast
from simfunnel.plots.one import Pictures
from simfunnel.plots.style import save

__all__ = ["Pictures", "comparison", "forecast", "save"]
