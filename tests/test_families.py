"""The usual families answer as scipy's do, to the last bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from simfunnel import families
from simfunnel.distributions import _FAR, read_distribution, table
from simfunnel.units import read_number

CASES = [(name, shape) for name in families.NAMES for shape in (0.013, 0.4, 1.0, 2.5, 17.0, 300.0)]
P = np.concatenate([np.geomspace(2.0**-54, 0.5, 400), 1 - np.geomspace(1e-9, 0.5, 100)])


def both(name: str, shape: float) -> tuple[families.Family, stats.rv_continuous, dict[str, float]]:
    ours = families.usual()[name]
    return ours, getattr(stats, name), {ours.shapes: shape} if ours.shapes else {}


def same(one: object, other: object) -> bool:
    return np.asarray(one, dtype=float).tobytes() == np.asarray(other, dtype=float).tobytes()


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_quantiles_and_moments_are_scipys(name: str, shape: float) -> None:
    ours, scipys, params = both(name, shape)
    place = {"loc": 3.0} | ({} if ours.is_discrete else {"scale": 0.7})
    one, other = ours(**params, **place), scipys(**params, **place)
    with np.errstate(all="ignore"):
        assert same(one.ppf(P), other.ppf(P))
        assert same(one.isf(P), other.isf(P))
    assert same(one.ppf(0.5), other.ppf(0.5))
    assert ours.shapes == scipys.shapes
    assert ours.a == scipys.a
    with np.errstate(all="ignore"):
        assert same(ours.mean(**params), scipys.mean(**params))
        assert same(ours.std(**params), scipys.std(**params)) or not math.isfinite(scipys.std(**params))
    assert one.support()[0] == other.support()[0]


@pytest.mark.parametrize("mu", [0.01, 0.4, 3.0, 80.0, 5000.0])
def test_poissons_chances_are_scipys(mu: float) -> None:
    one, other, values = families.usual()["poisson"](mu=mu), stats.poisson(mu=mu), np.arange(0, 6000)
    assert same(one.cdf(values), other.cdf(values))
    assert same(one.sf(values), other.sf(values))
    assert same(one.isf(np.array([2.0**-53, _FAR])), other.isf(np.array([2.0**-53, _FAR])))


def test_the_normals_chances_are_scipys() -> None:
    x = np.linspace(-9, 9, 1001)
    assert same(families.usual()["norm"](loc=1.5, scale=2.5).cdf(x), stats.norm(loc=1.5, scale=2.5).cdf(x))


@pytest.mark.parametrize("name", [name for name in families.NAMES if families.usual()[name].shapes])
def test_a_shape_that_cannot_be_has_no_quantiles(name: str) -> None:
    ours, scipys, params = both(name, -1.0)
    assert np.isnan(ours(**params).ppf(P)).all()
    assert np.isnan(scipys(**params).ppf(P)).all()
    assert math.isnan(ours.mean(**params))


@pytest.mark.parametrize(
    "said",
    [
        {"lognormal": {"median": 3, "p90": 20}},
        {"gamma": {"mean": 4, "cv": 0.9}},
        {"weibull": {"median": 2, "p90": 9}},
        {"weibull": {"mean": 2, "cv": 1.4}},
        {"normal": {"mean": 5, "sd": 2}},
        {"uniform": {"low": 2, "high": 9}},
        {"poisson": {"mean": 0.3}},
        {"exponential": {"mean": 8}},
    ],
)
def test_tables_are_those_of_scipys_families(said: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    distribution = read_distribution(said, read_number)
    ours = table(distribution)
    monkeypatch.setattr(families, "NAMES", ())
    table.cache_clear()
    from simfunnel import distributions

    distributions._frozen.cache_clear()
    try:
        theirs = table(distribution)
    finally:
        table.cache_clear()
        distributions._frozen.cache_clear()
    assert same(ours.data, theirs.data)
    assert (ours.kind, ours.size, ours.mean) == (theirs.kind, theirs.size, theirs.mean)


@given(st.floats(-5, 5), st.floats(0.1, 4), st.sampled_from([1, 3, 5]))
def test_the_root_is_the_one_that_scipy_finds(place: float, scale: float, power: int) -> None:
    def function(x: float) -> float:
        return math.sinh(scale * (x - place)) + (x - place) ** power

    found = families.root(function, -7.0, 9.0)
    assert found == optimize.brentq(function, -7.0, 9.0, xtol=1e-13, rtol=1e-13, maxiter=500)
