"""Random numbers that belong to prospects and purposes, not to the order of events.

A stream is named, never counted: its purpose is a hash of words such as ``stage/quote/exit``, so that a stage, a source
or a prospect more leaves every other draw as it was.
"""

from __future__ import annotations

from hashlib import blake2b

from simfunnel.numerics import child_key, uniform

__all__ = ["MAX_SEED", "child_key", "purpose", "root_key", "uniform"]

MAX_SEED = 2**32 - 1


def purpose(*names: str) -> int:
    """The 32-bit number of a purpose named by words; the same on every machine, for ever."""
    return int.from_bytes(blake2b("/".join(names).encode(), digest_size=4).digest(), "little")


def root_key(*names: str) -> int:
    """The 64-bit key (signed) of something that is known by its name: a source, a listed deal, a place in a file."""
    return int.from_bytes(blake2b("/".join(names).encode(), digest_size=8).digest(), "little", signed=True)
