"""simfunnel: simulate and forecast a sales pipeline, from today's open deals and with sellers' limited time.

    import simfunnel as sf

    base = sf.load("scenarios/quickstart.yaml")
    runs = sf.run(base, replications=200)
    runs.quantiles()

Everything is imported when it is first used, so that `import simfunnel` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from simfunnel import segments as segments
    from simfunnel.backtesting.backtest import backtest as backtest
    from simfunnel.backtesting.record import track_record as track_record
    from simfunnel.comparison import compare as compare
    from simfunnel.crm.importing import read_crm as read_crm
    from simfunnel.errors import InputError as InputError
    from simfunnel.errors import RunError as RunError
    from simfunnel.errors import SimfunnelError as SimfunnelError
    from simfunnel.experiments import run_experiment as run_experiment
    from simfunnel.fitting.fit import fit as fit
    from simfunnel.forecasting.bridging import bridge as bridge
    from simfunnel.forecasting.forecast import forecast as forecast
    from simfunnel.forecasting.forecast import from_today as from_today
    from simfunnel.replicate import records_of as records_of
    from simfunnel.replicate import run as run
    from simfunnel.scenario import Scenario as Scenario
    from simfunnel.scenario import from_tree as from_tree
    from simfunnel.scenario import load as load
    from simfunnel.scenario import load_text as load_text

_HOME = {
    "InputError": "errors",
    "RunError": "errors",
    "Scenario": "scenario",
    "SimfunnelError": "errors",
    "backtest": "backtesting.backtest",
    "bridge": "forecasting.bridging",
    "compare": "comparison",
    "fit": "fitting.fit",
    "forecast": "forecasting.forecast",
    "from_today": "forecasting.forecast",
    "from_tree": "scenario",
    "load": "scenario",
    "load_text": "scenario",
    "read_crm": "crm.importing",
    "records_of": "replicate",
    "run": "replicate",
    "run_experiment": "experiments",
    "track_record": "backtesting.record",
}

_MODULES = ("segments",)

__all__ = [  # noqa: PLE0604 (the keys are texts)
    *_HOME,
    *_MODULES,
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"simfunnel.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'simfunnel' has no attribute '{name}'")
    return getattr(import_module(f"simfunnel.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
