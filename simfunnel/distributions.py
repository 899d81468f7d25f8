"""Distributions by name and by the figures that people have, compiled once into quantile tables.

Any continuous or discrete distribution of `scipy.stats` can be named (but for the few that scipy takes minutes to
compute), with scipy's own parameters or with figures such as `mean` and `cv`, or `median` and `p90`. A table is dense
in both tails (see `numerics`): linear between 128 nodes in each halving of u and of 1 - u. For an exponential of mean 1
no quantile is off by more than 1e-5, and the mean by 1e-5 too.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from simfunnel import families
from simfunnel.errors import nearest, within
from simfunnel.grid import CONSTANT, CONTINUOUS, DISCRETE, HALF, PER_OCTAVE
from simfunnel.units import Number, Uncertain, read_number

if TYPE_CHECKING:
    from simfunnel.numerics import Floats, Tables

Reader = Callable[[object], Number]

ALIASES = {
    "exponential": "expon",
    "lognormal": "lognorm",
    "weibull": "weibull_min",
    "normal": "norm",
    "triangular": "triang",
    "loglogistic": "fisk",
    "geometric": "geom",
    "negative_binomial": "nbinom",
    "binomial": "binom",
    "student_t": "t",
}
TOO_SLOW = ("dpareto_lognorm", "gausshyper", "genhyperbolic", "levy_stable", "norminvgauss", "studentized_range")
OWN = ("constant", "empirical", "quantiles")
_ENDS = {"uniform": ("low", "high"), "triang": ("low", "mode", "high")}
_HAVE_A_UNIT = re.compile(r"mean|sd|median|mode|low|high|loc|scale|value|p\d+(\.\d+)?")
_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)")
_MOST_VALUES = 100_000  # of a discrete distribution
_RARE = 1e-9  # the chance of an uncertain number beyond what is checked
_FAR = 2.0**-40  # of a tail: what scipy can't compute beyond is taken to be no further out
_DENSE_OCTAVES = 20  # beyond 1e-6 in a tail, every eighth node is computed and the rest drawn between


@dataclass(frozen=True)
class Distribution:
    """A distribution as it was written: its name, its parameters by name, or the values of data.

    For `quantiles`, `params` holds a pair (share as text, value) for each point; for `empirical`, `values` the data.
    """

    name: str
    params: tuple[tuple[str, Number], ...] = ()
    values: tuple[float, ...] = ()
    floor: float = -math.inf

    @classmethod
    def constant(cls, value: Number) -> Distribution:
        """The distribution that is always `value`."""
        return cls("constant", (("value", value),))

    @property
    def is_constant(self) -> bool:
        """Whether every draw is the same."""
        return self.name == "constant"

    def mean(self) -> float:
        """The mean of the compiled table, uncertain numbers at their median."""
        return table(self.settled()).mean

    def is_whole(self) -> bool:
        """Whether every draw is a whole number."""
        compiled = table(self.settled())
        return compiled.kind != CONTINUOUS and bool(np.all(compiled.data[-compiled.size :] % 1 == 0))

    def settled(self) -> Distribution:
        """The same with every uncertain number at its median."""
        params = tuple((k, v.middle if isinstance(v, Uncertain) else v) for k, v in self.params)
        return replace(self, params=params)


def read_distribution(value: object, read: Reader, *, floor: float = -math.inf) -> Distribution:
    """Read a distribution: a plain quantity (constant) or `{name: parameters}`.

    `read` reads one quantity with its unit; draws below `floor` are raised to it. Raises ValueError with words for the
    user.
    """
    if isinstance(value, Distribution):
        return value
    if not isinstance(value, Mapping):
        return _checked(Distribution("constant", (("value", read(value)),), (), floor))
    if len(value) != 1:
        raise ValueError(f"a distribution has one name; found {', '.join(map(str, value)) or 'none'}")
    name, params = next(iter(value.items()))
    with within(str(name)):
        return _checked(_named(str(name), params, read, floor))


def _named(name: str, params: object, read: Reader, floor: float) -> Distribution:
    """A distribution from its name and what stands behind the name."""
    if not is_known(name):
        friendly = [*OWN, *ALIASES, "gamma", "uniform", "poisson"]
        meant = nearest(name, [*friendly, *_scipy_names()])
        hint = f". Did you mean '{meant}'?" if meant else ""
        raise ValueError(f"'{name}' is no distribution; allowed: {', '.join(friendly)}, or any of scipy.stats{hint}")
    if name in TOO_SLOW:
        raise ValueError(f"{name} takes scipy minutes to tabulate; give quantiles or empirical data of it instead")
    if name == "empirical":
        if not isinstance(params, (list, tuple)) or not params:
            raise ValueError("empirical needs a list of values, or {file: ..., column: ...}")
        return Distribution(name, (), tuple(sorted(_read_items(params, read))), floor)
    if name == "quantiles":
        return Distribution(name, _read_points(params, read), (), floor)
    if not isinstance(params, Mapping):
        return Distribution(name, (("value" if name == "constant" else "mean", read(params)),), (), floor)
    if name == "constant" and set(params) != {"value"}:
        raise ValueError("constant has one figure: write for example {constant: 5 days}, or just 5 days")
    return Distribution(name, tuple((str(k), _read_figure(str(k), v, read)) for k, v in params.items()), (), floor)


def is_known(name: str) -> bool:
    """Whether this is the name of a distribution."""
    return name in OWN or name in ALIASES or name in families.NAMES or name in _scipy_names()


def _read_figure(key: str, value: object, read: Reader) -> Number:
    """One figure: a quantity with its unit, or a plain number such as a cv or a shape."""
    with within(key):
        return read(value) if _HAVE_A_UNIT.fullmatch(key) else read_number(value)


def _read_items(values: Iterable[object], read: Reader) -> Iterator[float]:
    for k, value in enumerate(values):
        with within(k):
            yield _certain(read(value))


def _certain(value: Number) -> float:
    if isinstance(value, Uncertain):
        raise ValueError("values of data can't be uncertain")
    return value


def _read_points(points: object, read: Reader) -> tuple[tuple[str, Number], ...]:
    """The points of `quantiles: {0%: ..., 50%: ..., 100%: ...}`, checked to rise."""
    if not isinstance(points, Mapping) or len(points) < 2:
        raise ValueError("quantiles needs points such as {0%: 1 day, 50%: 9 days, 100%: 60 days}")
    pairs = []
    for share, value in points.items():
        found = re.fullmatch(r"p?(\d+(?:\.\d+)?)%?", str(share))
        if not found or not 0 <= float(found[1]) <= 100:
            raise ValueError(f"quantiles: '{share}' is no share between 0% and 100%")
        with within(str(share)):
            pairs.append((float(found[1]) / 100, _certain(read(value))))
    pairs.sort()
    if pairs[0][0] != 0 or pairs[-1][0] != 1:
        raise ValueError("quantiles must begin at 0% and end at 100%")
    if any(b[1] < a[1] for a, b in itertools.pairwise(pairs)):
        raise ValueError("quantiles must not fall as the share rises")
    return tuple((repr(p), v) for p, v in pairs)


def _checked(distribution: Distribution) -> Distribution:
    """The same, having seen that it can be compiled, wherever its uncertain numbers may come to lie."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            table(distribution.settled())
            _check_corners(distribution)
    except (ArithmeticError, IndexError, RuntimeError, TypeError) as error:  # scipy's own, of odd figures
        raise ValueError(f"{distribution.name}: can't be computed ({error})") from None
    return distribution


def _check_corners(distribution: Distribution) -> None:
    """See that uncertain numbers can't contradict each other: each far out on either side, in every combination."""
    if distribution.name in OWN or not any(isinstance(v, Uncertain) for _, v in distribution.params):
        return
    ends = [(v.at(_RARE), v.at(1 - _RARE)) if isinstance(v, Uncertain) else (v,) for _, v in distribution.params]
    names = [k for k, _ in distribution.params]
    for values in itertools.product(*ends):
        try:
            _frozen(replace(distribution, params=tuple(zip(names, values, strict=True))))
        except ValueError:
            figures = ", ".join(f"{k} = {v:.3g}" for k, v in zip(names, values, strict=True))
            hint = "narrow them, or say mean and cv, which always go together"
            raise ValueError(
                f"{distribution.name}: its uncertain numbers may contradict each other ({figures}); {hint}"
            ) from None


@lru_cache(maxsize=1)
def _scipy_names() -> tuple[str, ...]:
    from scipy import stats

    kinds = (stats.rv_continuous, stats.rv_discrete)
    return tuple(sorted(n for n in dir(stats) if isinstance(getattr(stats, n), kinds)))


# --- from figures to scipy's parameters -------------------------------------------------------------------------------


def _family(name: str) -> Any:
    if name in families.NAMES:
        return families.usual()[name]
    from scipy import stats

    return getattr(stats, name)


def _is_discrete(family: Any) -> bool:
    return family.is_discrete if isinstance(family, families.Family) else hasattr(family, "pmf")


@lru_cache(maxsize=4096)
def _frozen(distribution: Distribution) -> Any:
    """The frozen distribution with these figures, scipy's or as scipy has it."""
    name = ALIASES.get(distribution.name, distribution.name)
    family = _family(name)
    figures = {k: float(v) for k, v in distribution.params}  # type: ignore[arg-type]
    if name in _ENDS and set(figures) == set(_ENDS[name]):
        figures = _from_ends(figures, distribution.name)
    shapes = [s.strip() for s in (family.shapes or "").split(",") if s.strip()]
    given = {k: v for k, v in figures.items() if k in (*shapes, "loc", "scale")}
    said = {k: v for k, v in figures.items() if k not in given}
    is_discrete = _is_discrete(family)
    unknown = [k for k in figures if k not in given and not _is_statistic(k)]
    if unknown or (is_discrete and "scale" in given):
        own = [*shapes, "loc", *([] if is_discrete else ["scale"]), *_ENDS.get(name, ())]
        raise ValueError(
            f"{distribution.name}: '{[*unknown, 'scale'][0]}' is no parameter; allowed: {', '.join(own)}, "
            "or figures: mean, sd, cv, median, p10, p90, …"
        )
    if given.get("scale", 1.0) <= 0:
        raise ValueError(f"{distribution.name}: its scale must be above 0, not {given['scale']:g}")
    if is_discrete:
        params = _solve_discrete(distribution.name, shapes, given, said)
    else:
        params = _solve(family, shapes, given, said, distribution.name)
    frozen = family(**params)
    if not np.isfinite(frozen.support()[0]) and distribution.floor > -math.inf and frozen.cdf(distribution.floor) > 0.5:
        raise ValueError(f"{distribution.name}: more than half of its draws would be below {distribution.floor:g}")
    if np.isnan(frozen.ppf(0.5)):
        shown = ", ".join(f"{k} = {v:g}" for k, v in figures.items())
        raise ValueError(f"{distribution.name}: no such distribution with {shown}")
    return frozen


def _from_ends(figures: dict[str, float], shown: str) -> dict[str, float]:
    """The parameters of a uniform or triangular distribution between two ends."""
    low, high, mode = figures["low"], figures["high"], figures.get("mode")
    if not low < high or (mode is not None and not low <= mode <= high):
        raise ValueError(f"{shown}: {', '.join(f'{k} = {v:g}' for k, v in figures.items())} must rise from low to high")
    return {"loc": low, "scale": high - low} | ({} if mode is None else {"c": (mode - low) / (high - low)})


def _is_statistic(name: str) -> bool:
    found = _PERCENTILE.fullmatch(name)
    return name in ("mean", "sd", "cv", "median") or bool(found and 0 < float(found[1]) < 100)


def _solve_discrete(shown: str, shapes: list[str], given: dict[str, float], said: dict[str, float]) -> dict[str, float]:
    """Parameters of a discrete distribution, which scipy gives no scale, from its mean (and cv)."""
    if not said:
        _none_missing(shown, shapes, given)
        return given
    match ALIASES.get(shown, shown), sorted(said), sorted(given):
        case "poisson", ["mean"], []:
            return {"mu": said["mean"]}
        case "geom", ["mean"], []:
            if said["mean"] < 1:
                raise ValueError(f"{shown}: its mean is at least 1, not {said['mean']:g}")
            return {"p": 1 / said["mean"]}
        case "nbinom", ["cv", "mean"], []:
            spread = (said["cv"] * said["mean"]) ** 2 - said["mean"]
            if spread <= 0:
                raise ValueError(f"{shown}: its variance must exceed its mean; use poisson")
            size = said["mean"] ** 2 / spread
            return {"n": size, "p": size / (size + said["mean"])}
    raise ValueError(f"{shown}: give its own parameters ({', '.join(shapes)}), not {', '.join(said)}")


def _none_missing(shown: str, shapes: list[str], given: dict[str, float]) -> None:
    missing = [s for s in shapes if s not in given]
    if missing:
        verb, it = ("is", "it") if len(missing) == 1 else ("are", "them")
        hint = f"give {it}, or figures such as mean and cv, or median and p90"
        raise ValueError(f"{shown}: {' and '.join(missing)} {verb} missing; {hint}")


def _statistic(family: Any, shape: dict[str, float], name: str) -> float:
    """One figure of the standard member (loc 0, scale 1) of a family."""
    if name == "mean":
        return float(family.mean(**shape))
    if name == "sd":
        return float(family.std(**shape))
    if name == "cv":
        return float(family.std(**shape) / family.mean(**shape))
    return float(family.ppf(0.5 if name == "median" else float(name[1:]) / 100, **shape))


def _solve(
    family: Any, shapes: list[str], given: dict[str, float], said: dict[str, float], shown: str
) -> dict[str, float]:
    """Parameters of a continuous distribution that have the said figures.

    Unknown are the shapes that were not given, the scale, and the place (loc) of a family on the whole line; there must
    be as many figures as unknowns, and at most one unknown shape.
    """
    if not said:
        _none_missing(shown, shapes, given)
        return given
    free = [s for s in shapes if s not in given]
    on_the_line = not math.isfinite(family.a) and not free and "loc" not in given
    wanted = len(free) + ("scale" not in given) + on_the_line
    if len(said) != wanted or len(free) > 1:
        needs = f"{', '.join(free)}, or " if len(free) > 1 else ""
        figures = f"{wanted} figure{'s' * (wanted != 1)} of mean, sd, cv, median, p10, p90, …"
        raise ValueError(f"{shown}: needs {needs}{figures}; found {', '.join(said)}")
    shape = {s: given[s] for s in shapes if s in given}
    if on_the_line:
        return given | _solve_line(family, shape, said, shown)
    loc = given.get("loc", 0.0)
    said = _moved_to_zero(said, loc, shown)
    if free:
        shape[free[0]] = _solve_shape(family, free[0], shape, said, shown)
    sized = next((k for k in said if k != "cv"), None)
    if sized is None:
        raise ValueError(f"{shown}: cv alone says nothing of the size; add mean or median")
    scale = given.get("scale") or said[sized] / _statistic(family, shape, sized)
    return {**shape, "loc": loc, "scale": scale}


def _moved_to_zero(said: dict[str, float], loc: float, shown: str) -> dict[str, float]:
    """The figures of the same distribution without its loc."""
    moved = {k: v if k in ("sd", "cv") else v - loc for k, v in said.items()}
    if loc and "cv" in said:
        if "mean" not in said:
            raise ValueError(f"{shown}: beside loc, say mean and sd rather than cv")
        moved["sd"] = moved.pop("cv") * said["mean"]
    bad = [k for k in said if moved.get(k, said[k]) <= 0]
    if bad:
        least = 0 if bad[0] in ("sd", "cv") else loc
        raise ValueError(f"{shown}: {bad[0]} must be above {least:g}, not {said[bad[0]]:g}")
    return moved


def _solve_line(family: Any, shape: dict[str, float], said: dict[str, float], shown: str) -> dict[str, float]:
    """Place and scale of a family on the whole line (normal, logistic, …) from figures, which are linear in them."""
    figures = dict(said)
    if "cv" in figures:
        figures["sd"] = figures.pop("cv") * abs(figures.get("mean", 0.0))
    rows = [[0.0 if k == "sd" else 1.0, _statistic(family, shape, k)] for k in figures]
    try:
        loc, scale = np.linalg.solve(np.array(rows), np.array(list(figures.values())))
    except np.linalg.LinAlgError:
        raise ValueError(f"{shown}: {' and '.join(said)} do not fix it; give mean and sd, or two percentiles") from None
    if scale <= 0:
        raise ValueError(
            f"{shown}: these figures contradict each other ({', '.join(f'{k} = {v:g}' for k, v in said.items())})"
        )
    return {"loc": float(loc), "scale": float(scale)}


def _solve_shape(family: Any, free: str, shape: dict[str, float], said: dict[str, float], shown: str) -> float:
    """The one unknown shape, from the ratio of two figures (which no scale changes), by bracketing."""
    (a, x), (b, y) = said.items()
    target = math.log(x / y) if "cv" not in said else math.log(said["cv"])

    def miss(log_shape: float) -> float:
        trial = {**shape, free: math.exp(log_shape)}
        with np.errstate(all="ignore"):
            if "cv" in said:
                return math.log(_statistic(family, trial, "cv")) - target
            return math.log(_statistic(family, trial, a) / _statistic(family, trial, b)) - target

    before: tuple[float, float] | None = None
    for log_shape in np.linspace(math.log(1e-3), math.log(1e3), 61):
        try:
            error = miss(float(log_shape))
        except (ValueError, ZeroDivisionError, OverflowError):
            before = None
            continue
        if not math.isfinite(error):
            before = None
            continue
        if before and before[1] * error <= 0:
            return math.exp(families.root(miss, before[0], float(log_shape)))
        before = (float(log_shape), error)
    figures = ", ".join(f"{k} = {v:g}" for k, v in said.items())
    raise ValueError(f"{shown}: no such distribution has {figures}")


# --- tables -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class QuantileTable:
    """One compiled distribution: how it is stored, its numbers, how many points a discrete one has, its mean."""

    kind: int
    data: Floats
    size: int
    mean: float


@lru_cache(maxsize=256)
def table(distribution: Distribution) -> QuantileTable:
    """Compile a distribution that has no uncertain number left. Raises ValueError where it can't be."""
    if distribution.name == "constant":
        value = max(float(distribution.params[0][1]), distribution.floor)  # type: ignore[arg-type]
        return QuantileTable(CONSTANT, np.array([value]), 1, value)
    if distribution.name == "empirical":
        values, counts = np.unique(np.array(distribution.values), return_counts=True)
        return _discrete(np.cumsum(counts) / counts.sum(), values, distribution.floor)
    if distribution.name == "quantiles":
        shares = np.array([float(p) for p, _ in distribution.params])
        values = np.array([v for _, v in distribution.params], dtype=np.float64)
        return _continuous(
            lambda u: np.interp(u, shares, values), lambda v: np.interp(1 - v, shares, values), distribution
        )
    frozen = _frozen(distribution)
    if _is_discrete(frozen.dist):
        return _enumerated(frozen, distribution)
    return _continuous(frozen.ppf, frozen.isf, distribution)


def _enumerated(frozen: Any, distribution: Distribution) -> QuantileTable:
    """A discrete scipy distribution, every value that a 53-bit uniform can reach."""
    low = frozen.ppf(2.0**-54)
    beyond = frozen.sf(low + _MOST_VALUES)  # asked first, for scipy's isf would try them all
    if not (np.isfinite(low) and beyond <= _FAR):
        raise ValueError(f"{distribution.name}: its values spread too far to be listed")
    high = frozen.isf(2.0**-53 if beyond <= 2.0**-53 else _FAR)
    values = np.arange(low, high + 1)
    return _discrete(frozen.cdf(values), values, distribution.floor)


def discrete(chances: Iterable[float], values: Iterable[float]) -> QuantileTable:
    """A table of values with their chances, which are scaled to sum to 1."""
    weights = np.fromiter(chances, np.float64)
    return _discrete(np.cumsum(weights) / weights.sum(), np.fromiter(values, np.float64), -math.inf)


def _discrete(cumulated: Floats, values: Floats, floor: float) -> QuantileTable:
    cumulated = cumulated.astype(np.float64)
    cumulated[-1] = 1.0
    values = np.maximum(values, floor)
    mean = float(np.sum(np.diff(cumulated, prepend=0.0) * values))
    return QuantileTable(DISCRETE, np.concatenate([cumulated, values]), len(values), mean)


def _continuous(
    ppf: Callable[[Floats], Any], isf: Callable[[Floats], Any], distribution: Distribution
) -> QuantileTable:
    position = np.arange(HALF)
    octave = np.maximum(1, -(-position // PER_OCTAVE))
    p = np.ldexp(0.5 * (1 + octave - position / PER_OCTAVE), -octave)
    known = (position <= _DENSE_OCTAVES * PER_OCTAVE) | (position % 8 == 0)
    halves = []
    for function, onward in ((ppf, np.minimum), (isf, np.maximum)):
        with np.errstate(all="ignore"):
            at_known = np.asarray(function(p[known]), dtype=np.float64)
        finite = np.isfinite(at_known)
        if not np.all(finite[p[known] >= _FAR]):
            raise ValueError(f"{distribution.name}: its quantiles can't be computed")
        at_known = at_known[np.maximum.accumulate(np.where(finite, np.arange(len(finite)), 0))]
        at_known = onward.accumulate(at_known)  # no rounding may make a quantile fall
        halves.append(np.maximum(np.interp(position, position[known], at_known), distribution.floor))
    width = -np.diff(p)
    mean = sum(float(np.sum((half[1:] + half[:-1]) / 2 * width)) for half in halves)
    return QuantileTable(CONTINUOUS, np.concatenate(halves), HALF, mean)


class Packer:
    """Collects compiled distributions and packs them for `numerics`; equal ones share a place."""

    def __init__(self) -> None:
        self._tables: list[QuantileTable] = []
        self._place: dict[int, int] = {}

    def add(self, one: Distribution | QuantileTable) -> int:
        """The number by which the engines know this distribution."""
        compiled = table(one) if isinstance(one, Distribution) else one
        if id(compiled) not in self._place:
            self._place[id(compiled)] = len(self._tables)
            self._tables.append(compiled)
        return self._place[id(compiled)]

    def pack(self) -> Tables:
        """All of them, in the order in which they were added."""
        from simfunnel.numerics import pack_tables

        tables = self._tables
        return pack_tables([t.kind for t in tables], [t.size for t in tables], [t.data for t in tables])
