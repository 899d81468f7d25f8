"""Bounds that stop a replication of a model that can't go on, and the words for it; the same in every engine."""

from __future__ import annotations

from simfunnel.errors import RunError

MAX_MOVES = 1000  # of one prospect within a minute: more means a circle that takes no time
MAX_AT_ONCE = 100_000  # prospects brought in one instant, where they are nine tenths of everyone: a chain in no time
MAX_REFERRED = 1_000_000  # brought in all, where they are nine tenths of everyone: a chain that grows without end
CHAINED = 0.9


def circle(place: str) -> RunError:
    """Someone goes round and round at one moment."""
    return RunError(f"a prospect moved {MAX_MOVES:,} times, last from '{place}': a circle that takes no time")


def endless_rounds(place: str) -> RunError:
    """Rounds of referrals follow each other at once."""
    return RunError(f"'{place}' refers without end in no time; give every: a time above 0")


def chain_at_once(source: str) -> RunError:
    """Those who are brought bring others in the same instant."""
    return RunError(f"'{source}' brought {MAX_AT_ONCE:,} prospects in one instant: give refers a time, after:")


def chain_without_end(source: str) -> RunError:
    """Those who are brought bring more than one each."""
    return RunError(f"'{source}' brought {MAX_REFERRED:,} prospects: each brings more than one, a chain without end")
