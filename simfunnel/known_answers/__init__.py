"""Models whose answers are known from theory or print: scenarios, exact values, and how to estimate them."""

from simfunnel.known_answers.cases import CASES, CERTAIN, CHECKS, UNLISTED, Check, Sample, scenario_of, scenario_text
from simfunnel.known_answers.estimates import Estimate, luck_of, mean_of, mean_with_controls

__all__ = [
    "CASES",
    "CERTAIN",
    "CHECKS",
    "UNLISTED",
    "Check",
    "Estimate",
    "Sample",
    "luck_of",
    "mean_of",
    "mean_with_controls",
    "scenario_of",
    "scenario_text",
]
