"""Scenarios: what users write, read with every fault at once."""

from simfunnel.scenario.reading import Scenario, from_tree, load, load_text

__all__ = ["Scenario", "from_tree", "load", "load_text"]
