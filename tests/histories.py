"""Histories whose truth is known: stages, weekends, Christmas, sources that differ, drift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from simfunnel.crm import History
from simfunnel.crm.quality import QualityReport

STAGES = ("App", "Offer", "Review")


@dataclass(frozen=True)
class World:
    """All that will ever happen: `deals` by number, and `visits` with times in days since `start`."""

    start: pd.Timestamp
    days: int
    deals: pd.DataFrame
    visits: pd.DataFrame
    stages: tuple[str, ...]
    whole_days: bool

    def until(self, day: int) -> History:
        """What is known at the end of day number `day` - 1."""
        deals = self.deals[self.deals["born"] < day]
        visits = self.visits[(self.visits["entered"] < day) & self.visits["deal"].isin(deals.index)]
        last = visits.groupby("deal").tail(1).set_index("deal").loc[deals.index]
        closed = (last["left"] < day) & last["next"].isin(["won", "lost"])
        there = visits["left"] >= day
        table = pd.DataFrame(
            {
                "id": [f"D{k}" for k in deals.index],
                "created": self.moment(deals["born"]),
                "closed": self.moment(last["left"].where(closed)),
                "outcome": last["next"].where(closed, "open"),
                "stage": last["next"].where(closed, last["stage"]),
                "value": deals["value"],
                "owner": deals["owner"],
                "channel": deals["channel"],
            }
        ).reset_index(drop=True)
        known = pd.DataFrame(
            {
                "deal": visits["deal"],
                "stage": visits["stage"],
                "entered": self.moment(visits["entered"]),
                "left": self.moment(visits["left"].where(~there)),
                "next": visits["next"].where(~there, ""),
                "owner": "",
            }
        ).reset_index(drop=True)
        return History(
            deals=table,
            attributes=("channel",),
            as_of=(self.start + timedelta(days=day - 1)).date(),
            observed_from=self.start.date(),
            assumptions=(),
            quality=QualityReport((), len(table)),
            name="world",
            open_stage="open",
            whole_days=self.whole_days,
            visits=known,
            stages=self.stages,
            tasks=None,
        )

    def moment(self, days: pd.Series[float]) -> pd.Series[pd.Timestamp]:
        """Days since the start as moments; whole days where the file has dates alone."""
        return self.start + pd.to_timedelta(np.floor(days) if self.whole_days else days, unit="D")

    def wins(self, first: int, count: int) -> int:
        """Wins in so many days from day number `first` on."""
        left = self.visits.loc[self.visits["next"] == "won", "left"]
        return int(((left >= first) & (left < first + count)).sum())


def pace_of(start: str, days: int, weekend: float, christmas: float) -> np.ndarray:
    """The pace of each day."""
    dates = pd.date_range(start, periods=days)
    pace = np.where(dates.day_of_week >= 5, weekend, 1.0)
    month_day = dates.month * 100 + dates.day
    return pace * np.where((month_day >= 1224) | (month_day <= 101), christmas, 1.0)


def after(pace: np.ndarray, since: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """When so much time has run at a pace; infinity beyond its end."""
    nodes, run = np.arange(len(pace) + 1.0), np.concatenate([[0.0], np.cumsum(pace)])
    ends = np.interp(since, nodes, run) + spans
    return np.where(ends < run[-1], np.interp(ends, run, nodes), np.inf)


def flat(
    seed: int,
    *,
    start: str = "2022-01-03",
    days: int = 800,
    rate: float = 10.0,
    weekend: float = 0.2,
    christmas: float = 0.3,
    lost: bool = True,
    later: float = 0.0,
) -> World:
    """One stage: won 38% (channel a twice the odds of b; `later` added to the log-odds each year), else lost."""
    rng = np.random.default_rng(seed)
    pace = pace_of(start, days, weekend, christmas)
    born = np.repeat(np.arange(days), rng.poisson(rate * pace / pace.mean())) + 0.5
    n = len(born)
    channel = rng.choice(["a", "b"], n)
    odds = 0.62 * np.where(channel == "a", 2**0.5, 2**-0.5) * np.exp(later * born / 365)
    won = rng.random(n) < odds / (1 + odds)
    left = after(pace, born, np.where(won, rng.gamma(1.8, 18, n), rng.gamma(1.2, 25, n)))
    left = np.floor(np.where(won | lost, left, np.inf)) + 0.5
    deals = pd.DataFrame({"born": born, "value": rng.lognormal(8, 1, n), "owner": rng.choice(list("AB"), n)})
    visits = pd.DataFrame({"deal": np.arange(n), "stage": "open", "entered": born, "left": left})
    visits["next"] = np.where(won, "won", "lost")
    return World(pd.Timestamp(start), days, deals.assign(channel=channel), visits, ("open",), True)


def staged(seed: int, *, start: str = "2021-09-06", days: int = 330, rate: float = 40.0) -> World:
    """App (30% lost at once) -> Offer -> Review -> Won or lost, or back to Offer; weekends and Christmas are slow."""
    rng = np.random.default_rng(seed)
    pace = pace_of(start, days, 0.15, 0.3)
    born = np.repeat(np.arange(days), rng.poisson(rate * pace / pace.mean())) + rng.uniform(0.3, 0.8, 1)
    n = len(born)
    channel = rng.choice(["a", "b"], n)
    rows: list[pd.DataFrame] = []
    now = {"App": (np.arange(n), born), "Offer": (np.empty(0, int), np.empty(0)), "Review": (np.empty(0, int),) * 2}
    for _ in range(15):
        nxt: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {s: [] for s in STAGES}
        for stage, (deal, since) in now.items():
            u, m = rng.random(len(deal)), len(deal)
            if stage == "App":
                goal = np.where(u < 0.3, "lost", "Offer")
                left = np.where(u < 0.3, since + 0.001, after(pace, since, rng.gamma(0.9, 1.5, m)))
            elif stage == "Offer":
                goal = np.where(u < 0.65, "Review", "lost")
                left = after(pace, since, np.where(u < 0.65, rng.gamma(1.5, 5, m), rng.gamma(3, 7, m)))
            else:
                odds = np.where(channel[deal.astype(int)] == "a", 1.6, 0.7)
                share = odds / (1 + odds)
                goal = np.where(u < share, "won", np.where(u < share + 0.15, "Offer", "lost"))
                left = after(pace, since, np.where(u < share, rng.gamma(2, 2, m), rng.gamma(1.5, 4, m)))
            rows.append(pd.DataFrame({"deal": deal, "stage": stage, "entered": since, "left": left, "next": goal}))
            for s in STAGES:
                goes = (goal == s) & np.isfinite(left)
                nxt[s].append((deal[goes], left[goes]))
        now = {s: (np.concatenate([d for d, _ in p]), np.concatenate([t for _, t in p])) for s, p in nxt.items()}
    visits = pd.concat(rows).astype({"deal": int}).sort_values(["deal", "entered"], kind="stable", ignore_index=True)
    deals = pd.DataFrame({"born": born, "value": rng.lognormal(9, 0.7, n), "owner": rng.choice(list("ABCD"), n)})
    return World(pd.Timestamp(start), days, deals.assign(channel=channel), visits, STAGES, False)
