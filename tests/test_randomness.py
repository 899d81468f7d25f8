"""Random numbers that belong to names: known answers, uniformity, and independence of whatever differs."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simfunnel.numerics import philox
from simfunnel.randomness import MAX_SEED, child_key, purpose, root_key, uniform

FULL = 0xFFFFFFFF
KEYS = st.integers(-(2**63), 2**63 - 1)
WORDS = st.integers(0, FULL)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((FULL, FULL, FULL, FULL), (FULL, FULL), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "ones", "pi"],
)
def test_philox4x32_10_gives_the_known_answers_of_random123(
    counter: tuple[int, int, int, int], key: tuple[int, int], words: tuple[int, int, int, int]
) -> None:
    assert tuple(map(int, philox(*counter, *key))) == words


def test_purposes_are_the_same_for_ever() -> None:
    """A change here would change every result that was ever stored."""
    assert purpose("stage", "quote", "exit") == 0x95F2A4CC
    assert purpose("stage/quote/exit") == purpose("stage", "quote", "exit")
    assert purpose("stage", "quote", "effort") == 0x8E86C6C1
    assert root_key("source", "inbound") == -640663155245237336
    assert child_key(root_key("source", "inbound"), purpose("child"), 0) == -8499719174295287100


def test_the_first_numbers_of_seed_1_are_the_same_for_ever() -> None:
    key = root_key("source", "inbound")
    drawn = [uniform(1, replication, key, purpose("arrival"), 0) for replication in range(3)]
    assert drawn == [0.5646809923377607, 0.9362741489187305, 0.9844500783882593]


def test_names_mean_the_same_in_another_process() -> None:
    code = "from simfunnel.randomness import *; print(purpose('a', 'b'), root_key('a', 'b'), uniform(7, 3, -5, 11, 2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = f"{purpose('a', 'b')} {root_key('a', 'b')} {uniform(7, 3, -5, 11, 2)}"
    assert done.stdout.strip() == here


@given(WORDS, WORDS, KEYS, WORDS, WORDS)
def test_uniform_is_never_0_or_1(seed: int, replication: int, key: int, what: int, index: int) -> None:
    assert 2.0**-54 <= uniform(seed, replication, key, what, index) <= 1 - 2.0**-53


@given(WORDS, WORDS, KEYS, WORDS, WORDS)
def test_uniform_is_the_first_two_words_of_philox(seed: int, replication: int, key: int, what: int, index: int) -> None:
    unsigned = key % 2**64
    a, b, _, _ = map(int, philox(unsigned & FULL, unsigned >> 32, what, index, seed, replication))
    assert uniform(seed, replication, key, what, index) == (((a << 21) ^ b) % 2**53 + 0.5) / 2**53


def test_seeds_may_be_as_large_as_is_said() -> None:
    assert uniform(MAX_SEED, 0, 1, 1, 0) != uniform(0, 0, 1, 1, 0)


def sample(n: int, **fixed: int) -> dict[str, np.ndarray]:
    """n numbers along each thing that may differ, all else fixed."""
    start = {"seed": 1, "replication": 2, "key": 3, "purpose": 4, "index": 5} | fixed
    order = list(start)
    return {
        name: np.array([uniform(*(k if other == name else start[other] for other in order)) for k in range(n)])
        for name in order
    }


def test_uniform_along_whatever_differs() -> None:
    """Kolmogorov-Smirnov, 20,000 numbers along each of the five; false alarm once in 2,000 (bound at p = 1e-4 each)."""
    from scipy import stats

    for name, drawn in sample(20_000).items():
        assert stats.kstest(drawn, "uniform").pvalue > 1e-4, name


def test_neighbours_along_whatever_differs_are_independent() -> None:
    """A chi-square of consecutive pairs on a 10 x 10 grid (99 degrees of freedom); p > 1e-4 each."""
    from scipy import stats

    for name, drawn in sample(20_001).items():
        pairs = np.histogram2d(drawn[:-1], drawn[1:], bins=10, range=[[0, 1], [0, 1]])[0]
        assert stats.chisquare(pairs.ravel()).pvalue > 1e-4, name


def test_two_purposes_of_the_same_prospects_are_independent() -> None:
    """So are two replications, seeds and indices: all pairs of columns on a 10 x 10 grid, p > 1e-5 each."""
    from scipy import stats

    first, second = purpose("stage", "quote", "exit"), purpose("stage", "quote", "after")
    columns = [
        np.array([uniform(seed, replication, key, what, index) for key in range(10_000)])
        for seed, replication, what, index in [
            (1, 0, first, 0),
            (1, 0, second, 0),
            (1, 1, first, 0),
            (2, 0, first, 0),
            (1, 0, first, 1),
            (0, 1, first, 0),
        ]
    ]
    for a, b in itertools.combinations(columns, 2):
        pairs = np.histogram2d(a, b, bins=10, range=[[0, 1], [0, 1]])[0]
        assert stats.chisquare(pairs.ravel()).pvalue > 1e-5
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.05  # five standard errors


def test_children_have_keys_of_their_own() -> None:
    parents = [root_key("source", name) for name in ("inbound", "expo", "referral")]
    keys = {child_key(parent, what, k) for parent in parents for what in (1, 2) for k in range(5_000)}
    assert len(keys) == 30_000
    grandchildren = {child_key(key, 1, 0) for key in keys}
    assert len(grandchildren | keys) == 60_000


@given(KEYS, WORDS, WORDS)
def test_a_childs_key_is_a_signed_64_bit_number(parent: int, what: int, index: int) -> None:
    assert -(2**63) <= child_key(parent, what, index) < 2**63
