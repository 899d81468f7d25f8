"""Exact answers of queues, networks and chains, each by its formula.

Rates are a day and times in days, as in the scenarios beside this file. Sources: Gross, Shortle, Thompson and Harris,
Fundamentals of Queueing Theory (Erlang C, balance of births and deaths, Pollaczek-Khinchine, Cobham, Jackson);
Baskett, Chandy, Muntz and Palacios, "Open, closed, and mixed networks of queues", JACM 1975 (BCMP).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def erlang_c(servers: int, load: float) -> float:
    """The chance that a call waits in M/M/c, of its load in servers (rate of arrivals / rate of one server).

    >>> erlang_c(1, 0.8)
    0.8
    """
    terms = [load**n / math.factorial(n) for n in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def mean_wait(servers: int, rate: float, service_rate: float) -> float:
    """The mean wait in M/M/c, those who don't wait included."""
    return erlang_c(servers, rate / service_rate) / (servers * service_rate - rate)


def time_in_system(servers: int, rate: float, service_rate: float) -> float:
    """The mean time from coming to leaving in M/M/c.

    >>> time_in_system(1, 1.0, 1.25)
    4.0
    """
    return mean_wait(servers, rate, service_rate) + 1 / service_rate


def queue_of_one(rate: float, mean: float, cv: float) -> float:
    """The mean number who wait in M/G/1, of the service's mean and coefficient of variation (Pollaczek-Khinchine).

    >>> queue_of_one(1.0, 0.8, 1.0), queue_of_one(1.0, 0.8, 0.0)
    (3.2, 1.6)
    """
    load = rate * mean
    return load**2 * (1 + cv**2) / (2 * (1 - load))


def impatient(servers: int, rate: float, service_rate: float, patience_rate: float) -> tuple[float, float, float]:
    """M/M/c+M, by the balance of births and deaths: share who give up, mean number who wait, chance of waiting."""
    chances = [1.0]
    while chances[-1] > 1e-18 * max(chances) or len(chances) <= servers:
        n = len(chances)
        leave = min(n, servers) * service_rate + max(n - servers, 0) * patience_rate
        chances.append(chances[-1] * rate / leave)
    p = np.array(chances) / math.fsum(chances)
    waiting = float(np.maximum(np.arange(len(p)) - servers, 0) @ p)
    return patience_rate * waiting / rate, waiting, float(p[servers:].sum())


def with_priority(rates: Sequence[float], service_rate: float) -> list[float]:
    """Mean times in system of classes in M/M/1, the most urgent first, no service broken off (Cobham).

    >>> with_priority([0.2, 0.6], 1.0)
    [2.0, 6.0]
    """
    rest = sum(rates) / service_rate**2  # the mean work left of the service in hand
    before, found = 0.0, []
    for rate in rates:
        after = before + rate / service_rate
        found.append(rest / ((1 - before) * (1 - after)) + 1 / service_rate)
        before = after
    return found


def jackson(
    coming: Sequence[float],
    passing: Sequence[Sequence[float]],
    servers: Sequence[int],
    service_rates: Sequence[float],
) -> float:
    """The mean time in a network of queues: each is an M/M/c of the traffic that passes it.

    `coming` is the rate from outside to each, `passing[i][j]` the chance to go from i to j.

    >>> jackson([1, 0], [[0, 1], [0, 0]], [1, 1], [1.5, 1.25])
    6.0
    """
    traffic = np.linalg.solve(np.eye(len(coming)) - np.array(passing, dtype=float).T, np.array(coming, dtype=float))
    nodes = zip(servers, map(float, traffic), service_rates, strict=True)
    return math.fsum(rate * time_in_system(c, rate, mu) for c, rate, mu in nodes) / sum(coming)


def wins_of_one(referred_winners: float) -> float:
    """All wins that come of one, itself included, where each brings so many on average (a branching process).

    >>> wins_of_one(0.6)
    2.5
    """
    return 1 / (1 - referred_winners)
