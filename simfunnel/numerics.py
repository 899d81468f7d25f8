"""The small compiled functions that give every number of a simulation.

Whatever is more than adding and comparing two times is computed here and nowhere else: random numbers, tables, maps
between clock and work, conditions, odds. Every engine calls these same functions, so that no rounding can differ.
All of them take plain arrays and numbers, and know nothing of sales.

They live in one module because numba's cache does not notice that a function of another module was edited.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from simfunnel.grid import CONSTANT, CONTINUOUS, HALF, OCTAVES, PER_OCTAVE
from simfunnel.jit import compiled, inlined, inner

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rows = Any
"""An array of records, whose fields are the columns of a table: what is asked of a row lies side by side."""
Word = np.uint64
"""A 32-bit word, kept in 64 bits so that products do not overflow."""


def rows_of(table: Any, **more: Ints | Floats) -> Rows:
    """A table of columns (a NamedTuple), and more columns, as an array of records; the shorter columns are filled up.

    A function that gets a table so is handed one array. Columns of pairs become two fields: `NAME_fixed`, `NAME_share`.
    """
    columns: dict[str, Any] = {}
    for name, column in {**table._asdict(), **more}.items():
        columns |= {name: column} if column.ndim == 1 else dict(
            zip((f"{name}_fixed", f"{name}_share"), column.T, strict=True)
        )  # fmt: skip
    types = tuple((name, column.dtype) for name, column in columns.items())
    rows = np.zeros(max(map(len, columns.values())), dtype=_row_type(types))
    for name, column in columns.items():
        rows[name][: len(column)] = column
    return rows


@lru_cache(maxsize=64)
def _row_type(columns: tuple[tuple[str, np.dtype[Any]], ...]) -> np.dtype[Any]:
    """The type of a record with these columns; each replication with a plan of its own asks for the same dozen."""
    return np.dtype(list(columns), align=True)


@inner
def count_below(values: Floats, start: int, end: int, x: float) -> int:
    """How many of the sorted values[start:end] are less than x."""
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        if values[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low - start


@inner
def count_up_to(values: Floats, start: int, end: int, x: float) -> int:
    """How many of the sorted values[start:end] are at most x."""
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= x:
            low = middle + 1
        else:
            high = middle
    return low - start


# --- random numbers ---------------------------------------------------------------------------------------------------

_LOW32 = np.uint64(0xFFFFFFFF)
_SHIFT32 = np.uint64(32)
_SHIFT21 = np.uint64(21)
_LOW53 = np.uint64((1 << 53) - 1)
_MULTIPLY = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_FAMILY = np.uint64(0x66616D69)  # keys the derivation of prospects' keys, which no seed may change
_STEP = 1.0 / 9007199254740992.0  # 2**-53


def _write_rounds(_: Any, counters: Any, keys: Any) -> Any:
    """The rounds of `philox` for one counter and key or several, each two pairs of words, the first in the low bits.

    Numba has no words side by side in one register, with which a round takes half the instructions, and several calls
    as many as one: so these are written for its code generator.
    """
    calls = len(counters) // 2
    pairs, words = ir.VectorType(ir.IntType(64), 2 * calls), ir.VectorType(ir.IntType(32), 4 * calls)
    lanes = [ir.Constant(ir.IntType(32), lane) for lane in range(2 * calls)]
    turn = ir.Constant(words, [4 * call + lane for call in range(calls) for lane in (3, 2, 1, 0)])

    def constants(*values: int) -> Any:
        return ir.Constant(pairs, values * calls)

    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        def side_by_side(values: Any) -> Any:
            found = constants(0, 0)
            for lane in lanes:
                found = builder.insert_element(found, builder.extract_value(values, lane.constant), lane)
            return found

        low, shift = constants(0xFFFFFFFF, 0xFFFFFFFF), constants(32, 32)
        x, w = side_by_side(given[0]), side_by_side(given[1])
        for _round in range(10):
            # from x0 x1 | x2 x3: (p1 >> 32) ^ x1 ^ w0, p1 | (p0 >> 32) ^ x3 ^ w1, p0
            p = builder.bitcast(builder.mul(builder.and_(x, low), constants(*_MULTIPLY)), words)
            turned = builder.shuffle_vector(p, p, turn)
            x = builder.xor(builder.bitcast(turned, pairs), builder.xor(builder.lshr(x, shift), w))
            w = builder.and_(builder.add(w, constants(*_WEYL)), low)
        return cgutils.pack_array(builder, [builder.extract_element(x, lane) for lane in lanes])  # type: ignore[no-untyped-call]

    return counters(counters, keys), generate


_philox_rounds: Any = intrinsic(_write_rounds)


@compiled
def philox(c0: Word, c1: Word, c2: Word, c3: Word, k0: Word, k1: Word) -> tuple[Word, Word, Word, Word]:
    """Philox 4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key.

    Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    counter = np.uint64(c0) | np.uint64(c1) << _SHIFT32, np.uint64(c2) | np.uint64(c3) << _SHIFT32
    x01, x23 = _philox_rounds(counter, (np.uint64(k0), np.uint64(k1)))
    return x01 & _LOW32, x01 >> _SHIFT32, x23 & _LOW32, x23 >> _SHIFT32


@inner
def _use(purpose: int, index: int) -> Word:
    """The second half of a counter: what a random number is for."""
    return np.uint64(purpose) & _LOW32 | (np.uint64(index) & _LOW32) << _SHIFT32


@inner
def _unit(x01: Word) -> float:
    """A number in (0, 1) from two words of Philox."""
    return (np.float64((((x01 & _LOW32) << _SHIFT21) ^ (x01 >> _SHIFT32)) & _LOW53) + 0.5) * _STEP


@inner
def _key(x01: Word) -> int:
    """A prospect's key from two words of Philox."""
    return int(np.int64((x01 << _SHIFT32) | (x01 >> _SHIFT32)))


@compiled
def uniform(seed: int, replication: int, key: int, purpose: int, index: int) -> float:
    """The random number in (0, 1) that belongs to this use; 53 bits, never 0 or 1.

    `key` is a prospect's (or a source's) 64-bit key; `purpose` a 32-bit hash of names; `index` counts uses.
    """
    counter = np.uint64(key), _use(purpose, index)
    x01, _ = _philox_rounds(counter, (np.uint64(seed) & _LOW32, np.uint64(replication) & _LOW32))
    return _unit(x01)


@inner
def two_uniforms(
    seed: int, replication: int, key: int, purpose: int, index: int, other: int, other_index: int
) -> tuple[float, float]:
    """The random numbers of two uses by one prospect; it takes the time of one."""
    counters = np.uint64(key), _use(purpose, index), np.uint64(key), _use(other, other_index)
    k0, k1 = np.uint64(seed) & _LOW32, np.uint64(replication) & _LOW32
    x01, _, y01, _ = _philox_rounds(counters, (k0, k1, k0, k1))
    return _unit(x01), _unit(y01)


@compiled
def child_key(parent: int, purpose: int, index: int) -> int:
    """The 64-bit key of the `index`-th prospect that `parent` brings for `purpose`; the same under every seed."""
    x01, _ = _philox_rounds((np.uint64(parent), _use(purpose, index)), (_FAMILY, _FAMILY))
    return _key(x01)


@inner
def uniform_and_key(seed: int, replication: int, key: int, purpose: int, child: int, index: int) -> tuple[float, int]:
    """A random number of a source, and the key of the prospect that it brings then; it takes the time of one."""
    counters = np.uint64(key), _use(purpose, index), np.uint64(key), _use(child, index)
    x01, _, y01, _ = _philox_rounds(
        counters, (np.uint64(seed) & _LOW32, np.uint64(replication) & _LOW32, _FAMILY, _FAMILY)
    )
    return _unit(x01), _key(y01)


# An exit may fall due and not take place (`hazard`); all is then drawn again. By exclusive or with a purpose, these
# make purposes of their own. The last bits of the index hold how often it happened.
AGAIN, TAKES_PLACE = 0x5C3A71E9, 0x2B86D40F
MISSES = 16
PASSED = 1e-7  # days by which an age lies beyond a time that was missed, so that rounding can't bring that time again
MOST_MISSES = (1 << MISSES) - 1


@compiled
def unit_exponential(u: float) -> float:
    """The u-quantile of the exponential distribution of mean 1."""
    return -math.log1p(-u)


# --- distributions as quantile tables ---------------------------------------------------------------------------------

_HALF_BITS = 1022 << 52  # the bits of 1/2, as a whole number
_NODE_BITS = 53 - PER_OCTAVE.bit_length()  # of these bits stand for a place between two nodes
_NODE = 2.0**-_NODE_BITS
_NODES = float(PER_OCTAVE * OCTAVES)
_LATE, _LAST = 2.0**-40, 2.0**-53
_ENDLESS = 1e-6  # of its late times, by which a law that has an end grows less beyond them


Tables = Floats
"""Many quantile functions, packed in one array: it costs a call less to hand over than four.

Distribution d has three numbers at 3 * d: how it is stored, where its data begin, and their size. A constant is stored
as its value; a continuous one as its quantiles at u = node (lower half), then at 1 - u = node (upper half); a discrete
one as cumulated chances, then values.
"""


def pack_tables(kinds: list[int], sizes: list[int], parts: list[Floats]) -> Tables:
    """Quantile functions as one array, from how each is stored, its size and its data."""
    head = np.zeros((len(kinds), 3))
    head[:, 0], head[:, 2] = kinds, sizes
    head[:, 1] = 3 * len(kinds) + np.cumsum([0, *(len(part) for part in parts)])[:-1]
    return np.concatenate([head.ravel(), *parts])


@compiled
def _half(data: Floats, start: int, p: float) -> float:
    """Read one half of a continuous table at tail probability p <= 1/2, linearly between nodes.

    Nodes lie evenly in each octave, and so do the bits of p as a whole number: how far they fall short of those of 1/2
    tells its place. The node is told by whole numbers, for it is what the reading waits for.
    """
    short = int(_HALF_BITS - np.float64(p).view(np.int64))
    node = min(short >> _NODE_BITS, HALF - 2)
    position = min(np.float64(short) * _NODE, _NODES)
    left = data[start + node]
    right = data[start + node + 1]
    return float(left + (right - left) * (position - node))


@compiled
def quantile(tables: Tables, d: int, u: float) -> float:
    """The u-quantile of distribution d."""
    kind, start = int(tables[3 * d]), int(tables[3 * d + 1])
    if kind == CONTINUOUS:  # either half is as likely: told by where to read, not by a branch
        return _half(tables, start + (HALF if u > 0.5 else 0), min(u, 1.0 - u))
    if kind == CONSTANT:
        return float(tables[start])
    size = int(tables[3 * d + 2])
    k = count_below(tables, start, start + size, u)
    return float(tables[start + size + min(k, size - 1)])


@compiled
def _tail(data: Floats, start: int, x: float, rising: bool) -> float:
    """The tail probability at which one half of a continuous table reaches x (the inverse of `_half`)."""
    low, high = 0, HALF - 1
    if (data[start + high] <= x) if rising else (data[start + high] >= x):
        return 0.0
    while high - low > 1:
        middle = (low + high) // 2
        if (data[start + middle] <= x) if rising else (data[start + middle] >= x):
            low = middle
        else:
            high = middle
    left = data[start + low]
    right = data[start + high]
    position = low + ((x - left) / (right - left) if right != left else 0.0)
    octave = math.ceil(position / PER_OCTAVE)
    octave = max(octave, 1)
    return math.ldexp(0.5 * (1.0 + octave - position / PER_OCTAVE), -octave)


@compiled
def survival(tables: Tables, d: int, x: float) -> float:
    """The chance that a draw of distribution d is greater than x."""
    kind, start, size = int(tables[3 * d]), int(tables[3 * d + 1]), int(tables[3 * d + 2])
    if kind == CONSTANT:
        return 1.0 if tables[start] > x else 0.0
    if kind == CONTINUOUS:
        if x >= tables[start + HALF]:
            return _tail(tables, start + HALF, x, True)
        return 1.0 - _tail(tables, start, x, False)
    k = count_up_to(tables, start + size, start + 2 * size, x)
    return 1.0 if k == 0 else max(0.0, 1.0 - tables[start + k - 1])


@compiled
def quantile_beyond(tables: Tables, d: int, x: float, u: float) -> float:
    """The u-quantile of distribution d given that it is greater than x (x itself where that can't be)."""
    left = survival(tables, d, x)
    if left <= 0.0:
        return x
    v = left * (1.0 - u)
    if tables[3 * d] == CONTINUOUS and v <= 0.5:
        return max(x, _half(tables, int(tables[3 * d + 1]) + HALF, v))
    return max(x, quantile(tables, d, 1.0 - v))


@compiled
def own_age(tables: Tables, d: int, x: float) -> float:
    """The age from which a law goes on: one without an end has a constant hazard beyond what one in 2**40 reaches.

    Tables end at 2**-54, so that without this an exponential time would end there as if it had an end.
    """
    if tables[3 * d] != CONTINUOUS:
        return x
    tail = int(tables[3 * d + 1]) + HALF
    late = _half(tables, tail, _LATE)
    return late if x > late and _half(tables, tail, _LAST) - late > _ENDLESS * abs(late) else x


@compiled
def still_there(tables: Tables, d: int, age: float, stretch: float) -> float:
    """The chance that an exit of law d, its times multiplied by `stretch`, comes after an age (in its own time)."""
    return survival(tables, d, own_age(tables, d, age / stretch)) if stretch > 0.0 else 0.0


@compiled
def time_left(tables: Tables, d: int, age: float, passed: float, stretch: float, u: float) -> float:
    """The u-quantile of what is left at an age of a time of law d, times `stretch`, longer by `passed` and more."""
    own = own_age(tables, d, (age + passed) / stretch)
    if own < (age + passed) / stretch:
        return max(0.0, (quantile_beyond(tables, d, own, u) - own) * stretch)
    return max(0.0, quantile_beyond(tables, d, own, u) * stretch - age)


# --- monotone maps: clock time to working hours, time to expected arrivals --------------------------------------------

EPSILON = 1e-9  # days (a tenth of a millisecond): the width of an instant when a calendar is asked
ROUNDING = 1e-9  # hours: what rounding may add to a task, which must not carry it over into the next opening


class Maps(NamedTuple):
    """Many non-decreasing piecewise-linear functions y(x), packed; map m is x, y at start[m] .. start[m] + size[m]."""

    start: Ints
    size: Ints
    x: Floats
    y: Floats


@inlined
def walk(values: Floats, start: int, end: int, x: float, near: int) -> int:
    """The place in the sorted values[start:end] of the first one that is more than x, sought from a place near it."""
    while near < end and values[near] <= x:
        near += 1
    while near > start and values[near - 1] > x:
        near -= 1
    return near


@inner
def height(maps: Maps, m: int, x: float, k: int) -> float:
    """The map's y at x, whose first point beyond x is k; constant beyond either end."""
    a = maps.start[m]
    b = a + maps.size[m]
    if k == a:
        return float(maps.y[a])
    if k == b:
        return float(maps.y[b - 1])
    x0, x1 = maps.x[k - 1], maps.x[k]
    return float(maps.y[k - 1] + (maps.y[k] - maps.y[k - 1]) * ((x - x0) / (x1 - x0)))


@compiled
def forward(maps: Maps, m: int, x: float) -> float:
    """The map's y at x; constant beyond either end."""
    a = maps.start[m]
    return height(maps, m, x, a + count_up_to(maps.x, a, a + maps.size[m], x))


@inlined
def forward_twice(maps: Maps, m: int, x: float, later: float) -> tuple[float, float]:
    """`forward` at two times, which for the most part lie between the same two points."""
    a = maps.start[m]
    k = a + count_up_to(maps.x, a, a + maps.size[m], x)
    if k < a + maps.size[m] and x <= later < maps.x[k]:
        return height(maps, m, x, k), height(maps, m, later, k)
    return height(maps, m, x, k), forward(maps, m, later)


@compiled
def backward(maps: Maps, m: int, y: float) -> float:
    """The first x at which the map reaches y; infinity where it never does."""
    a = maps.start[m]
    b = a + maps.size[m]
    if y > maps.y[b - 1]:
        return np.inf
    k = a + count_below(maps.y, a, b, y)
    if k == a:
        return float(maps.x[a])
    y0, y1 = maps.y[k - 1], maps.y[k]
    return float(maps.x[k - 1] + (maps.x[k] - maps.x[k - 1]) * ((y - y0) / (y1 - y0)))


@inner
def end_from(maps: Maps, m: int, begin: float, hours: float, k: int) -> float:
    """`work_end`, where k is the map's first point beyond `begin`."""
    a = maps.start[m]
    b = a + maps.size[m]
    if a < k < b and maps.y[k] > maps.y[k - 1]:  # for the most part it ends well before the next closing
        end = begin + hours * ((maps.x[k] - maps.x[k - 1]) / (maps.y[k] - maps.y[k - 1]))
        if end < maps.x[k] - EPSILON:
            return float(end)
    y = height(maps, m, begin, k) + hours
    while k > a and maps.y[k - 1] >= y - ROUNDING:
        k -= 1
    while k < b and maps.y[k] < y - ROUNDING:
        k += 1
    if k == b:
        return np.inf
    if k == a or y >= maps.y[k]:
        return max(begin, float(maps.x[k]))
    y0, y1 = maps.y[k - 1], maps.y[k]
    return max(begin, float(maps.x[k - 1] + (maps.x[k] - maps.x[k - 1]) * ((y - y0) / (y1 - y0))))


@compiled
def work_end(maps: Maps, m: int, begin: float, hours: float) -> float:
    """When a task of so many hours ends that begins at `begin`, on the calendar of map m; infinity if never.

    A task that fills the hours until a closing ends with them, whatever the rounding.
    """
    if hours <= 0.0:
        return begin
    a = maps.start[m]
    return end_from(maps, m, begin, hours, a + count_up_to(maps.x, a, a + maps.size[m], begin))


@inlined
def work_end_near(maps: Maps, marks: Ints, m: int, begin: float, hours: float) -> float:
    """`work_end` for times that only go up: the last place in each map is kept, and the next one sought from there."""
    if hours <= 0.0:
        return begin
    a = maps.start[m]
    marks[m] = walk(maps.x, a, a + maps.size[m], begin, marks[m])
    return end_from(maps, m, begin, hours, marks[m])


@compiled
def pace_since(maps: Maps, m: int, now: float, age: float) -> float:
    """How much of an exit's own time has run in the last `age` days; m is its map, or -1 where it runs as the clock."""
    return age if m < 0 else forward(maps, m, now) - forward(maps, m, now - age)


@compiled
def pace_wait(maps: Maps, m: int, now: float, span: float) -> float:
    """The days until so much of an exit's own time has run; infinity where that is beyond the map's end."""
    return span if m < 0 else max(0.0, backward(maps, m, forward(maps, m, now) + span) - now)


@inner
def opening_from(maps: Maps, m: int, x: float, k: int) -> float:
    """`opening`, where k is the map's first point beyond this instant."""
    a = maps.start[m]
    b = a + maps.size[m]
    k = max(k, a + 1)
    while k < b:
        if maps.y[k] > maps.y[k - 1]:
            return max(x, maps.x[k - 1]) if maps.x[k - 1] > x + EPSILON else x
        k += 1
    return np.inf


@compiled
def opening(maps: Maps, m: int, x: float) -> float:
    """The first instant at or after x at which the map rises: x itself within working hours; infinity if none."""
    a = maps.start[m]
    return opening_from(maps, m, x, a + count_up_to(maps.x, a, a + maps.size[m], x + EPSILON))


@inlined
def opening_near(maps: Maps, marks: Ints, m: int, x: float) -> float:
    """`opening` for times that only go up: the last place in each map is kept, and the next one sought from there."""
    a = maps.start[m]
    marks[m] = walk(maps.x, a, a + maps.size[m], x + EPSILON, marks[m])
    return opening_from(maps, m, x, marks[m])


# --- conditions, effects and the choice of an exit --------------------------------------------------------------------


class Conditions(NamedTuple):
    """Many predicates, packed: predicate p is an AND of clauses, a clause an OR of intervals [low, high) of a fact.

    Clauses of p: clause_start[p] .. clause_start[p + 1]; intervals of clause c: interval_start[c] ..; fact[c] is the
    place of the looked-at number in the array of facts.
    """

    clause_start: Ints
    fact: Ints
    interval_start: Ints
    low: Floats
    high: Floats


@compiled
def holds(conditions: Rows, p: int, facts: Floats) -> bool:
    """Whether predicate p is true of these facts."""
    for c in range(conditions[p].clause_start, conditions[p + 1].clause_start):
        x = facts[conditions[c].fact]
        inside = False
        for i in range(conditions[c].interval_start, conditions[c + 1].interval_start):
            if conditions[i].low <= x < conditions[i].high:
                inside = True
                break
        if not inside:
            return False
    return True


class Effects(NamedTuple):
    """What multiplies what, packed: the effects on slot s are slot_start[s] .. slot_start[s + 1].

    Effect e multiplies by factor[e] when predicate e of its `Conditions` holds; where power[e] >= 0 to the power of
    that fact in steps of step[e], but never beyond least[e] and most[e]; and fading back to 1 from the time since[e]
    on, its logarithm halving every half_life[e] days.
    """

    slot_start: Ints
    predicate: Ints
    factor: Floats
    power: Ints
    step: Floats
    least: Floats
    most: Floats
    since: Floats
    half_life: Floats


@compiled
def effect(effects: Rows, conditions: Rows, slot: int, facts: Floats, now: float) -> float:
    """The product of all effects on a slot that apply to these facts now."""
    product = 1.0
    for e in range(effects[slot].slot_start, effects[slot + 1].slot_start):
        if not holds(conditions, effects[e].predicate, facts):
            continue
        factor = effects[e].factor
        if effects[e].power >= 0:
            factor = factor ** (facts[effects[e].power] / effects[e].step)
            factor = min(max(factor, effects[e].least), effects[e].most)
        if effects[e].half_life > 0.0:
            if now < effects[e].since:
                continue
            factor = factor ** (0.5 ** ((now - effects[e].since) / effects[e].half_life))
        product *= factor
    return product


@inner
def pick(weights: Floats, start: int, end: int, total: float, u: float) -> int:
    """The index chosen by u in proportion to weights[start:end], whose sum is given; -1 where all are zero."""
    mark = u * total
    last = -1
    for k in range(start, end):
        if weights[k] > 0.0:
            last = k
            if mark < weights[k]:
                return k
            mark -= weights[k]
    return last


@compiled
def choose(weights: Floats, u: float) -> int:
    """The index chosen by u in proportion to the weights; -1 where all are zero."""
    total = 0.0
    for w in weights:
        total += w
    return pick(weights, 0, len(weights), total, u)


@compiled
def rounded(amount: float, u: float) -> int:
    """A whole number near an amount, up or down by chance, so that its mean is the amount."""
    return math.floor(amount + u)
