"""Random scenarios for hypothesis: small, of every primitive, and never a circle that takes no time."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from simfunnel.expectation import expect
from simfunnel.scenario import Scenario, from_tree

STAGES = ("inquiry", "meeting", "quote", "buyer")
ENDS = ("lost", "gone")
START = "2026-03-05"  # a Thursday
DAYS = ("2026-03-05", "2026-03-06", "2026-03-08", "2026-03-10", "2026-03-30")

CALENDARS: tuple[Any, ...] = (
    "always",
    {"days": "Mon-Fri", "hours": "09:00-17:00"},
    {"days": "Mon-Sat", "hours": "08:30-12:00, 13:00-24:00", "holidays": ["2026-03-06", "2026-03-09"]},
    {"days": "Mon-Fri", "hours": "22:00-06:00", "holidays": ["2026-03-09"]},
)
HORIZONS = ("6 h", "1 day", "2.5 days", "10 days", "5 weeks")
SOME_TIME: tuple[Any, ...] = (
    "12 h",
    {"exponential": "2 days"},
    {"gamma": {"mean": "1 day", "cv": 0.5}},
    {"uniform": {"low": "6 h", "high": "3 days"}},
)
EFFORTS: tuple[Any, ...] = ("1 h", 0, {"exponential": "2 h"}, {"lognormal": {"mean": "5 h", "cv": 1}})


def pick(*choices: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(choices)


def maybe(key: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A map with this key, or an empty one."""
    return st.one_of(st.just({}), st.builds(lambda value: {key: value}, values))


@st.composite
def joined(draw: st.DrawFn, *parts: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """Several maps as one."""
    return {key: value for part in parts for key, value in draw(part).items()}


WHO = pick({}, {"segment": "small"}, {"source": "inbound"}, {"seats": "over 2"})

SOURCES = {
    "inbound": joined(
        st.builds(
            lambda rate: {"rate": rate},
            pick(
                "3 per day",
                "40 per week",
                "5 per working day",
                {"2026-03-06": "0.5 per day", "2026-03-09": "6 per day"},
            ),
        ),
        maybe("weekday", st.just({"Sat": "x0.2", "Sun": "x0"})),
        maybe("cost", pick("85 each", "2000 per month", 100)),
    ),
    "fair": st.builds(lambda at, size: {"at": at, "size": size}, pick(*DAYS), st.integers(0, 12)),
    "open": st.builds(
        lambda rows: {"deals": [{"id": f"D{k}", **row} for k, row in enumerate(rows)]},
        st.lists(
            joined(
                st.builds(lambda stage: {"stage": stage}, pick(*STAGES)),
                maybe("age", pick("1 day", "30 days")),
                maybe("value", st.just("5k")),
            ),
            max_size=4,
        ),
    ),
}

MEMBER = joined(
    maybe("skill", pick(1.5, 0.5)),
    pick({}, {"hired": "2026-03-01"}, {"hired": "2026-03-07"}, {"hired": "2026-03-07", "leaves": "2026-03-11"}),
    pick({}, {"leaves": "2026-03-09"}, {"leaves": "2026-03-12"}),
    maybe("ramp", pick("3 days")),
    maybe("calendar", pick(*CALENDARS)),
    maybe("only", WHO),
)
TEAM = joined(
    st.one_of(
        st.builds(lambda size: {"size": size}, st.integers(0, 3)),
        st.builds(lambda members: {"members": members}, st.lists(MEMBER, min_size=1, max_size=3)),
    ),
    maybe(
        "serves",
        pick("newest first", "highest value first", {"first": [{"segment": "small"}, {"source": "fair"}]}),
    ),
    maybe("ownership", st.just("owner")),
    maybe("selling_time", pick("50%")),
)


@st.composite
def stage(draw: st.DrawFn, s: int) -> dict[str, Any]:
    """The s-th stage: exits forward may take no time, exits back or to itself take some."""
    later = [*STAGES[s + 1 :], *ENDS]
    found: dict[str, Any] = {"exits": {}}
    forward = draw(st.lists(pick(*later), unique=True, max_size=2))
    backward = draw(st.lists(pick(*STAGES[: s + 1]), unique=True, max_size=1))
    for goal in [*forward, *backward]:
        times = SOME_TIME if goal in backward else (0, *SOME_TIME)
        found["exits"][goal] = {"chance": 1 / (len(forward) + len(backward)), "after": draw(pick(*times))}
        if goal in forward and draw(st.booleans()):
            found["exits"][goal]["set"] = {"segment": "large", "seats": 9}
    if draw(st.booleans()):
        found["work"] = draw(
            joined(
                st.builds(lambda team, effort: {"team": team, "effort": effort}, pick("one", "two"), pick(*EFFORTS)),
                maybe("touches", st.integers(2, 3)),
                maybe("every", pick("4 h", {"exponential": "1 day"})),
                maybe("patience", pick("3 h", {"exponential": "1 day"})),
                maybe("gives_up", pick(*later)),
                maybe("cost", st.just(2)),
            )
        )
    found |= draw(
        maybe("limit", st.builds(lambda after, to: {"after": after, "to": to}, pick(0, *SOME_TIME), pick(*later)))
    )
    found |= draw(maybe("route", st.builds(lambda when, to: [{"when": when, "to": to}], WHO, pick(*later))))
    found |= draw(maybe("cost_per_day", st.just(1)))
    return found


REFERS = joined(
    st.builds(
        lambda number, after: {"number": number, "after": after, "source": "referral"},
        pick(1, {"poisson": 0.5}),
        pick(*SOME_TIME),
    ),
    maybe("every", pick("3 days", {"exponential": "4 days"})),
    maybe("reward", st.just(50)),
)
DATES = pick({"weekday": "Sat, Sun"}, {"holiday": "yes"}, {"quarter_day": "last 40"}, {"date": "until 2026-03-06"})
LATE = st.one_of(DATES, WHO, st.just({"age": "over 2 days", "quarter_day": "last 40"}), st.just({"touches": "over 1"}))
EFFECT = st.one_of(
    st.builds(lambda when, factor: {"when": when, "time": factor}, WHO, pick("x0.5", "x2")),
    st.builds(lambda when, factor: {"when": when, "effort": factor, "patience": factor}, WHO, pick("x0.5", "x2")),
    st.builds(lambda when: {"when": when, "value": "x3"}, WHO),
    st.just({"arrivals": "x2", "fades": {"from": "2026-03-07", "half_life": "1 day"}}),
    st.builds(lambda when, factor: {"when": when, "pace": factor}, DATES, pick("x0", "x0.3", "x2")),
    st.builds(lambda when, factor: {"when": when, "hazard": factor}, LATE, pick("x0", "x0.3", "x1")),
)


STOCK = st.one_of(
    st.builds(lambda place: {"when": {f"in {place}": "over 1"}}, pick(*STAGES)),
    st.builds(lambda place, most: {"per": f"2 in {place}", "most": most}, pick(*STAGES), pick("x3")),
)


@st.composite
def by_stock(draw: st.DrawFn, stages: dict[str, Any]) -> list[dict[str, Any]]:
    """Effects that look at how many are somewhere, on arrivals, odds, time, value and referrals."""
    exits = [f"{name} -> {goal}" for name, stage in stages.items() for goal in stage["exits"]]
    bringing = [name for name, stage in stages.items() if {"refers", "sends"} & set(stage)]
    kinds = [st.just({"arrivals": "x1.5", "on": ["inbound", "doors"]}), st.just({"arrivals": "x2", "on": "fair"})]
    kinds += [st.just({"value": "x1.2"}), st.just({"time": "x1.3"})]
    kinds += [st.builds(lambda place: {"odds": "x1.4", "on": place}, pick(*exits))] if exits else []
    kinds += [st.just({"referrals": "x1.3", "on": bringing})] if bringing else []
    return draw(st.lists(st.builds(lambda on, stock: on | stock, st.one_of(kinds), STOCK), max_size=3))


@st.composite
def more(draw: st.DrawFn, tree: dict[str, Any]) -> dict[str, Any]:
    """A tree with what makes prospects depend on each other: visits, further deals, stocks; and touches of nobody."""
    effort = pick(*EFFORTS)
    tree["sources"] |= {
        "doors": draw(
            st.builds(
                lambda come, team, hours, finds: {**come, "worked": {"team": team, "effort": hours, "yields": finds}},
                pick({"rate": "4 per day"}, {"at": "2026-03-06", "size": 9}),
                pick("one", "two"),
                effort,
                pick("30%", 1, {"poisson": 0.5}),
            )
        ),
        "again": {"enters": draw(pick(*STAGES))},
    }
    sends = {"number": draw(pick(1, {"poisson": 0.5})), "after": draw(pick(*SOME_TIME)), "source": "again"}
    tree["stages"][draw(pick(*STAGES))]["sends"] = sends
    for stage in tree["stages"].values():
        if "work" not in stage and draw(st.booleans()):
            stage["work"] = {"touches": draw(st.integers(1, 3)), "every": draw(pick("6 h", "1 day")), "cost": 1}
    tree["effects"] += draw(by_stock(tree["stages"]))
    return tree


@st.composite
def trees(draw: st.DrawFn, *, everything: bool = False) -> dict[str, Any]:
    """A scenario as a tree; with `everything`, also what lets one's life depend on another's by more than work."""
    tree = draw(_plain_trees())
    return draw(more(tree)) if everything else tree


@st.composite
def _plain_trees(draw: st.DrawFn) -> dict[str, Any]:
    sources = {name: draw(source) for name, source in SOURCES.items()} | {"referral": {}}
    stages = {name: draw(stage(s)) for s, name in enumerate(STAGES)}
    stages["buyer"] |= {"books": "value", "term": "10 days", "cash": "20% of value", "cost": 1}
    if draw(st.booleans()):
        stages["buyer"]["refers"] = draw(REFERS)
    return {
        "name": "random",
        "start": START,
        "horizon": draw(pick(*HORIZONS)),
        "calendar": draw(pick(*CALENDARS)),
        "attributes": {"segment": {"small": "60%", "large": "40%"}, "seats": {"poisson": 2}},
        "sources": sources,
        "value": {"lognormal": {"median": 1000, "p90": 5000}},
        "teams": {"one": draw(TEAM), "two": draw(TEAM)},
        "stages": stages,
        "effects": draw(st.lists(EFFECT, max_size=2)),
    }


def scenarios(*, everything: bool = False) -> st.SearchStrategy[Scenario]:
    """Random scenarios, read and checked."""
    return trees(everything=everything).map(_tame)


def _tame(tree: dict[str, Any]) -> Scenario:
    """The scenario, without its referrals where each generation would be about as large as the one before."""
    scenario = from_tree(tree)
    if expect(scenario.spec).growth < 0.8:
        return scenario
    stages = {
        name: {k: v for k, v in stage.items() if k not in ("refers", "sends")} for name, stage in tree["stages"].items()
    }
    effects = [effect for effect in tree["effects"] if "referrals" not in effect]
    return from_tree(tree | {"stages": stages, "effects": effects})
