"""What is asked of an order history, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pandas as pd

from simfunnel.segments.ledger import YEAR
from simfunnel.segments.lifetime import DISCOUNT


@dataclass(frozen=True)
class Choices:
    """What is asked of an order history; `window` in days, `margin` and `discount` (a year's) as shares."""

    as_of: date | None = None
    split: date | None = None
    window: float = YEAR
    margin: float = 1.0
    discount: float = DISCOUNT


@dataclass(frozen=True)
class Segments:
    """The tables of one order history, or of many simulated ones, and what is to be known about them.

    `tables`: customers, rfm, pyramid, abc, lifetime, and foretells where a split was given. Of a scenario, all are
    means over the replications (shares of the mean sums), but `customers` and `grades` are of replication 0.
    """

    name: str
    as_of: date
    currency: str
    replications: int
    """0 of a file."""
    seed: int | None
    tables: dict[str, pd.DataFrame] = field(repr=False)
    grades: dict[str, dict[str, Any]] = field(repr=False)
    notes: tuple[str, ...]
