"""From a history of deals to a scenario, every number with its interval."""

from simfunnel.fitting.fit import Fitted, fit

__all__ = ["Fitted", "fit"]
