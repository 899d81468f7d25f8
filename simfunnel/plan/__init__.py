"""Scenarios as plain arrays: all that an engine knows of them."""

from simfunnel.plan.compiling import compile_plan
from simfunnel.plan.tables import DEALS, DEAREST, LIST, NEVER, NEWEST, NOWHERE, OLDEST, RATE, REFERRED, Plan
from simfunnel.plan.uncertainty import Uncertainty, settle

__all__ = [
    "DEALS",
    "DEAREST",
    "LIST",
    "NEVER",
    "NEWEST",
    "NOWHERE",
    "OLDEST",
    "RATE",
    "REFERRED",
    "Plan",
    "Uncertainty",
    "compile_plan",
    "settle",
]
