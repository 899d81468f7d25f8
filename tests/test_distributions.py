"""Distributions as quantile tables, against scipy's own quantiles and sums done by hand."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simfunnel.distributions import TOO_SLOW, Distribution, Packer, QuantileTable, discrete, read_distribution
from simfunnel.numerics import Tables, quantile, quantile_beyond, survival
from simfunnel.units import Uncertain, read_duration, read_number

TAIL = np.geomspace(1e-6, 0.5, 4001)
GRID = np.concatenate([TAIL, 1 - TAIL[::-1]])  # every quantile from 1e-6 to 1 - 1e-6


def read(written: Any, **options: Any) -> Distribution:
    return read_distribution(written, read_number, **options)


def as_written(part: Any) -> str | None:
    """The name of a test's case; None where it is no distribution as people write it."""
    return str(part) if isinstance(part, dict) else None


def packed(one: Distribution | QuantileTable) -> Tables:
    packer = Packer()
    packer.add(one)
    return packer.pack()


def quantiles(tables: Tables, at: np.ndarray = GRID) -> np.ndarray:
    return np.array([quantile(tables, 0, u) for u in at])


def exact(frozen: Any, at: np.ndarray = GRID) -> np.ndarray:
    """True quantiles; the upper half by the survival function, for 1 - u loses digits."""
    return np.where(at <= 0.5, frozen.ppf(at), frozen.isf(1 - at))


# --- the error that the module states ---------------------------------------------------------------------------------


def test_exponential_is_never_off_by_more_than_a_hundred_thousandth() -> None:
    one = read({"exponential": 1})
    assert np.max(np.abs(quantiles(packed(one)) - exact(stats.expon()))) <= 1e-5
    assert abs(one.mean() - 1) <= 1e-5


FRIENDLY: list[tuple[Any, Any]] = [
    ({"exponential": 3}, stats.expon(scale=3)),
    ({"lognormal": {"mean": 30, "cv": 0.8}}, stats.lognorm(s=math.sqrt(math.log(1.64)), scale=30 / math.sqrt(1.64))),
    (
        {"lognormal": {"median": 12e3, "p90": 60e3}},
        stats.lognorm(s=math.log(5) / stats.norm.ppf(0.9), scale=12e3),
    ),
    ({"gamma": {"mean": 5, "cv": 0.9}}, stats.gamma(a=1 / 0.81, scale=5 * 0.81)),
    ({"gamma": {"mean": 60, "cv": 1}}, stats.expon(scale=60)),
    ({"gamma": {"mean": 60, "cv": 2}}, stats.gamma(a=0.25, scale=240)),
    ({"weibull": {"mean": 20, "c": 1.5}}, stats.weibull_min(c=1.5, scale=20 / math.gamma(1 + 1 / 1.5))),
    ({"loglogistic": {"median": 7, "c": 3}}, stats.fisk(c=3, scale=7)),
    ({"pareto": {"b": 2.5}}, stats.pareto(b=2.5)),
    ({"uniform": {"low": 3, "high": 5}}, stats.uniform(loc=3, scale=2)),
    ({"triangular": {"low": 1, "mode": 2, "high": 9}}, stats.triang(c=1 / 8, loc=1, scale=8)),
    ({"beta": {"a": 2, "b": 3}}, stats.beta(a=2, b=3)),
    ({"normal": {"mean": 100, "sd": 10}}, stats.norm(100, 10)),
]


@pytest.mark.parametrize(("written", "frozen"), FRIENDLY, ids=as_written)
def test_table_is_within_a_ten_thousandth_of_every_quantile(written: Any, frozen: Any) -> None:
    one = read(written)
    np.testing.assert_allclose(quantiles(packed(one)), exact(frozen), rtol=1e-4, atol=0)
    assert one.mean() == pytest.approx(frozen.mean(), rel=1e-5)


def test_normal_with_cv_has_the_sd_that_it_says() -> None:
    one = read({"normal": {"mean": 100, "cv": 0.1}})
    np.testing.assert_allclose(quantiles(packed(one)), exact(stats.norm(100, 10)), rtol=1e-5)


def test_t_on_the_line_has_place_and_spread() -> None:
    one = read({"student_t": {"df": 5, "median": -3, "p90": 0}})
    np.testing.assert_allclose(quantiles(packed(one), np.array([0.5, 0.9])), [-3, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("written", "frozen"),
    [
        ({"poisson": 0.4}, stats.poisson(0.4)),
        ({"poisson": {"mu": 250}}, stats.poisson(250)),
        ({"geometric": {"mean": 4}}, stats.geom(0.25)),
        ({"negative_binomial": {"mean": 3, "cv": 1}}, stats.nbinom(1.5, 1 / 3)),
        ({"binomial": {"n": 12, "p": 0.3}}, stats.binom(12, 0.3)),
        ({"randint": {"low": 1, "high": 7}}, stats.randint(1, 7)),
    ],
    ids=as_written,
)
def test_discrete_distribution_is_exact(written: Any, frozen: Any) -> None:
    """Also at the edges of its steps, where u is a cumulated chance itself, and beside them."""
    tables = packed(read(written))
    values = np.arange(frozen.ppf(1e-12), frozen.isf(1e-9) + 1)
    edges = frozen.cdf(values)
    inside = (edges > 1e-12) & (edges < 1 - 1e-9)
    np.testing.assert_array_equal(quantiles(tables, edges[inside]), values[inside])
    np.testing.assert_array_equal(quantiles(tables, np.nextafter(edges[inside], 1)), values[inside] + 1)
    np.testing.assert_array_equal(quantiles(tables), frozen.ppf(GRID))
    assert read(written).mean() == pytest.approx(frozen.mean(), rel=1e-9)


def test_steps_begin_and_end_where_the_uniform_does() -> None:
    tables = packed(read({"poisson": 0.4}))
    assert quantile(tables, 0, 2.0**-54) == 0
    assert quantile(tables, 0, 1 - 2.0**-53) == stats.poisson(0.4).isf(2.0**-53)


def test_data_are_drawn_as_they_are() -> None:
    tables = packed(read({"empirical": [3, 1, 2, 2]}))
    assert [quantile(tables, 0, u) for u in (0.1, 0.25, 0.26, 0.75, 0.76, 0.99)] == [1, 1, 2, 2, 3, 3]
    assert read({"empirical": [3, 1, 2, 2]}).mean() == 2.0


def test_quantiles_are_joined_by_lines() -> None:
    tables = packed(read({"quantiles": {"0%": 1, "50%": 9, "p90": 20, "100%": 60}}))
    np.testing.assert_allclose(
        quantiles(tables, np.array([0.25, 0.5, 0.7, 0.9, 0.95])), [5, 9, 14.5, 20, 40], rtol=2e-3
    )


def test_constant() -> None:
    tables = packed(read(5))
    assert [quantile(tables, 0, u) for u in (0.001, 0.5, 0.999)] == [5, 5, 5]
    assert (survival(tables, 0, 4.9), survival(tables, 0, 5.0)) == (1.0, 0.0)
    assert read(5) == read({"constant": 5})
    assert read(5).is_constant


def test_chances_of_values() -> None:
    tables = packed(discrete([2, 1, 1], [10, 20, 30]))
    assert [quantile(tables, 0, u) for u in (0.5, 0.51, 0.76)] == [10, 20, 30]


def test_draws_below_the_floor_are_raised_to_it() -> None:
    one = read({"normal": {"mean": 1, "sd": 1}}, floor=0.0)
    drawn = quantiles(packed(one))
    assert drawn.min() == 0.0
    assert one.mean() == pytest.approx(stats.norm.cdf(1) + stats.norm.pdf(1), rel=1e-5)  # E[max(0, X)]
    with pytest.raises(ValueError, match="more than half of its draws would be below 0"):
        read({"normal": {"mean": -1, "sd": 1}}, floor=0.0)


# --- survival and what lies beyond ------------------------------------------------------------------------------------

SMOOTH = [written for written, _ in FRIENDLY]


@pytest.mark.parametrize("written", SMOOTH, ids=as_written)
def test_survival_is_the_inverse_of_quantile(written: Any) -> None:
    tables = packed(read(written))
    for u in GRID[::50]:
        left = survival(tables, 0, quantile(tables, 0, u))
        assert left == pytest.approx(1 - u, rel=1e-8)
        assert 1 - left == pytest.approx(u, rel=1e-8)


@pytest.mark.parametrize(("written", "frozen"), FRIENDLY[:10:3], ids=as_written)
def test_survival_is_the_true_one(written: Any, frozen: Any) -> None:
    tables = packed(read(written))
    for x in exact(frozen)[::100]:
        assert survival(tables, 0, x) == pytest.approx(frozen.sf(x), rel=2e-4)


def test_survival_outside_the_range() -> None:
    tables = packed(read({"uniform": {"low": 3, "high": 5}}))
    assert [survival(tables, 0, x) for x in (-1, 3, 5, 6)] == [1, 1, 0, 0]


@pytest.mark.parametrize("written", [{"poisson": 2.5}, {"empirical": [1, 2, 2, 9]}], ids=as_written)
def test_survival_of_steps(written: Any) -> None:
    tables = packed(read(written))
    step = {"poisson": lambda x: stats.poisson(2.5).sf(x), "empirical": lambda x: np.mean(np.array([1, 2, 2, 9]) > x)}
    for x in (-1, 0, 0.5, 1, 1.99, 2, 3, 8.9, 9):
        assert survival(tables, 0, x) == pytest.approx(step[next(iter(written))](x), abs=1e-12)


@given(age=st.floats(0.001, 40), u=st.floats(1e-6, 1 - 1e-6))
def test_an_exponential_forgets_its_age(age: float, u: float) -> None:
    assert quantile_beyond(EXPONENTIAL, 0, age, u) == pytest.approx(age - 3 * math.log1p(-u), rel=1e-4)


EXPONENTIAL = packed(read_distribution({"exponential": 3}, read_number))
WEIBULL = packed(read_distribution({"weibull": {"mean": 20, "c": 1.5}}, read_number))


@given(age=st.floats(0, 90), u=st.floats(1e-6, 1 - 1e-6))
def test_the_rest_of_a_time_of_known_age(age: float, u: float) -> None:
    """Given T > age, the u-quantile t solves S(t) = S(age) (1 - u)."""
    frozen = FRIENDLY[6][1]
    assert quantile_beyond(WEIBULL, 0, age, u) == pytest.approx(
        frozen.isf(frozen.sf(age) * (1 - u)), rel=1e-4, abs=1e-6
    )


def test_the_rest_of_a_discrete_time() -> None:
    tables = packed(read({"empirical": [1, 2, 3, 4]}))
    assert [quantile_beyond(tables, 0, 2, u) for u in (0.1, 0.49, 0.51, 0.9)] == [3, 3, 4, 4]
    assert quantile_beyond(tables, 0, 4, 0.5) == 4  # nothing lies beyond


def test_nothing_lies_beyond_a_constant() -> None:
    tables = packed(read(5))
    assert quantile_beyond(tables, 0, 3, 0.5) == 5
    assert quantile_beyond(tables, 0, 7, 0.5) == 7


TABLES = {str(w): packed(read(w)) for w in [*SMOOTH, {"poisson": 2.5}, {"empirical": [1, 5, 5, 7]}, 3]}


@given(name=st.sampled_from(sorted(TABLES)), u=st.floats(2.0**-54, 1 - 2.0**-53), v=st.floats(2.0**-54, 1 - 2.0**-53))
def test_quantiles_rise(name: str, u: float, v: float) -> None:
    u, v = sorted((u, v))
    assert quantile(TABLES[name], 0, u) <= quantile(TABLES[name], 0, v)


@given(name=st.sampled_from(sorted(TABLES)), x=st.floats(-10, 1e6), y=st.floats(-10, 1e6), u=st.floats(1e-9, 1 - 1e-9))
def test_what_is_left_falls_and_what_lies_beyond_is_beyond(name: str, x: float, y: float, u: float) -> None:
    x, y = sorted((x, y))
    assert 0 <= survival(TABLES[name], 0, y) <= survival(TABLES[name], 0, x) <= 1
    assert quantile_beyond(TABLES[name], 0, x, u) >= x


# --- the same distribution in other words -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ways",
    [
        [{"exponential": 5}, {"exponential": {"mean": 5}}, {"expon": {"scale": 5}}, {"gamma": {"a": 1, "scale": 5}}],
        [{"exponential": {"median": 5 * math.log(2)}}, {"exponential": {"p90": 5 * math.log(10)}}, {"exponential": 5}],
        [
            {"lognormal": {"mean": 2, "cv": 0.5}},
            {"lognormal": {"mean": 2, "sd": 1}},
            {"lognormal": {"cv": 0.5, "sd": 1}},
            {"lognorm": {"s": math.sqrt(math.log(1.25)), "scale": 2 / math.sqrt(1.25)}},
            {"lognormal": {"median": 2 / math.sqrt(1.25), "cv": 0.5}},
            {"lognormal": {"median": 2 / math.sqrt(1.25), "mean": 2}},
        ],
        [{"gamma": {"mean": 5, "cv": 0.5}}, {"gamma": {"a": 4, "scale": 1.25}}, {"gamma": {"a": 4, "sd": 2.5}}],
        [{"gamma": {"mean": 6, "sd": 2.5, "loc": 1}}, {"gamma": {"a": 4, "scale": 1.25, "loc": 1}}],
        [{"gamma": {"mean": 6, "cv": 2.5 / 6, "loc": 1}}, {"gamma": {"a": 4, "scale": 1.25, "loc": 1}}],
        [{"weibull": {"c": 1.5, "scale": 3}}, {"weibull_min": {"c": 1.5, "scale": 3}}],
        [{"normal": {"mean": 5, "sd": 2}}, {"norm": {"loc": 5, "scale": 2}}, {"normal": {"loc": 5, "sd": 2}}],
        [{"uniform": {"low": 2, "high": 6}}, {"uniform": {"loc": 2, "scale": 4}}],
        [{"triangular": {"low": 2, "mode": 3, "high": 6}}, {"triang": {"c": 0.25, "loc": 2, "scale": 4}}],
        [{"poisson": 3}, {"poisson": {"mean": 3}}, {"poisson": {"mu": 3}}],
        [{"geometric": {"mean": 4}}, {"geom": {"p": 0.25}}],
        [{"loglogistic": {"median": 4, "c": 2}}, {"fisk": {"scale": 4, "c": 2}}],
    ],
    ids=lambda ways: str(ways[0]),
)
def test_ways_of_saying_it_agree(ways: list[Any]) -> None:
    first, *others = (quantiles(packed(read(way)), GRID[::40]) for way in ways)
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-9)


@pytest.mark.parametrize(
    ("written", "low", "high"),
    [({"weibull": {"median": 3, "p90": 10}}, 3, 10), ({"gamma": {"median": 3, "p90": 10}}, 3, 10)],
    ids=as_written,
)
def test_two_percentiles_are_met(written: Any, low: float, high: float) -> None:
    np.testing.assert_allclose(quantiles(packed(read(written)), np.array([0.5, 0.9])), [low, high], rtol=1e-5)


def test_units_are_read_where_figures_have_them() -> None:
    one = read_distribution({"lognormal": {"median": "12 h", "p90": "2 days"}}, read_duration)
    assert dict(one.params) == {"median": 0.5, "p90": 2.0}
    with pytest.raises(ValueError, match="has no unit"):
        read_distribution({"exponential": 3}, read_duration)


def test_figures_may_be_uncertain() -> None:
    one = read({"gamma": {"mean": "4 to 6", "cv": "0.8 to 1.2"}})
    assert dict(one.params)["cv"] == Uncertain(0.8, 1.2, "positive")
    assert one.mean() == pytest.approx(math.sqrt(24), rel=1e-5)
    assert one.settled().params == (("mean", math.sqrt(24)), ("cv", pytest.approx(math.sqrt(0.96))))


def test_uncertain_figures_must_be_possible_together() -> None:
    """Also beyond their central 90%: a median of 12 to 8 and a ninth decile from 12.5 cross once in sixty draws."""
    with pytest.raises(
        ValueError, match=r"its uncertain numbers may contradict each other \(median = .*say mean and cv"
    ):
        read({"lognormal": {"median": "8 to 12", "p90": "12.5 to 60"}})
    with pytest.raises(ValueError, match="may contradict each other"):
        read({"binomial": {"n": 10, "p": "0.7 to 0.9"}})  # p could exceed 1
    assert read({"lognormal": {"median": "10 to 14", "p90": "50 to 80"}}).mean() > 0


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"gama": {"mean": 5, "cv": 1}}, "Did you mean 'gamma'"),
        ({"gamma": {"mean": 5}}, "gamma: needs 2 figures"),
        ({"gamma": {}}, "gamma: a is missing"),
        ({"beta": {"mean": 5, "cv": 1}}, "beta: needs a, b, or 3 figures"),
        ({"gamma": {"mean": 5, "shape": 1}}, "'shape' is no parameter; allowed: a, loc, scale"),
        ({"gamma": {"mean": -5, "cv": 1}}, "mean must be above 0, not -5"),
        ({"gamma": {"mean": 5, "cv": 1, "loc": 6}}, "mean must be above 6, not 5"),
        ({"gamma": {"median": 5, "cv": 1, "loc": 1}}, "beside loc, say mean and sd"),
        ({"gamma": {"a": -1, "scale": 2}}, "no such distribution with a = -1"),
        ({"gamma": {"a": 1, "scale": 0}}, "its scale must be above 0"),
        ({"gamma": {"cv": 1, "scale": 2, "mean": 3}}, "needs 1 figure"),
        ({"lognormal": {"median": 10, "p90": 4}}, "no such distribution has median = 10, p90 = 4"),
        ({"normal": {"mean": 5}}, "needs 2 figures"),
        ({"normal": {"mean": 5, "median": 6}}, "do not fix it"),
        ({"normal": {"p10": 5, "p90": 3}}, "contradict each other"),
        ({"uniform": {"low": 5, "high": 3}}, "must rise from low to high"),
        ({"triangular": {"low": 1, "mode": 7, "high": 3}}, "must rise from low to high"),
        ({"poisson": -1}, "no such distribution"),
        ({"poisson": {"mu": 3, "scale": 2}}, "'scale' is no parameter"),
        ({"poisson": {}}, "mu is missing"),
        ({"geometric": {"mean": 0.5}}, "its mean is at least 1"),
        ({"negative_binomial": {"mean": 3, "cv": 0.1}}, "its variance must exceed its mean"),
        ({"binomial": {"n": 5.5, "p": 0.3}}, "no such distribution"),
        ({"zipf": {"a": 2}}, "spread too far to be listed"),
        ({"poisson": 1e20}, "spread too far to be listed"),
        ({"poisson_binom": {"p": 0.5}}, "can't be computed"),
        ({"empirical": []}, "empirical needs a list of values"),
        ({"empirical": ["1 to 2"]}, "values of data can't be uncertain"),
        ({"quantiles": {"0%": 1}}, "quantiles needs points"),
        ({"quantiles": {"5%": 1, "100%": 2}}, "begin at 0% and end at 100%"),
        ({"quantiles": {"0%": 1, "50%": 3, "100%": 2}}, "must not fall"),
        ({"quantiles": {"0%": 1, "150%": 3}}, "'150%' is no share"),
        ({"constant": {"mean": 3}}, "constant has one figure"),
        ({"gamma": 1, "beta": 2}, "a distribution has one name; found gamma, beta"),
        ({}, "a distribution has one name; found none"),
    ],
    ids=as_written,
)
def test_refused_with_words(written: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read(written)


# --- packing ----------------------------------------------------------------------------------------------------------


def test_equal_distributions_share_a_place() -> None:
    packer = Packer()
    numbers = [packer.add(read(w)) for w in ({"exponential": 5}, {"poisson": 2}, {"exponential": 5}, 7)]
    assert numbers == [0, 1, 0, 2]
    tables = packer.pack()
    assert [quantile(tables, d, 0.5) for d in range(3)] == pytest.approx([5 * math.log(2), 2, 7], rel=1e-5)
    assert len(Packer().pack()) == 0


# --- everything that scipy has ----------------------------------------------------------------------------------------

WITH_A_LIST = {"poisson_binom"}  # its parameter is a list of chances


def scipys_own_examples() -> list[Any]:
    from scipy.stats._distr_params import distcont, distdiscrete

    return [
        pytest.param(name, args, id=f"{name}{args}") for name, args in [*distcont, *distdiscrete] if type(name) is str
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "args"), scipys_own_examples())
@pytest.mark.filterwarnings("ignore")
def test_every_distribution_of_scipy_is_within_a_ten_thousandth(name: str, args: tuple[Any, ...]) -> None:
    """Against scipy's own quantiles, relative to their size or (near 0) to the distance between the quartiles."""
    family = getattr(stats, name)
    shapes = [shape.strip() for shape in (family.shapes or "").split(",") if shape.strip()]
    written = {name: dict(zip(shapes, args, strict=True))} if name not in WITH_A_LIST else {name: {"p": list(args[0])}}
    if name in TOO_SLOW or name in WITH_A_LIST:
        with pytest.raises(ValueError, match=r"takes scipy minutes|is no number"):
            read(written)
        return
    frozen = family(*args)
    at = GRID[:: len(GRID) // 80]
    with np.errstate(all="ignore"):
        true, between = exact(frozen, at), frozen.ppf(0.75) - frozen.ppf(0.25)
    error = np.abs(quantiles(packed(read(written)), at) - true) / np.maximum(np.abs(true), between or 1.0)
    assert np.max(error) <= (1e-4 if isinstance(family, stats.rv_continuous) else 1e-12)
