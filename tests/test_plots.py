"""Pictures: the tables behind them worked out by hand, and whether a reader can read what is drawn."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from simfunnel import plots
from simfunnel.errors import InputError
from simfunnel.kpis import METRICS
from simfunnel.periods import UNITS, periods
from simfunnel.plots import Pictures, backtests, extract, style, words
from simfunnel.results import Runs
from simfunnel.scenario import Scenario, from_tree

# --- runs made by hand ------------------------------------------------------------------------------------------------


def scenario(**parts: Any) -> Scenario:
    tree: dict[str, Any] = {
        "name": "By hand",
        "start": "2026-10-01",
        "horizon": "2 quarters",
        "currency": "EUR",
        "target": 100,
        "sources": {"web": {"rate": "1 per day"}},
        "teams": {"sales": {"size": 2}, "service": {"size": 1}},
        "stages": {
            "lead": {
                "work": {"team": "sales", "effort": "1 h", "patience": {"exponential": "1 day"}},
                "exits": {"won": {"chance": "50%"}, "lost": {}},
            },
            "won": {"books": 10},
        },
    }
    return from_tree({**tree, **parts})


def made(*replications: dict[str, list[float]], of: Scenario | None = None, value: float = 0.0, **tables: Any) -> Runs:
    """Runs in which each replication says a metric's values by month; each counts on the last day of its month.

    Where nothing is said, `value` holds in all periods.
    """
    of = of or scenario()
    spec = of.spec
    rows = []
    for number, said in enumerate(replications):
        for metric, unit in itertools.product(METRICS, (*UNITS, "all")):
            cut = periods(spec.start, 0.0, spec.days, unit, spec.fiscal_year_ends)
            values = np.full(len(cut), value)
            if metric in said:
                months = periods(spec.start, 0.0, spec.days, "month", spec.fiscal_year_ends)
                values = np.zeros(len(cut))
                np.add.at(values, cut.of(months.edges[1:] - 0.5), said[metric])
            rows += [(number, metric, unit, label, v) for label, v in zip(cut.labels, values, strict=True)]
    n = len(replications)
    funnel = pd.DataFrame(
        {
            "replication": np.repeat(range(n), 2),
            "stage": ["lead", "won"] * n,
            "entered": [10, 4] * n,
            "forward": [4, 0] * n,
            "lost": [3, 0] * n,
            "reneged": [2, 0] * n,
            "given_up": 0,
            "still_there": [2, 4] * n,
            "conversion": [0.4, 0.0] * n,
            "mean_days": [5.0, np.nan] * n,
            "mean_wait_hours": [12.0, np.nan] * n,
        }
    )
    queues = pd.DataFrame(
        {
            "replication": np.repeat(range(n), 2),
            "team": ["sales", "service"] * n,
            "utilisation": [0.8, 0.1] * n,
            "tasks": [10, 0] * n,
            "waited": [0.5, np.nan] * n,
            "mean_wait": [0.5, np.nan] * n,
            "queue_length": [1.0, 0.0] * n,
            "reneged": [0.2, np.nan] * n,
        }
    )
    parts: dict[str, Any] = {
        "scenario": of,
        "seed": 7,
        "replications": n,
        "kpis": pd.DataFrame(rows, columns=["replication", "metric", "unit", "period", "value"]),
        "grouped": None,
        "funnel": funnel,
        "queues": queues,
        "log": None,
        "deals": None,
        "events": 0,
    }
    return Runs(**(parts | tables))


@pytest.fixture(scope="module")
def runs() -> Runs:
    """Eleven replications; number k books k in each of six months."""
    return made(*({"bookings": [float(k)] * 6} for k in range(11)))


# --- the tables behind the pictures -----------------------------------------------------------------------------------


def test_fan_adds_up_month_by_month_and_begins_at_nothing(runs: Runs) -> None:
    table = extract.fan(runs, "bookings", cumulative=True, unit="month")
    assert list(table["period"]) == ["start", "2026-10", "2026-11", "2026-12", "2027-01", "2027-02", "2027-03"]
    assert list(table["0.5"]) == [0, 5, 10, 15, 20, 25, 30]
    assert list(table["0.1"]) == pytest.approx([0, 1, 2, 3, 4, 5, 6])
    assert list(table["0.9"]) == pytest.approx([0, 9, 18, 27, 36, 45, 54])
    assert list(table["at"].dt.strftime("%Y-%m-%d"))[:2] == ["2026-10-01", "2026-11-01"]
    assert table["at"].iloc[-1] == pd.Timestamp("2027-04-01")


def test_fan_by_period_leaves_out_periods_that_the_run_cuts_off(runs: Runs) -> None:
    weeks = extract.fan(runs, "bookings", cumulative=False, unit="week")
    assert not weeks["period"].str.contains("part").any()
    assert weeks["at"].iloc[0] == pd.Timestamp("2026-10-05") + pd.Timedelta(days=3.5)
    stock = extract.fan(runs, "open_deals", cumulative=False, unit="week")
    assert stock["period"].iloc[-1] == "2027-W13 (part)"
    assert stock["at"].iloc[-1] == pd.Timestamp("2027-04-01")


def test_fan_keeps_cut_off_periods_where_there_are_no_others() -> None:
    short = made({}, of=scenario(horizon="10 days"))
    assert list(extract.fan(short, "wins", cumulative=False, unit="month")["period"]) == ["2026-10 (part)"]


@pytest.mark.parametrize("metric", ["win_rate", "open_deals", "wait"])
def test_fan_refuses_to_add_up_what_is_no_sum(runs: Runs, metric: str) -> None:
    with pytest.raises(InputError, match=f"{metric} can't be added up"):
        extract.fan(runs, metric, cumulative=True, unit="week")


def test_targets_are_of_whole_quarters_and_add_up(runs: Runs) -> None:
    table = extract.targets(runs)
    assert list(table["period"]) == ["2026Q4", "2027Q1"]
    assert list(table["target"]) == [100, 100]
    assert list(table["in_all"]) == [100, 200]


def test_targets_are_not_added_up_across_a_quarter_that_is_cut_off() -> None:
    table = extract.targets(made({}, of=scenario(start="2026-11-15", horizon="8 months")))
    assert list(table["period"]) == ["2027Q1", "2027Q2"]
    assert list(table["target"]) == [100, 100]
    assert table["in_all"].isna().all()


def test_an_uncertain_target_is_drawn_at_its_middle() -> None:
    table = extract.targets(made({}, of=scenario(target="50 to 200")))
    assert list(table["target"]) == pytest.approx([100, 100])


def test_without_a_target_there_are_no_targets() -> None:
    assert extract.targets(made({}, of=scenario(target=None))).empty


def test_distribution_is_of_the_first_whole_quarter_with_the_chance_of_the_target(runs: Runs) -> None:
    found = extract.distribution(runs, "bookings")
    assert found.period == "2026Q4"
    assert found.quantiles == pytest.approx({0.1: 3, 0.25: 7.5, 0.5: 15, 0.75: 22.5, 0.9: 27})
    assert found.bars["share"].sum() == pytest.approx(1)
    assert (found.target, found.reached) == (100, 0)
    late = made(*({"bookings": [40.0 * k] * 3} for k in range(4)), of=scenario(start="2026-10-01", horizon="1 quarter"))
    assert extract.distribution(late, "bookings").reached == pytest.approx(3 / 4)  # 0, 120, 240, 360 against 100
    cut_off = made({}, of=scenario(start="2026-11-15", horizon="8 months"))
    assert extract.distribution(cut_off, "bookings").period == "2027Q1"


def test_distribution_of_any_period_has_a_target_only_for_bookings_of_a_quarter(runs: Runs) -> None:
    assert extract.distribution(runs, "bookings", "2026-11").quantiles[0.5] == 5
    assert extract.distribution(runs, "bookings", "all").quantiles[0.5] == 30
    assert extract.distribution(runs, "bookings", "2026-11").target is None
    assert extract.distribution(runs, "wins", "2026Q4").target is None
    with pytest.raises(InputError, match=r"'2026Q5' is no period.*Did you mean '2026Q4'"):
        extract.distribution(runs, "bookings", "2026Q5")


def test_values_that_are_not_there_are_left_out() -> None:
    found = extract.spread_of([np.nan, 1.0, 3.0, np.inf], "wait", "2026Q4")
    assert found.quantiles[0.5] == 2
    assert extract.spread_of([np.nan], "wait", "2026Q4").quantiles == {}


def test_bars_of_counts_hold_whole_numbers() -> None:
    bars = extract.histogram(np.array([3.0, 3, 4, 7]), whole=True)
    assert ((bars["low"] % 1) == 0.5).all()
    assert bars["share"].sum() == 1
    assert len(extract.histogram(np.array([5.0, 5.0]))) == 1
    assert len(extract.histogram(np.array([]))) == 0
    assert len(extract.histogram(np.r_[np.zeros(999), 1e6])) <= extract.MOST_BINS


def test_funnel_pools_shares_and_its_fates_add_up(runs: Runs) -> None:
    table = extract.funnel(runs).set_index("stage")
    lead = table.loc["lead"]
    assert lead[["entered", "forward", "back", "left", "still_there"]].tolist() == [10, 4, 1, 3, 2]
    assert (lead["conversion"], lead["tired"], lead["days"], lead["wait_hours"]) == (0.4, 0.2, 5.0, 12.0)
    assert np.isnan(table.loc["won", "conversion"])  # no way leads on from there
    assert np.isnan(table.loc["won", "tired"])  # nobody waits there


def test_funnel_weighs_replications_by_those_who_came() -> None:
    both = made({}, {})
    funnel = both.funnel.copy()
    funnel.loc[funnel.replication.eq(1) & funnel.stage.eq("lead"), ["entered", "forward", "reneged"]] = [90, 9, 0]
    lead = extract.funnel(dataclasses.replace(both, funnel=funnel)).set_index("stage").loc["lead"]
    assert lead["entered"] == 50
    assert lead["conversion"] == pytest.approx((4 + 9) / 100)
    assert lead["tired"] == pytest.approx(2 / 100)


def test_teams_table_has_waits_in_hours(runs: Runs) -> None:
    table = extract.teams(runs).set_index(["team", "figure"])["0.5"]
    assert table["sales", "utilisation"] == 0.8
    assert table["sales", "wait_hours"] == 12
    assert table["sales", "reneged"] == 0.2
    assert np.isnan(table["service", "wait_hours"])


def parts_of_a_forecast() -> pd.DataFrame:
    rows = []
    for number in range(3):
        rows += [(number, "2026Q4", "already won", 10.0), (number, "2026Q4", "open deals", 5.0 * number)]
        rows += [(number, "2027Q1", "open deals", 1.0)]
    rows.append((2, "2027Q1", "not yet created", 9.0))  # nothing of it in the other replications
    return pd.DataFrame(rows, columns=["replication", "period", "part", "value"])


def test_forecast_bars_are_means_that_add_up_and_quantiles_of_the_total() -> None:
    bars = extract.forecast_bars(parts_of_a_forecast()).set_index("period")
    assert bars.loc["2026Q4", ["already won", "open deals", "not yet created", "mean"]].tolist() == [10, 5, 0, 15]
    assert bars.loc["2027Q1", ["already won", "open deals", "not yet created", "mean"]].tolist() == [0, 1, 3, 4]
    assert bars.loc["2026Q4", ["0.1", "0.5", "0.9"]].tolist() == pytest.approx([11, 15, 19])
    assert bars.loc["2027Q1", "0.5"] == 1


# --- numbers and names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "labels"),
    [
        (500_000, ["0", "500k", "1.0M"]),
        (2_500_000, ["0.0", "2.5M", "5.0M"]),
        (0.2, ["0.0", "0.2", "0.4"]),
    ],
)
def test_neighbours_on_an_axis_have_different_labels(step: float, labels: list[str]) -> None:
    found = style.Labels("money").format_ticks([0, step, 2 * step])
    assert [x.lstrip("0.") or "0" for x in found] == [x.lstrip("0.") or "0" for x in labels]
    assert len(set(found)) == 3


def test_numbers_that_are_none_or_beyond_sense_stay_short() -> None:
    assert words.shown(float("nan"), "money", "EUR") == "–"
    assert len(words.shown(1e90, "money")) < 12
    assert words.signed(float("nan"), "share") == "–"


def test_a_label_never_falls_on_another_one() -> None:
    places = style.spread([0.0, 0.0, 0.0], 1.0)
    assert places == [-1.0, 0.0, 1.0]
    assert style.spread([5.0, 1.0], 1.0) == [5.0, 1.0]


# --- what is drawn ----------------------------------------------------------------------------------------------------


def drawn_texts(figure: Figure) -> list[tuple[str, Any]]:
    """Each text that shows, with its place in pixels."""
    with style.drawing():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        found: list[Text] = [*figure.texts, *(t for legend in figure.legends for t in legend.get_texts())]
        for ax in figure.axes:
            found += [*ax.texts, ax.title, ax._left_title, ax._right_title]
            for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
                low, high = sorted(axis.get_view_interval())
                found += [axis.label, *(t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high)]
        return [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in found if t.get_text().strip()]


def assert_readable(figure: Figure, *, slack: float = 2.0) -> None:
    """No text lies on another one or reaches beyond the picture."""
    width, height = figure.get_size_inches() * figure.dpi
    texts = drawn_texts(figure)
    assert texts
    for text, box in texts:
        inside = -slack <= box.x0 and box.x1 <= width + slack and -slack <= box.y0 and box.y1 <= height + slack
        assert inside, f"'{text}' leaves the picture: {box}"
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        apart = a.x1 <= b.x0 + slack or b.x1 <= a.x0 + slack or a.y1 <= b.y0 + slack or b.y1 <= a.y0 + slack
        assert apart, f"'{one}' lies on '{other}': {a}, {b}"


def all_pictures(runs: Runs) -> dict[str, Figure]:
    pictures = Pictures(runs)
    return {
        "fan": pictures.fan(),
        "distribution": pictures.distribution(),
        "funnel": pictures.funnel(),
        "teams": pictures.teams(),
        "win rate": pictures.fan("win_rate", unit="month"),
        "wait": pictures.distribution("wait"),
        "quarters": pictures.fan(cumulative=False, unit="quarter"),
    }


STAGES = [f"第{k}阶段 $客户_{k}$ <&> {'long ' * 9}end" for k in range(39)]
CROWDED = scenario(
    name="中国业务 مرحبا Ελλάδα \x0b",
    horizon="6 years",
    teams={f"销售团队 {k} {'x' * 40}": {"size": 1} for k in range(12)},
    stages={s: {"exits": {t: {}}} for s, t in itertools.pairwise([*STAGES, "客户"])} | {"客户": {"books": 1}},
)


def crowded() -> Runs:
    """Forty stages and twelve teams with long names in many scripts, over six years."""
    runs = made({}, {}, of=CROWDED, value=3e5)
    funnel = pd.DataFrame({"replication": np.repeat([0, 1], 40), "stage": [*STAGES, "客户"] * 2})
    numbers = dict.fromkeys(("entered", "forward", "lost", "reneged", "given_up", "still_there"), 12345)
    funnel = funnel.assign(**numbers, mean_days=123.4, mean_wait_hours=2345.6).assign(entered=3 * 12345)
    queues = pd.DataFrame({"replication": np.repeat([0, 1], 12), "team": list(CROWDED.spec.teams) * 2})
    queues = queues.assign(utilisation=1.0, tasks=5, waited=1.0, mean_wait=1e3, queue_length=9.0, reneged=1.0)
    return dataclasses.replace(runs, funnel=funnel, queues=queues)


AWKWARD = {
    "many": lambda: made(*({"bookings": [20.0 * k] * 6, "wins": [float(k)] * 6} for k in range(11))),
    "one replication": lambda: made({"bookings": [5.0] * 6}),
    "all zero": lambda: made({}, {}),
    "no values": lambda: made({}, {}, value=np.nan),
    "some values": lambda: made({"win_rate": [np.nan, 0.5, 0.2, np.nan, 0.1, 0.3]}, {"win_rate": [np.nan] * 6}),
    "negative": lambda: made({}, {}, value=-1e6),
    "enormous": lambda: made({}, {"bookings": [1e30] * 6}, value=1e90),
    "five days": lambda: made({}, {}, of=scenario(horizon="5 days"), value=2.0),
    "crowded": crowded,
    "no target": lambda: made({}, {}, of=scenario(target=None), value=2.0),
    "target out of reach": lambda: made(*({"bookings": [1.0 + k] * 6} for k in range(9)), of=scenario(target="5M")),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_no_text_lies_on_another_or_beyond_the_picture(name: str) -> None:
    for figure in all_pictures(AWKWARD[name]()).values():
        assert_readable(figure)


def test_pictures_say_what_is_seen(runs: Runs) -> None:
    said = {name: " ".join(text for text, _ in drawn_texts(figure)) for name, figure in all_pictures(runs).items()}
    assert "in 8 of 10 replications between 6 and 54 EUR" in said["fan"]
    assert "target 2026Q4: 100" in said["fan"]
    assert "target 2027Q1 so far: 200" in said["fan"]
    assert "P50 (middle) 15" in said["distribution"]
    assert "reached in none of the replications" in said["distribution"]
    assert "on average 10 came into lead, 4 into won" in said["funnel"]
    assert "busiest is sales, with 80% of its hours taken" in said["teams"]
    assert all("11 replications, seed 7 · By hand" in text for text in said.values())


def test_what_cannot_be_drawn_is_said_in_words() -> None:
    empty = made({}, value=np.nan)
    assert "There is no value in any period." in [t for t, _ in drawn_texts(empty.plot.fan())]
    assert "There is no value in this period." in [t for t, _ in drawn_texts(empty.plot.distribution())]
    idle = scenario(teams={}, stages={"lead": {"exits": {"won": {"chance": "50%"}, "lost": {}}}, "won": {"books": 10}})
    none = made({}, of=idle, queues=pd.DataFrame())
    assert "This scenario has no teams." in [t for t, _ in drawn_texts(none.plot.teams())]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.fan("booking"), "Did you mean 'bookings'"),
        (lambda p: p.fan(unit="weeks"), "Did you mean 'week'"),
        (lambda p: p.fan("win_rate", cumulative=True), "can't be added up"),
        (lambda p: p.distribution("win"), "Did you mean 'wins'"),
        (lambda p: p.distribution(period="2026Q9"), "is no period"),
    ],
)
def test_a_slip_is_told_with_what_was_meant(runs: Runs, call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(runs.plot)


def differences(strategies: list[str], metrics: list[str], quarters: list[str]) -> pd.DataFrame:
    rows = [
        (s, m, q, x, x - 2, x + 2, p)
        for k, (s, m, q) in enumerate(itertools.product(strategies, metrics, quarters))
        for x, p in [((3.0, 0.99), (-3.0, 0.004), (1.0, 0.7), (np.nan, np.nan))[k % 4]]
    ]
    return pd.DataFrame(rows, columns=["strategy", "metric", "period", "difference", "low", "high", "prob_better"])


@pytest.mark.parametrize(
    "table",
    [
        differences(["more closers", "faster answers"], ["bookings", "wins", "wait"], ["2026Q4"]),
        differences(["more closers"], ["bookings"], ["2026Q4", "2027Q1"]),
        differences([f"策略 {k} {'y' * 50}" for k in range(12)], list(METRICS)[::3], ["all"]),
        differences([f"design {k}" for k in range(200)], ["bookings"], ["all"]),
        differences(["same"], ["bookings"], ["all"]).assign(difference=0.0, low=0.0, high=0.0),
        differences([], [], []),
    ],
    ids=["usual", "quarters", "crowded", "200 designs", "no difference", "empty"],
)
def test_comparison_is_readable(table: pd.DataFrame) -> None:
    assert_readable(plots.comparison(table, currency="EUR", baseline="基线 " * 30, note="on the same luck"))


def test_comparison_colours_what_is_better_by_the_metric() -> None:
    from simfunnel.plots.many import _colour

    assert _colour(1, 5, better=1) == style.BLUE
    assert _colour(1, 5, better=-1) == style.ORANGE  # a longer wait
    assert _colour(-5, -1, better=-1) == style.BLUE
    assert _colour(-1, 5, better=1) == style.GREY
    assert _colour(1, 5, better=0) == style.GREY


@pytest.mark.parametrize(
    ("parts", "target"),
    [
        (parts_of_a_forecast(), 14.0),
        (parts_of_a_forecast().assign(value=0.0), None),
        (parts_of_a_forecast().assign(value=0.0), 3e6),
        (parts_of_a_forecast().query("replication == 0"), 14.0),
        (parts_of_a_forecast().assign(value=np.nan), 14.0),
        (parts_of_a_forecast().assign(part=lambda t: "部分 " + t.part + " x" * 40), 14.0),
        (parts_of_a_forecast().iloc[:0], None),
    ],
    ids=["usual", "zero", "zero and a target", "one replication", "no values", "names", "empty"],
)
def test_forecast_is_readable(parts: pd.DataFrame, target: float | None) -> None:
    assert_readable(plots.forecast(parts, target=target, currency="EUR", note="as of 2026-11-15"))


# --- files ------------------------------------------------------------------------------------------------------------


def test_saved_pictures_are_valid_and_the_same_again(tmp_path: Path, runs: Runs) -> None:
    first = plots.save(runs.plot.fan(), tmp_path / "a.b")
    assert [p.name for p in first] == ["a.b.png", "a.b.svg"]
    assert first[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert first[0].read_bytes()[16:24] == (1200).to_bytes(4) + (700).to_bytes(4)
    second = plots.save(runs.plot.fan(), tmp_path / "again")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_svg_with_any_name_is_well_formed_and_keeps_its_letters(tmp_path: Path) -> None:
    named = made({}, of=scenario(name="中国业务 $客户_0$ <&> \x0b"))
    _, svg = plots.save(named.plot.distribution(), tmp_path / "distribution")
    assert any("中国业务 $客户_0$ <&>" in (element.text or "") for element in ET.parse(svg).iter())


def test_drawing_leaves_the_users_own_settings_alone(runs: Runs) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    runs.plot.funnel()
    assert dict(mpl.rcParams) == before


def test_running_loads_no_library_of_pictures() -> None:
    code = "import sys, simfunnel.replicate, simfunnel.runs; print({'matplotlib', 'seaborn'} & set(sys.modules))"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_letters_that_no_font_has_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "_fonts", lambda: ["DejaVu Sans"])
    monkeypatch.setattr(style, "_missing", set())
    monkeypatch.setattr(style, "_told", set())
    with style.drawing():
        figure, _ = style.canvas("Pipeline", "all fonts have this")
    style.save(figure, tmp_path / "latin")
    assert style.boxes_in_words() == []
    with style.drawing():
        figure, _ = style.canvas("\u9500\u552e \uc601", "a note")
    png, svg = style.save(figure, tmp_path / "other")
    assert png.stat().st_size > 1000
    assert "\u9500\u552e" in svg.read_text(encoding="utf-8")
    chinese, korean = style.boxes_in_words()
    assert "2 Chinese or Japanese characters, such as '\u552e'" in chinese
    assert "Noto Sans CJK would show them" in chinese
    assert "1 Korean character, such as '\uc601'" in korean
    style.save(figure, tmp_path / "again")
    assert style.boxes_in_words() == []


def test_other_warnings_while_saving_are_passed_on() -> None:
    with pytest.warns(UserWarning, match="another matter"), style._noting_missing():
        warnings.warn("another matter", UserWarning, stacklevel=1)


@pytest.mark.parametrize("days", [12, 25, 60, 100, 200, 400, 1000])
@pytest.mark.parametrize("first", ["2011-11-20", "2012-02-10", "2026-10-01"])
def test_dates_along_an_axis_are_far_enough_apart_to_be_read(days: int, first: str) -> None:
    axes = Figure(figsize=(5, 3)).add_subplot()
    FigureCanvasAgg(axes.figure)
    axes.plot(pd.date_range(first, periods=2, freq=f"{days}D"), [0, 1])
    style.date_axis(axes)
    axes.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert len(boxes) >= 3
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize("high", [0.7, 1.0])
def test_single_deals_chances_are_shown_with_every_point_and_bar(high: float) -> None:
    rows = [("simulation", 0.1, 0.12, 0.18, 400), ("simulation", 0.4, 0.44, high, 9), ("run rate", 0.2, 0.25, 0.3, 50)]
    table = pd.DataFrame(rows, columns=["method", "said", "seen", "seen_high", "cases"])
    figure = backtests.reliability(table.assign(seen_low=0.05, window="this quarter"))
    for low, top in (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()):
        assert low == 0
        assert high <= top <= 1
