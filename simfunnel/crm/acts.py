"""Which activities of a log are stages of a case, which are work on it, and which end it.

Told by three things that a log shows: whether an activity takes time (work) or is a moment (a stage is entered, an end
reached), what its name says, and whether anything follows it. A name alone is no end: an offer that is cancelled to
make room for another is followed by that one. The last event of a case that has long been silent is no end either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.crm.maps import Map
from simfunnel.crm.names import end_named, normal, outcome_named
from simfunnel.errors import Fault, InputError, not_among

MOMENT = pd.Timedelta(minutes=1)  # what is noted so soon after an end was done in the same act
_FOLLOWED = 0.1  # an activity that a stage follows in more of its cases ends nothing
_PLAIN_FOLLOWED = 0.5  # the same for one whose name means nothing but an end
_DECIDED_LATER = 0.5  # one that another end follows later in most of its cases came before the decision
_FEWEST, _SILENT = 20, 0.95


@dataclass(frozen=True)
class Acts:
    """`ends` (activity -> won or lost), stages, work, the stages' order where the map says it, and what was assumed."""

    ends: Mapping[str, str]
    stages: tuple[str, ...]
    work: tuple[str, ...]
    order: tuple[str, ...] = ()
    said: tuple[str, ...] = field(default=())


def tell_acts(items: pd.DataFrame, said: Map, name: str) -> Acts:
    """Sort the activities of `items` (case, activity, start, end, at). Raises InputError where nothing tells an end."""
    counts = items["activity"].value_counts()
    every = sorted(counts.index, key=lambda act: (-counts[act], act))
    mapped = _mapped(every, said)
    moment = (items["start"].isna() | (items["start"] == items["end"])).groupby(items["activity"]).mean()
    work = {act for act in every if moment[act] < 0.5} | _work_by_name(every)
    work = {act for act in work if act not in mapped.stages} | mapped.work
    ends = dict(mapped.ends) or _ends(items, every, work - mapped.work, mapped.work)
    if not ends:
        raise InputError([Fault(_ask(every, counts), file=name)])
    stages = [act for act in every if act not in ends and act not in work]
    both = False
    if mapped.stages:
        stages = [act for act in every if act in mapped.stages]
        work |= set(every) - set(stages) - set(ends)
    elif len(stages) < 2:
        more = [act for act in every if act not in ends and act not in stages and act not in mapped.work]
        both, stages = bool(more), stages + more
    left = [act for act in every if act in work and (both or act not in ends)]
    words = [_in_words(ends, stages, left, counts, both=both, by_map=bool(mapped.ends))]
    words += _silent_ends(items, stages)
    return Acts(ends, tuple(stages), tuple(left), mapped.order, tuple(words))


@dataclass(frozen=True)
class _Mapped:
    ends: Mapping[str, str]
    stages: frozenset[str]
    work: frozenset[str]
    order: tuple[str, ...]


def _mapped(every: Collection[str], said: Map) -> _Mapped:
    """What the map says of the activities that there are."""
    by_name = {normal(act): act for act in every}
    order = tuple(by_name[normal(n)] for n in map(said.name_of, said.order) if normal(n) in by_name)
    work = frozenset(by_name[normal(n)] for n in map(said.name_of, said.work) if normal(n) in by_name)
    ends = {by_name[n]: end for n, end in said.ends.items() if n in by_name}
    return _Mapped(ends, frozenset(order), work, order)


def check_names(every: Collection[str], said: Map, name: str) -> None:
    """Refuse a map that names activities which the whole log has not. Raises InputError with all of them."""
    known = {normal(act) for act in every}
    strange = [n for n in (*said.ends, *map(normal, said.order), *map(normal, said.work)) if n not in known]
    if strange:
        faults = [f"stages: {not_among(n, 'activity of the log', sorted(every))}" for n in dict.fromkeys(strange)]
        raise InputError([Fault(fault, file=name) for fault in faults])


def _work_by_name(every: Collection[str]) -> set[str]:
    """`W_...` beside `A_...` or `O_...`: work items beside states of the application and the offer."""
    prefixes = {act[:2].upper() for act in every}
    if "W_" in prefixes and prefixes & {"A_", "O_"}:
        return {act for act in every if act[:2].upper() == "W_"}
    return set()


def _ends(items: pd.DataFrame, every: Collection[str], work: Collection[str], never: Collection[str]) -> dict[str, str]:
    """Activities whose names say an end, and that hardly any stage follows; worst first are they ruled out."""
    counts = items["activity"].value_counts()
    named = {act: end_named(act) for act in every if act not in never}
    ends = {act: end for act, end in named.items() if end != "open"}
    codes, _ = pd.factorize(items["case"])
    at = items["at"].to_numpy().astype("datetime64[us]").astype(np.int64)
    done = items["end"].fillna(items["at"]).to_numpy().astype("datetime64[us]").astype(np.int64)
    activity = items["activity"].to_numpy(dtype=object)
    n = int(codes.max()) + 1
    moment = int(MOMENT.total_seconds() * 1e6)
    finished = items["end"].notna().to_numpy()
    while ends:
        others = [act for act in every if act not in ends and act not in work]
        if not others:
            others = [act for act in every if act not in ends]
        follows = np.isin(activity, others)
        last = np.full(n, np.iinfo(np.int64).min)
        np.maximum.at(last, codes[follows], at[follows])
        shares = {}
        for act in ends:
            mine = (activity == act) & finished
            first = np.full(n, np.iinfo(np.int64).max)
            np.minimum.at(first, codes[mine], done[mine])
            has = first < np.iinfo(np.int64).max
            shares[act] = _share_after(last[has], first[has] + moment)
            other_end = np.isin(activity, [e for e in ends if e != act]) & finished
            later = np.full(n, np.iinfo(np.int64).min)
            np.maximum.at(later, codes[other_end], done[other_end])
            plain = outcome_named(act) != "open"  # `Closed Won` means nothing else, `Approved` may
            if plain:
                shares[act] *= _FOLLOWED / _PLAIN_FOLLOWED
            elif _share_after(later[has], first[has] + moment) > _DECIDED_LATER:
                shares[act] = 1.0
        worst = max(ends, key=lambda act: (shares[act], -counts[act], act))
        if shares[worst] <= _FOLLOWED:
            return ends
        del ends[worst]
    return {}


def _share_after(moments: Any, limits: Any) -> float:
    return float((moments > limits).mean()) if len(moments) else 0.0


def _ask(every: Collection[str], counts: pd.Series[int]) -> str:
    """What to say where nothing tells an end: the activities, and a map to fill in."""
    shown = "\n".join(f"  {act}: {counts[act]:,}" for act in list(every)[:40])
    more = f"\n  … and {len(every) - 40} more" if len(every) > 40 else ""
    first, last = next(iter(every)), list(every)[-1]
    return (
        f"no activity's name and place say that a case is won or lost. The activities, with how often each is found:\n"
        f"{shown}{more}\nSay which end a case in a file map.yaml and give it with --map map.yaml, for example:\n"
        f"  stages:\n    won: [{last}]\n    lost: [...]\n    order: [{first}, ...]   # the stages; all else is work"
    )


def _in_words(
    ends: Mapping[str, str],
    stages: Collection[str],
    work: Collection[str],
    counts: pd.Series[int],
    *,
    both: bool,
    by_map: bool,
) -> str:
    def listed(acts: Collection[str]) -> str:
        return ", ".join(f"'{act}' ({counts[act]:,})" for act in acts) or "none"

    won, lost = ([act for act, end in ends.items() if end == which] for which in ("won", "lost"))
    how = "as the map says" if by_map else "told by names that nothing follows; a map can say otherwise"
    said = f"activities ({how}): won {listed(won)}; lost {listed(lost)}; stages {listed(stages)}"
    if both:
        return f"{said}; these activities are both stages and work"
    return f"{said}; work {listed(work)}"


def _silent_ends(items: pd.DataFrame, stages: Collection[str]) -> list[str]:
    """Stages that hardly anything follows, though most of their cases have been silent for long."""
    ordered = items.sort_values(["case", "at"], kind="stable")
    same = ordered["case"] == ordered["case"].shift(-1)
    gaps = (ordered["at"].shift(-1) - ordered["at"])[same]
    if gaps.empty:
        return []
    long = gaps.quantile(0.99)
    now = ordered["at"].max()
    is_last = ~same & (now - ordered["at"] > long)
    shares = is_last.groupby(ordered["activity"]).agg(["mean", "size"])
    found = [
        s for s in stages if s in shares.index and shares.loc[s, "mean"] >= _SILENT and shares.loc[s, "size"] >= _FEWEST
    ]
    return [
        f"hardly anything follows {', '.join(repr(act) for act in found)}: if that ends a case, say so in the map; its "
        "cases are taken as open"
    ] if found else []  # fmt: skip


__all__ = ["MOMENT", "Acts", "check_names", "tell_acts"]
