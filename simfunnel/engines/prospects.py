"""Those who flow through the funnel, and what the readable engine knows of each."""

from __future__ import annotations

from simfunnel.numerics import Floats
from simfunnel.scenario.conditions import FACT

SOURCE, STAGE, MEMBER, GENERATION, VALUE, WAITED, TOUCHES, VISITS, AGE, DATE = range(10)
DATED = slice(FACT["quarter_day"], FACT["holiday"] + 1)
"""Places in the array of facts."""


class Prospect:
    """One who flows through the funnel; `facts` is what conditions may look at.

    `since` is when it came, or when an open deal came to the stage where it stood at the start. `visits` are counted by
    stage, `owners` by team, `children` by referral rule; `reward` is owed to the one who referred it.
    """

    __slots__ = ("children", "facts", "key", "number", "owners", "reward", "since", "visits")

    def __init__(self, number: int, key: int, facts: Floats, since: float, stages: int, reward: float) -> None:
        self.number = number
        self.key = key
        self.facts = facts
        self.since = since
        self.visits = [0] * stages
        self.owners: dict[int, int] = {}
        self.children: dict[int, int] = {}
        self.reward = reward
