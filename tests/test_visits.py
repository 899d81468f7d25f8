"""Visits of deals to stages: what becomes of moves too rare for an exit of their own."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from simfunnel.fitting.visits import HERE, LOST, WON, Visits, pooled

STAGES = ("Demo", "Quote", "Contract")
Path = tuple[tuple[str, float, float, str], ...]


def visits(*deals: Path) -> Visits:
    """Visits of deals, each a row of stage, entered, left and goal; the as-of day ends at 100."""
    rows = [(k, *visit) for k, deal in enumerate(deals) for visit in deal]
    deal, stage, entered, left, goal = zip(*rows, strict=True)
    return Visits(
        np.array(deal), np.array([STAGES.index(s) for s in stage]), np.array(entered), np.array(left),
        np.array(goal, dtype="U16"), STAGES, date(2026, 1, 1), 100.0, False,
    )  # fmt: skip


def common(goal: str, count: int = 30) -> list[Path]:
    """Deals that pass Demo and Quote, and end there or go on."""
    return [(("Demo", 0.0, 10.0, "Quote"), ("Quote", 10.0, 20.0, goal))] * count


def rows_of(found: Visits, deal: int) -> list[tuple[str, float, float, str]]:
    """The visits of one deal."""
    here = np.flatnonzero(found.deal == deal)
    return [(STAGES[found.stage[k]], found.entered[k], found.left[k], str(found.goal[k])) for k in here]


ASIDE = (("Demo", 0.0, 1.0, "Quote"), ("Quote", 1.0, 5.0, "Demo"), ("Demo", 5.0, 7.0, "Quote"))


@pytest.mark.parametrize(
    ("after", "stays"),
    [
        ((("Quote", 7.0, 9.0, WON),), (("Quote", 1.0, 9.0, WON),)),
        ((("Quote", 7.0, 9.0, LOST),), (("Quote", 1.0, 9.0, LOST),)),
        ((("Quote", 7.0, 100.0, HERE),), (("Quote", 1.0, 100.0, HERE),)),
        (
            (("Quote", 7.0, 9.0, "Contract"), ("Contract", 9.0, 12.0, WON)),
            (("Quote", 1.0, 9.0, "Contract"), ("Contract", 9.0, 12.0, WON)),
        ),
        (
            (("Quote", 7.0, 8.0, "Demo"), ("Demo", 8.0, 9.0, "Contract"), ("Contract", 9.0, 12.0, LOST)),
            (("Quote", 1.0, 9.0, "Contract"), ("Contract", 9.0, 12.0, LOST)),
        ),
    ],
)
def test_a_rare_return_is_counted_as_staying(after: Path, stays: Path) -> None:
    many = [*common(WON), *common(LOST), *common("Contract")]
    found, said = pooled(visits((*ASIDE, *after), *many))
    assert rows_of(found, 0) == [ASIDE[0], *stays]
    assert "rare returns are counted as staying until the deal went on: 'Quote' -> 'Demo'" in said[-1]
    assert len(found.deal) == len(visits((*ASIDE[:1], *stays), *many).deal)


def test_a_deal_that_is_lost_after_a_rare_return_was_lost_where_it_came_from() -> None:
    found, _ = pooled(visits((*ASIDE[:2], ("Demo", 5.0, 7.0, LOST)), *common(WON), *common(LOST)))
    assert rows_of(found, 0) == [ASIDE[0], ("Quote", 1.0, 7.0, LOST)]


@pytest.mark.parametrize("goal", [WON, LOST])
def test_no_move_becomes_a_win_or_a_loss(goal: str) -> None:
    skip = (("Demo", 0.0, 1.0, "Quote"), ("Quote", 1.0, 5.0, "Contract"), ("Contract", 5.0, 9.0, LOST))
    given = visits(skip, (*ASIDE, ("Quote", 7.0, 9.0, LOST)), *common(goal, 40))
    found, _ = pooled(given)
    for end in (WON, LOST):
        assert (found.goal == end).sum() == (given.goal == end).sum()
    assert rows_of(found, 0) == list(skip)


def test_common_returns_are_left_as_they_are() -> None:
    given = visits(*[(*ASIDE, ("Quote", 7.0, 9.0, WON))] * 20, *common(WON))
    found, said = pooled(given)
    assert found.goal.tolist() == given.goal.tolist()
    assert not said
