"""A history of deals as a scenario: every number with its interval, in a file that a person can read and edit."""

from __future__ import annotations

from calendar import month_name
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simfunnel.calendars import Calendar, public_holidays
from simfunnel.crm.importing import History
from simfunnel.errors import InputError
from simfunnel.fitting import writing
from simfunnel.fitting.arrivals import Arrivals, fit_arrivals, unseen_arrivals
from simfunnel.fitting.asked import as_asked, fit_share, share_words
from simfunnel.fitting.bringing import fit_bringing
from simfunnel.fitting.channels import fit_channels
from simfunnel.fitting.coming import Coming
from simfunnel.fitting.dependence import VALUE, Dependence, dependence_words, fit_dependence
from simfunnel.fitting.drift import Drift, fit_drift
from simfunnel.fitting.effort import Effort, fit_effort
from simfunnel.fitting.exits import Exits, fit_exits
from simfunnel.fitting.exposure import KINDS, exposure
from simfunnel.fitting.figures import Z95, Estimate, Floats, Row, as_row, factor_estimate, percent
from simfunnel.fitting.keeping import Hand, Laid, hand_of, marks_of
from simfunnel.fitting.pace import Pace
from simfunnel.fitting.phases import Phases, fit_days
from simfunnel.fitting.slowness import Slowness, fit_slowness, slowness_words
from simfunnel.fitting.values import OTHER, Values, fit_values
from simfunnel.fitting.visits import Visits, pooled, visits_of
from simfunnel.fitting.watching import daily_counts
from simfunnel.fitting.writing import STAYS, TEAM, WON, duration, goal_name
from simfunnel.formatting import counted
from simfunnel.scenario.documents import dump

SELLING_TIME = 0.35  # of a seller's hours; surveys find 22% to 46%
HOURS_A_WEEK = 40.0  # Mon-Fri 09:00-17:00
_BUSY, _MOST_BUSY = 0.8, 0.95  # share of selling time that new deals take: as a rule, and when as many come as may come
_OWNED = 0.5  # share of all deals whose owner must be known, for owners to be the team
_IN_HOURS = 0.98  # share of new deals in open hours from which on they come in those alone
_STILL_HERE = timedelta(days=90)  # an owner with no open deal and none created within this has left


@dataclass(frozen=True)
class Fitted:
    """A scenario fitted to a history.

    `tree` is the scenario as maps, lists, texts and numbers (see `simfunnel.scenario.from_tree`). `table` has a row
    for each fitted number: what (its place in the scenario), estimate, low, high (central 90%), unit, how, n.
    """

    tree: dict[str, Any] = field(repr=False)
    table: pd.DataFrame = field(repr=False)
    assumptions: tuple[str, ...]
    comments: dict[str, str] = field(repr=False)
    title: str = ""
    marks: tuple[str, ...] = field(default=(), repr=False)

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The scenario as YAML with comments on where its numbers come from; written to `path` if that is given."""
        lines = [self.title, "", "Assumed:", *(f"- {said}" for said in self.assumptions)]
        parts = [_comment(lines)]
        for key, value in self.tree.items():
            note = self.comments.get(key)
            parts.append(("\n" + _comment([note]) if note else "") + _section(key, value))
        parts.append("\n" + _comment([*self.marks]) if self.marks else "")
        text = "".join(parts)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


@dataclass(frozen=True)
class _Found:
    """All that was fitted."""

    visits: Visits
    exits: Exits
    pace: Pace
    phases: Phases
    drift: Drift
    dependences: tuple[Dependence, ...]
    slowness: Slowness
    coming: Coming
    values: Values | None
    share: Estimate | None
    members: list[str]
    shares: dict[str, dict[str, tuple[int, int]]]
    work: _Work | None
    effort: Effort | None
    words: tuple[str, ...]


@dataclass(frozen=True)
class _Work:
    """Hours of work assumed for each deal in a stage, so that sellers are so `busy`; and the days that they take."""

    stage: str
    busy: float
    hours: float
    days: float


def fit(
    history: History,
    *,
    busy: float | None = None,
    seed: int = 1,
    currency: str = "USD",
    country: str = "",
    fiscal_year_ends: int = 12,
    keep: Hand | Mapping[str, Any] | str | Path | None = None,
) -> Fitted:
    """Fit a scenario to a history of deals.

    Args:
        history: deals as known on a date (see `simfunnel.crm.read_crm`).
        busy: the share of their selling hours that the sellers are taken to be busy with new deals; sets the effort
            where no log of tasks tells it. Unless said, 80%, or less where as many deals as may come would else be more
            than they could carry: what is only assumed should not decide how many are won.
        seed: of the resampling behind the intervals.
        currency: of the values; an export doesn't say.
        country: whose public holidays are kept, such as US or DE-BY; none unless said.
        fiscal_year_ends: the month in which the fiscal year ends, 1 to 12; deals may follow its quarters.
        keep: parts of the scenario written by hand, such as {"teams": {"sellers": {"selling_time": "50%"}}}; or a file
            that holds such parts, or one that was fitted and then edited, of which what was changed by hand is taken.
            They win over what is fitted, and are marked in the file.

    Raises:
        InputError: no deals, `busy` is not between 0 and 1, the country is not known, there is no such month, or it
            can't be told from the file to keep what was written by hand.
    """
    if history.deals.empty:
        raise InputError("no deals")
    check_busy(busy)
    hand = hand_of(keep)
    _check_month(fiscal_year_ends, hand)
    years = range(history.deals["created"].min().year - 1, history.as_of.year + 3)
    found = _find(history, busy, seed, holidays_of(country, years), fiscal_year_ends)
    tree = _tree(history, found, currency, country)
    table = pd.DataFrame(_rows(found), columns=["what", "estimate", "low", "high", "unit", "how", "n"])
    said = (*found.words, *_assumptions(history, found, currency, country))
    laid = hand.over(tree)
    said += _kept_words(laid, keep)
    return Fitted(laid.tree, table, said, _marked(_comments(found), laid), _title(history), tuple(marks_of(tree, laid)))


def _find(history: History, busy: float | None, seed: int, holidays: frozenset[date], fiscal_year_ends: int) -> _Found:
    """Fit everything."""
    share = fit_share(history)
    history = as_asked(history, share)
    visits, words = pooled(visits_of(history))
    table = exposure(visits)
    pace, phases = fit_days(table, holidays, fiscal_year_ends, whole_days=visits.whole_days)
    drift = fit_drift(table, pace.of_exits(table) * phases.of_exits(table))
    bringing, said = fit_bringing(history)
    counts, weekday = daily_counts(history, bringing.brought if bringing else None)
    arrivals = _arrivals(history, counts, weekday, seed, holidays)
    channels = fit_channels(history, arrivals, bringing.brought if bringing else None)
    coming = Coming(arrivals, channels, bringing)
    growth = arrivals.rate.value / float(counts.mean()) if counts.any() else 1.0
    effort, told = fit_effort(history, visits, growth=growth, holidays=holidays, seed=seed)
    members = _members(history)
    bare = visits
    if effort is not None:  # who works is known, and times are those that their work and its queue leave
        members = sorted(one.name for team in effort.teams.values() for one in team.members)
        bare = effort.visits
        pace, phases = fit_days(exposure(bare), holidays, fiscal_year_ends, whole_days=bare.whole_days)
    exits = fit_exits(history, bare, pace, drift, phases=phases, seed=seed)
    dependences = fit_dependence(history, visits, table, members)
    deals = history.deals
    of_all = any(d.attribute == VALUE for d in dependences)
    values = fit_values(deals if of_all else deals[deals["outcome"] == "won"], history.attributes, of_all=of_all)
    slowness = fit_slowness(history, visits)
    return _Found(
        visits=visits,
        exits=exits,
        pace=pace,
        phases=phases,
        drift=drift,
        dependences=dependences,
        slowness=slowness,
        coming=coming,
        values=values,
        share=share,
        members=members,
        shares={name: _shares(history, name) for name in history.attributes},
        work=None if effort or history.loaded_on else _work(exits, coming.everyone, len(members), busy),
        effort=effort,
        words=(
            *said,
            *words,
            *told,
            *exits.assumptions,
            *pace.assumptions,
            *phases.assumptions,
            *drift.assumptions,
            *dependence_words(dependences),
            *slowness_words(slowness),
        ),
    )


def _arrivals(history: History, counts: Floats, first_weekday: int, seed: int, holidays: frozenset[date]) -> Arrivals:
    """The new deals that nobody brought; deals that were loaded at once tell nothing of how many come."""
    loaded = history.loaded_on
    if loaded and not counts.any():
        return unseen_arrivals(loaded)
    found = fit_arrivals(counts, first_weekday, seed=seed, first_day=history.observed_from, holidays=holidays)
    if not loaded:
        return found
    n = int(history.loaded.sum())
    said = f"new deals: {n:,} loaded at once ({loaded[0]} to {loaded[1]}) are not counted among them"
    return replace(found, assumptions=(said, *found.assumptions))


def _tree(history: History, found: _Found, currency: str, country: str) -> dict[str, Any]:
    """The scenario."""
    start = history.as_of + timedelta(days=1)
    holidays = {"holidays": country} if country else {}
    calendar, teams, works, delay = _workers(found, holidays)
    members = found.members
    effects = [
        *writing.pace_effects(found.exits, found.pace),
        *writing.phase_effects(found.exits, found.phases),
        *writing.odds_effects(found.dependences, alone=len(found.exits.stages) == 1, members=members),
        *writing.time_effects(found.exits, found.slowness),
        *found.coming.effects(found.pace.fiscal_year_ends),
        *writing.luck_effects(found.exits, found.drift, start),
    ]
    levels = {name: found.coming.attribute(history, name, counts) for name, counts in found.shares.items()}
    stages = writing.stages(found.exits, works, delay, found.share)
    return {
        "name": f"Fitted from {history.name}",
        "start": start.isoformat(),
        "horizon": "2 quarters",
        "currency": currency,
        "fiscal_year_ends": _fiscal_year(found),
        "calendar": calendar,
        **({"attributes": levels} if levels else {}),
        "sources": found.coming.sources(_first_stage(found.visits), start, _opened(history, found.effort)),
        "value": writing.value(found.values, found.shares),
        **({"teams": teams} if teams else {}),
        "stages": found.coming.with_referrals(stages),
        **({"effects": effects} if effects else {}),
    }


def _workers(
    found: _Found, holidays: dict[str, str]
) -> tuple[Any, dict[str, Any], dict[str, dict[str, Any]], dict[str, float]]:
    """The calendar, the teams, the work by stage, and the days that it takes off the times of stages."""
    effort, work = found.effort, found.work
    usual = writing.calendar(Calendar(), holidays)
    if effort is None:
        team = {"selling_time": percent(SELLING_TIME), "members": [{"name": name} for name in found.members]}
        works, delay = ({work.stage: writing.assumed_work(work.hours)}, {work.stage: work.days}) if work else ({}, {})
        return usual, {TEAM: team} if found.members else {}, works, delay
    common = effort.common
    calendar = usual if common is None else writing.calendar(common, holidays)
    works = {name: writing.work(one) for name, one in effort.stages.items()}
    return calendar, writing.teams(effort.teams, common, holidays), works, {}


# --- what follows from the rest ---------------------------------------------------------------------------------------


def check_busy(busy: float | None) -> None:
    """Raise InputError where the share of sellers' time that new deals take is none."""
    if busy is not None and not 0 < busy < 1:
        raise InputError(f"busy is a share between 0 and 1, not {busy:g}")


def holidays_of(country: str, years: Iterable[int]) -> frozenset[date]:
    """The country's public holidays in these years; none without one. Raises InputError where it is not known."""
    if not country:
        return frozenset()
    try:
        return public_holidays(country, tuple(years))
    except ValueError as error:
        raise InputError(f"country: {error}") from error


def _check_month(fiscal_year_ends: object, hand: Hand) -> None:
    """Raise InputError unless the fiscal year ends in a month, and one way says which."""
    if isinstance(fiscal_year_ends, bool) or not isinstance(fiscal_year_ends, int) or not 1 <= fiscal_year_ends <= 12:
        raise InputError(f"fiscal_year_ends is a month, 1 to 12, not {fiscal_year_ends}")
    if hand.has("fiscal_year_ends"):
        raise InputError("fiscal_year_ends can't be kept by hand: closings are fitted by its quarters; give it to fit")


def _fiscal_year(found: _Found) -> str:
    """The name of the month in which the fiscal year ends."""
    return month_name[found.pace.fiscal_year_ends]


def _members(history: History) -> list[str]:
    """Owners who hold an open deal or got a new one in the last 90 days, by name; none where most deals have none."""
    deals = history.deals
    recent = deals["created"] >= history.end - pd.Timedelta(_STILL_HERE)
    known = deals["owner"].notna() & (deals["owner"] != "")
    now = known & (recent | (deals["outcome"] == "open"))
    return sorted(str(name) for name in deals.loc[now, "owner"].unique()) if known.mean() >= _OWNED else []


def _first_stage(visits: Visits) -> str:
    """Where most deals begin."""
    first = np.unique(visits.deal, return_index=True)[1]
    return visits.stages[int(np.bincount(visits.stage[first], minlength=1).argmax())]


def _work(exits: Exits, arrivals: Arrivals, members: int, wanted: float | None) -> _Work | None:
    """Work that keeps the members so busy, in the stage where deals take longest; None where nobody is known."""
    if not members or arrivals.rate.value <= 0:
        return None
    stage = max(exits.stages, key=lambda name: max(t.mean for t in exits.stages[name].times.values()))
    alone = len(exits.stages) == 1
    per_week = 7 * (arrivals.rate.value if alone else exits.entries[stage])
    if per_week <= 0:
        return None
    busy = wanted or min(_BUSY, _MOST_BUSY * arrivals.rate.value / arrivals.rate.high)
    hours = busy * members * SELLING_TIME * HOURS_A_WEEK / per_week
    return _Work(stage, busy, hours, 7 * hours / (SELLING_TIME * HOURS_A_WEEK))


def _opened(history: History, effort: Effort | None) -> Calendar | None:
    """The calendar in whose open hours new deals come; None where they come at other times as well."""
    if effort is None or effort.common is None or history.whole_days:
        return None
    created = history.deals["created"]
    calendar = effort.common
    over = calendar.over_midnight
    day = (created - pd.Timedelta(hours=over)).dt.normalize()  # of the shift, which may end on the next
    hour = (created - day).dt.total_seconds() / 3600
    inside = sum((hour >= a) & (hour <= b) for a, b in calendar.hours) > 0
    return calendar if float((inside & day.dt.day_of_week.isin(calendar.days)).mean()) >= _IN_HOURS else None


def _shares(history: History, name: str) -> dict[str, tuple[int, int]]:
    """Level -> (new deals with it, new deals), among deals created since closings are seen; every level of any deal."""
    deals = history.deals
    fresh = deals.loc[deals["created"] >= pd.Timestamp(history.observed_from), name]
    counts = (fresh if len(fresh) else deals[name]).value_counts()
    every = counts.reindex(sorted(deals[name].unique()), fill_value=0)
    return {str(level): (int(n), int(counts.sum())) for level, n in every.items()}


# --- the table of all numbers -----------------------------------------------------------------------------------------


def _rows(found: _Found) -> list[Row]:
    rows = [*_exit_rows(found.exits), *_effect_rows(found), *found.coming.rows(), *_value_rows(found.values)]
    rows += [as_row(f"stages.{WON}.books", "share of value", found.share)] if found.share else []
    rows += [row for name, counts in found.shares.items() for row in _share_rows(name, counts)]
    if found.effort is not None:
        rows += _effort_rows(found.effort)
    if found.work is not None:
        sellers = "1 seller is" if len(found.members) == 1 else f"{len(found.members)} sellers are"
        how = f"assumed, so that {sellers} {found.work.busy:.0%} busy"
        rows.append((f"stages.{found.work.stage}.work.effort", found.work.hours, np.nan, np.nan, "h", how, 0))
    return rows


def _exit_rows(exits: Exits) -> Iterator[Row]:
    for stage, durations in exits.stages.items():
        at = f"stages.{stage}.exits"
        for end in durations.chances:
            yield as_row(f"{at}.{goal_name(end)}.chance", "share", durations.chances[end])
            yield as_row(f"{at}.{goal_name(end)}.after (median)", "days", durations.medians[end])
        yield as_row(f"{at}.{STAYS}.chance", "share", durations.never)


def _effect_rows(found: _Found) -> Iterator[Row]:
    kinds = [kind for kind in KINDS if writing.exit_names(found.exits, [kind])]
    for kind in kinds:
        for effect in found.pace.effects.get(kind, ()):
            yield as_row(f"effects.pace ({kind}, {writing.days_of(effect)})", "factor", effect.factor)
        for phase in found.phases.of.get(kind, ()):
            yield as_row(f"effects.hazard ({kind}, {phase.quarter_day}, {phase.age})", "factor", phase.factor)
    for one in found.dependences:
        for level, factor in one.levels.items():
            yield as_row(f"effects.odds ({one.stage}, {one.attribute} {level})", "factor", factor)
    for band, factor in found.slowness.items():
        yield as_row(f"effects.time (won, value {band})", "factor", factor)
    for effect in found.coming.arrivals.special:
        yield as_row(f"effects.arrivals ({writing.days_of(effect)})", "factor", effect.factor)
    source = "the weeks' exits against what the deals led one to expect, as the mean of the next quarter"
    for kind in kinds:
        if kind == "lost":
            continue
        course = found.drift.courses[kind]
        spread = factor_estimate(course.level, course.luck, source if course.weeks else "assumed", course.weeks)
        yield as_row(f"effects.luck ({kind}, all deals of a stage together)", "factor", spread)


def _value_rows(values: Values | None) -> Iterator[Row]:
    for kind, mean in values.means.items() if values else ():
        alone = values is not None and values.by is None
        yield as_row("value (mean)" if alone or kind == OTHER else f"value.{kind} (mean)", "amount", mean)


def _effort_rows(effort: Effort) -> Iterator[Row]:
    for stage, work in effort.stages.items():
        yield as_row(f"stages.{stage}.work.effort (mean)", "h", work.hours.mean)
    for name, team in effort.teams.items():
        yield as_row(f"teams.{name}.selling_time", "share", team.selling_time)
        yield as_row(f"teams.{name} (utilisation)", "share", team.utilisation)
        yield as_row(f"teams.{name} (mean wait)", "h", team.wait)


def _share_rows(name: str, counts: dict[str, tuple[int, int]]) -> Iterator[Row]:
    """Shares with Wilson's interval."""
    for level, (k, n) in counts.items():
        weight = Z95**2 / n
        middle = (k / n + weight / 2) / (1 + weight)
        half = Z95 / (1 + weight) * (k / n * (1 - k / n) / n + weight / (4 * n)) ** 0.5
        low, high = max(middle - half, 0.0), min(middle + half, 1.0)
        yield (f"attributes.{name}.{level}", k / n, low, high, "share", "share of new deals", n)


# --- words ------------------------------------------------------------------------------------------------------------


def _section(key: str, value: Any) -> str:
    """One top-level key as YAML; a lone scalar without the braces that the dumper puts around it."""
    text = dump({key: value})
    return text if isinstance(value, (dict, list)) else text.strip().removeprefix("{").removesuffix("}") + "\n"


def _comment(lines: list[str]) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for text in lines for line in text.splitlines() or [""])


def _kept_words(laid: Laid, keep: object) -> tuple[str, ...]:
    """What was written by hand, and what became of it."""
    if keep is None:
        return ()
    sections = laid.by_section
    said = f"written by hand, and kept: {', '.join(sections.values())}" if sections else "nothing was written by hand"
    lost = ", ".join(".".join(place) for place in laid.lost)
    return (said, f"written by hand, but what it changed is no longer there: {lost}") if lost else (said,)


def _marked(comments: dict[str, str], laid: Laid) -> dict[str, str]:
    """The comments, each section with a word on what was written by hand in it."""
    mine = {key: f"Written by hand: {places}." for key, places in laid.by_section.items()}
    return {key: "\n".join(d[key] for d in (comments, mine) if key in d) for key in {**comments, **mine}}


def _title(history: History) -> str:
    counts = history.deals["outcome"].value_counts()
    said = ", ".join(f"{int(counts.get(outcome, 0)):,} {outcome}" for outcome in ("won", "lost", "open"))
    return f"Fitted from {history.name} as of {history.as_of}: {counted(len(history.deals), 'deal')} ({said})."


def _assumptions(history: History, found: _Found, currency: str, country: str) -> tuple[str, ...]:
    """Everything that was taken for granted, in plain sentences."""
    said = [*history.assumptions, *found.coming.assumptions]
    if (history.deals["created"] < pd.Timestamp(history.observed_from)).any():
        said.append(
            f"closings are seen from {history.observed_from} on: deals created earlier count from their age on that "
            "day, and new deals are counted from that day on"
        )
    said += found.values.assumptions if found.values else ["no value of a won deal is known: every win counts as 1"]
    said += [share_words(found.share)] if found.share else []
    if found.members and found.work:
        work = found.work
        sellers = counted(len(found.members), "seller")
        said.append(
            f"effort can't be seen in an export: it is set so that deals in '{work.stage}' keep {sellers} "
            f"{work.busy:.0%} busy, at {SELLING_TIME:.0%} of {HOURS_A_WEEK:.0f} hours a week (--busy changes "
            f"it); times to close begin after that work, and are shortened by the {duration(work.days)} that it takes"
        )
    elif found.members and not found.effort:
        said.append(
            "effort is told neither by an export nor by a rate of new deals, so nobody's time limits the pipeline"
        )
    elif not found.effort:
        known = "no owners are known" if history.deals["owner"].isna().all() else "most deals have no known owner"
        said.append(f"{known}, so nobody's time limits the pipeline")
    if len(history.attributes) > 1:
        said.append("attributes are drawn independently of one another")
    kept = f"public holidays are those of {country}" if country else "no public holidays (--country adds them)"
    ends = f"the fiscal year ends in {_fiscal_year(found)} (--fiscal-year-ends changes it)"
    said.append(f"values are in {currency} (--currency changes it); {ends}; {kept}")
    return tuple(said)


def _comments(found: _Found) -> dict[str, str]:
    """A line on each section: where its numbers and intervals come from."""
    first = next(iter(found.exits.stages.values()))
    how = next(iter(first.chances.values())).how
    notes = {
        "attributes": "Shares among new deals.",
        "sources": "A to B is a central 90% interval: how well the recent level is known, how far it may wander, "
        "and bursts.\n"
        f"{found.coming.comment}Open deals are filled in by: simfunnel forecast --deals EXPORT",
        "stages": f"Chances: {how}; A to B is a central 90% interval.\n"
        f"'{STAYS}' is the share that never leaves. Times are quantiles of the days to each exit, at the pace of "
        "ordinary days.",
        "effects": "Pace: exits on such days over what the deals under watch led one to expect. Odds: against the "
        "whole, shrunk.\nThe last ones are luck that all deals of a stage share, drawn once for each replication.",
    }
    if found.phases.of:
        notes["stages"] += "\nChances and times are those without the effects on hazards below, so more end than will."
        notes["effects"] = (
            "Hazard: the share of the exits due on such days, at such ages, that take place; who misses one is as "
            f"others of that age.\n{notes['effects']}"
        )
    if found.values is not None:
        notes["value"] = f"Quantiles of the values of {found.values.means[OTHER].n:,} {found.values.of}."
    if found.effort is not None and found.effort.teams:
        notes["teams"] = "Who did tasks lately, in the days and hours in which they began and ended them."
        notes["stages"] += "\nWork: hours of the log's tasks. Times begin after it and leave out the wait for the next."
    elif found.members:
        notes["teams"] = "Owners of open or recent deals. Hours are assumed: see above."
    return notes
