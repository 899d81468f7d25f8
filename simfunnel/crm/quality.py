"""What can't be trusted in an export, what was done about it, and which way the rest may still be off.

Each check is one small function in `CHECKS`: it looks at the evidence and returns a trouble together with the
evidence mended, or None. To add a check, write its function and list it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd

from simfunnel.crm.bringers import BRINGER_CHECKS
from simfunnel.crm.evidence import Check, Evidence, Found, QualityReport, Trouble, among
from simfunnel.crm.leaks import leaks
from simfunnel.crm.loads import created_at_once
from simfunnel.crm.names import normal
from simfunnel.crm.tables import read_numbers
from simfunnel.crm.visit_checks import VISIT_CHECKS

_SURE = 4.6  # -log(1%): closings that should have been seen, had there been nothing to hide them
_DRIED_UP = 20  # new deals that should have come since the last one, had their rate held
_LONG_GAP = 3  # times the longest gap between new deals before, from which on their coming is said to have ended
_LATELY = pd.Timedelta(days=56)  # over which the rate before is told
_TYPO_SHARE = 0.2  # a misspelling is at most so frequent as what it stands for
_TYPO_LETTERS = 6  # shorter words differ by one letter and mean different things
_MOST_COMPARED = 400  # spellings of one column that are compared with one another


def examine(evidence: Evidence) -> tuple[Evidence, QualityReport]:
    """Run every check in turn, each on what the former left; the evidence mended, and the report."""
    deals = len(evidence.deals)
    troubles = []
    for check in CHECKS:
        found = check(evidence)
        if found is not None:
            trouble, evidence = found
            troubles.append(trouble)
    return evidence, QualityReport(tuple(troubles), deals)


# --- rows that can't be used ------------------------------------------------------------------------------------------


def no_creation_date(evidence: Evidence) -> Found:
    """Deals whose creation date is missing or can't be read."""
    rows = evidence.deals["created"].isna()
    if not rows.any():
        return None
    name = no_date_in_words("no creation date", evidence.deals.loc[rows, "created_text"])
    bias = "fewer deals than there were, if these are real ones"
    return among(evidence, rows, name, "left out", bias), evidence.without(rows)


def no_date_in_words(name: str, texts: pd.Series[Any]) -> str:
    """The name of a trouble of dates that are missing, with how many are there but can't be read."""
    written = texts.dropna()
    return name + (f"; {len(written):,} can't be read, such as '{written.iloc[0]}'" if len(written) else "")


def slipped_dates(evidence: Evidence) -> Found:
    """Rows with dates more than a year after all others."""
    rows = evidence.beyond
    if rows.empty:
        return None
    stamps = rows[["created", "closed"]].max(axis=1)
    examples = tuple(f"{i} ({s.date()})" for i, s in zip(rows["id"].head(3), stamps.head(3), strict=True))
    action = "not used to tell where the data end; what comes after the as-of date is cut away"
    bias = "what these deals did by then is missing; if the dates are right, the data end later than is taken"
    share = len(rows) / max(1, len(evidence.deals))
    return Trouble("dates far in the future", len(rows), share, examples, action, bias), evidence


def repeated_ids(evidence: Evidence) -> Found:
    """Ids that stand in several rows."""
    ids = evidence.deals["id"]
    rows = ids.duplicated(keep="last") & (ids != "")
    if not rows.any():
        return None
    bias = "if the rows are a history of one deal, read the history instead of a flat export"
    return among(evidence, rows, "ids that come again", "the last row of each was kept", bias), evidence.without(rows)


def no_id(evidence: Evidence) -> Found:
    """Deals without an id."""
    rows = evidence.deals["id"] == ""
    if not rows.any():
        return None
    named = evidence.deals["id"].where(
        ~rows, "row " + pd.Series(evidence.deals.index + 2, evidence.deals.index).astype("str")
    )
    bias = "a deal that comes twice counts twice, and nothing in another table is known of these"
    trouble = among(evidence, rows, "deals without an id", "named after their row in the file", bias, "created")
    return trouble, evidence.changed(id=named)


def closed_without_date(evidence: Evidence) -> Found:
    """Won or lost deals with no closing date that can be read."""
    rows = evidence.is_("won", "lost") & evidence.deals["closed"].isna()
    if not rows.any():
        return None
    name = no_date_in_words("closed with no closing date", evidence.deals.loc[rows, "closed_text"])
    bias = "chances shift if such deals were won more or less often than others"
    return among(evidence, rows, name, "left out", bias), evidence.without(rows)


def closed_before_created(evidence: Evidence) -> Found:
    """Deals that closed before they were created."""
    rows = evidence.deals["closed"] < evidence.deals["created"]
    if not rows.any():
        return None
    bias = "deals entered after the fact have no true age; quick closings may be missing from the fit"
    return among(evidence, rows, "closed before created", "left out of the fit", bias), evidence.without(rows)


# --- values -----------------------------------------------------------------------------------------------------------


def _written(evidence: Evidence) -> pd.Series[float]:
    """The numbers in the values as written, whatever became of them: other checks tell why some count as unknown."""
    return read_numbers(evidence.deals["value_text"].astype("str"), money=True)[0]


def unreadable_values(evidence: Evidence) -> Found:
    """Values that are no number."""
    rows = evidence.deals["value_text"].notna() & evidence.deals["value"].isna() & _written(evidence).isna()
    if not rows.any():
        return None
    bias = "these deals count as worth what others are: bookings are off if they are larger or smaller"
    return among(evidence, rows, "values that are no number", "taken as unknown", bias, "value_text"), evidence


def negative_values(evidence: Evidence) -> Found:
    """Values below zero."""
    rows = evidence.deals["value"] < 0
    if not rows.any():
        return None
    mended = evidence.changed(value=evidence.deals["value"].where(~rows))
    bias = "credits and refunds are no deals: bookings are before them"
    return among(evidence, rows, "negative values", "taken as unknown", bias, "value"), mended


def lost_worth_nothing(evidence: Evidence) -> Found:
    """Lost deals with a value of 0, which is no value."""
    rows = evidence.is_("lost") & (evidence.deals["value"] == 0)
    if not rows.any():
        return None
    mended = evidence.changed(value=evidence.deals["value"].where(~rows))
    bias = "values are fitted from won deals alone; whether larger deals are lost more often can't be seen"
    return among(evidence, rows, "lost deals worth 0", "their value is taken as unknown", bias), mended


def won_worth_nothing(evidence: Evidence) -> Found:
    """Won deals with no value, or 0."""
    known = evidence.deals["value"].notna() & (evidence.deals["value"] != 0)
    rows = evidence.is_("won") & ~known & _written(evidence).fillna(0).eq(0)
    if not rows.any() or not known.any():
        return None
    mended = evidence.changed(value=evidence.deals["value"].where(~rows))
    bias = "bookings are too high if these deals were truly free"
    return among(evidence, rows, "won deals with no value", "taken as unknown, worth what other wins are", bias), mended


# --- open deals -------------------------------------------------------------------------------------------------------


def older_than_any_closed(evidence: Evidence) -> Found:
    """Open deals older than any deal was when it closed."""
    deals = evidence.deals
    longest = (deals["closed"] - deals["created"]).max()
    if pd.isna(longest):
        return None
    rows = evidence.is_("open") & (pd.Timestamp(evidence.as_of) - deals["created"] > longest)
    if not rows.any():
        return None
    name = f"open deals older than any closed one ({longest.days} days)"
    action = "kept: they show how many never close; the forecast gives them no chance of closing"
    return among(evidence, rows, name, action, "close them in the CRM if they are dead"), evidence


def expected_in_the_past(evidence: Evidence) -> Found:
    """Open deals whose expected close date has passed."""
    rows = evidence.is_("open") & (evidence.deals["expected"] <= pd.Timestamp(evidence.as_of))
    if not rows.any():
        return None
    action = "taken as open; sellers' close dates are not used"
    return among(evidence, rows, "open with a close date in the past", action, "some may be closed in truth"), evidence


# --- what is missing from the file ------------------------------------------------------------------------------------


def no_open_deals(evidence: Evidence) -> Found:
    """An export of closed deals alone."""
    deals = evidence.deals
    if evidence.is_("open").any() or len(deals) < 20:
        return None
    bias = "if open deals were left out of the export, times come out too short and new deals too few: export them too"
    return Trouble("no open deals", 0, 0.0, (), "taken as it is", bias), evidence


def only_one_outcome(evidence: Evidence) -> Found:
    """Closed deals that are all won, or all lost."""
    closed = evidence.deals.loc[evidence.is_("won", "lost"), "outcome"]
    if closed.nunique() != 1 or len(closed) < 10:
        return None
    only = closed.iloc[0]
    bias = f"the win rate means nothing if {'lost' if only == 'won' else 'won'} deals are deleted or left out"
    name = f"all closed deals are {only}"
    return Trouble(name, len(closed), len(closed) / len(evidence.deals), (), "taken as it is", bias), evidence


def nothing_new(evidence: Evidence) -> Found:
    """New deals that end some time before the data do, as where an export was chosen by date of creation."""
    created = evidence.deals.loc[~evidence.loaded, "created"].dropna().sort_values()
    if len(created) < _DRIED_UP:
        return None
    last = created.iloc[-1]
    gap = pd.Timestamp(evidence.as_of) + pd.Timedelta(days=1) - last
    over = max(min(_LATELY, last - created.iloc[0]) / pd.Timedelta(days=1), 1.0)
    a_day = float((created >= last - _LATELY).sum()) / over
    longest = max(created.diff().max(), pd.Timedelta(days=1))
    if gap < _LONG_GAP * longest or a_day * (gap / pd.Timedelta(days=1)) < _DRIED_UP:
        return None
    name = f"days without a new deal since {last.date()}, where {a_day:.3g} a day came before"
    bias = (
        "so many the fewer are forecast: if the export leaves out those created later, read it as of that day "
        f"(--as-of {last.date()})"
    )
    return Trouble(name, gap.days, 0.0, (), "taken as it is: new deals have become rarer", bias, "days"), evidence


def truncated(evidence: Evidence) -> Found:
    """Closings that begin only on some date, though there were deals before."""
    if evidence.complete:
        return None
    day = first_day(evidence)
    rows = evidence.deals["created"] < pd.Timestamp(day)
    if not rows.any():
        return None
    action = "such a deal counts from its age on that day on; new deals are counted from that day on"
    bias = f"deals that closed before {day} are missing from the file, so their number is not known"
    return among(evidence, rows, f"deals created before closings are seen ({day})", action, bias), evidence


def first_day(evidence: Evidence) -> date:
    """The first day whose closings are in the export: as it tells, else as its deals show."""
    return evidence.watched_from or first_watched(evidence.deals, evidence.as_of)


def first_watched(deals: pd.DataFrame, as_of: date) -> date:
    """The first day whose closings are in the export: the first closing if earlier ones must be hidden, else the start.

    Let m be the time within which a quarter of the closed deals closed, and s the share of deals, created since the
    first closing and followed for m, that closed within m. If n deals were already older than m at the first
    closing, then with nothing hidden about n s / (1 - s) of their like should have closed before; if over 4.6
    should (none seen: under 1%), closings were hidden.
    """
    start: date = deals["created"].min().date()
    closings = deals["closed"].dropna()
    if closings.empty:
        return start
    first = closings.min().normalize()
    fresh = deals[deals["created"] >= first]
    times = (fresh["closed"] - fresh["created"]).dropna()
    if times.empty:
        return start
    quick = max(times.quantile(0.25), pd.Timedelta(days=1))
    followed = fresh[fresh["created"] <= pd.Timestamp(as_of) + pd.Timedelta(days=1) - quick]
    if followed.empty:
        return start
    share = float(((followed["closed"] - followed["created"]) <= quick).mean())
    older = int((deals["created"] < first - quick).sum())
    hidden = older * share / (1 - share) if share < 1 else math.inf * (older > 0)
    return first.date() if hidden > _SURE else start


# --- columns ----------------------------------------------------------------------------------------------------------


def leaking_columns(evidence: Evidence) -> Found:
    """Columns that give the outcome away are no attributes."""
    found = leaks(evidence.deals, evidence.others)
    if not found:
        return None
    examples = tuple(f"{name} ({said})" for name, said in list(found.items())[:3])
    action = f"not used as attributes: {', '.join(found)}"
    bias = "they are set or cleared when a deal ends, so a forecast may not look at them"
    share = len(found) / len(evidence.others)
    trouble = Trouble("columns that give the outcome away", len(found), share, examples, action, bias, of="columns")
    return trouble, replace(evidence, others=tuple(name for name in evidence.others if name not in found))


def nearly_equal_names(evidence: Evidence) -> Found:
    """Spellings of one name: the same letters and digits, or one letter off in a long word and much rarer."""
    merged: dict[str, str] = {}
    changed: dict[str, pd.Series[Any]] = {}
    touched = pd.Series(False, index=evidence.deals.index)
    for name in ("owner", *evidence.others):
        counts = evidence.deals[name].str.strip().value_counts()
        if not 2 <= len(counts) <= _MOST_COMPARED:
            continue
        twins = spellings({str(k): int(v) for k, v in counts.items()}, typos=name != "owner")
        if twins:
            column = evidence.deals[name].str.strip()
            rows = column.isin(list(twins))
            touched |= rows
            changed[name] = column.map(lambda text, twins=twins: twins.get(text, text), na_action="ignore").astype(
                "str"
            )
            merged |= {f"{name}: {rare}": usual for rare, usual in twins.items()}
    if not merged:
        return None
    examples = tuple(f"{rare} -> {usual}" for rare, usual in list(merged.items())[:3])
    action = (
        f"taken for the more frequent spelling: {'; '.join(f'{rare} -> {usual}' for rare, usual in merged.items())}"
    )
    bias = "if they are different things, these count as one: their chances and values are mixed"
    trouble = Trouble("names that nearly match", int(touched.sum()), float(touched.mean()), examples, action, bias)
    return trouble, evidence.changed(**changed)


def spellings(counts: Mapping[str, int], *, typos: bool = True) -> dict[str, str]:
    """Rare spelling -> the frequent one that it stands for, from how often each is found.

    >>> spellings({"GTX Pro": 90, "GTXPro": 5, "technology": 40, "technolgy": 3, "Tier 1": 9, "Tier 2": 1})
    {'GTXPro': 'GTX Pro', 'technolgy': 'technology'}
    """
    by_count = sorted(counts, key=lambda name: (-counts[name], name))
    usual: dict[str, str] = {}
    found: dict[str, str] = {}
    for name in by_count:
        form = normal(name) or name
        near = usual.get(form) or next(
            (u for u in usual.values() if typos and counts[name] <= _TYPO_SHARE * counts[u] and _typo(name, u)), None
        )
        if near is None:
            usual[form] = name
        else:
            found[name] = near
    return found


def _typo(one: str, other: str) -> bool:
    """Whether two names differ by one slip in one word of six letters or more, after its first letter; digits never."""
    a, b = one.casefold().split(), other.casefold().split()
    if len(a) != len(b):
        return False
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
    if len(pairs) != 1:
        return False
    x, y = pairs[0]
    long = min(len(x), len(y)) >= _TYPO_LETTERS and x[0] == y[0]
    return long and not any(c.isdigit() for c in x + y) and _one_slip(x, y)


def _one_slip(x: str, y: str) -> bool:
    """Whether one letter left out, put in, changed or swapped with its neighbour turns x into y."""
    if abs(len(x) - len(y)) > 1:
        return False
    start = next((i for i, (p, q) in enumerate(zip(x, y, strict=False)) if p != q), min(len(x), len(y)))
    p, q = x[start:], y[start:]
    swapped = p[:2] == q[:2][::-1] and p[2:] == q[2:] and len(p) >= 2
    return p[1:] == q[1:] or p[1:] == q or p == q[1:] or swapped


CHECKS: tuple[Check, ...] = (
    no_creation_date,
    slipped_dates,
    repeated_ids,
    no_id,
    created_at_once,  # before deals are left out that closed before the day of an import
    closed_without_date,
    closed_before_created,
    unreadable_values,
    negative_values,
    lost_worth_nothing,
    won_worth_nothing,
    older_than_any_closed,
    expected_in_the_past,
    no_open_deals,
    only_one_outcome,
    nothing_new,
    truncated,
    leaking_columns,
    nearly_equal_names,
    *BRINGER_CHECKS,
    *VISIT_CHECKS,
)

__all__ = [
    "CHECKS",
    "Check",
    "Evidence",
    "QualityReport",
    "Trouble",
    "examine",
    "first_watched",
    "no_date_in_words",
    "spellings",
]
