"""How functions are compiled: by numba, kept on disk, and in two thirds of the time that numba alone takes.

The machine code is what numba makes of the same functions, but for indices that never count from the end. What is left
out is work of which no function of ours has a use: counting of references, ways in from Python and from C, and asking
again and again what was already found out.
"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import analysis, ssa
from numba.core.compiler import Compiler
from numba.core.types.functions import BaseFunction
from numba.np import arrayobj

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def cache_folder() -> Path:
    """Where compiled functions are kept: beside the package, or else in the home, or else in the temporary folder.

    Its name holds a digest of the files with compiled functions, for numba notices only that a function's own file was
    edited, not that of a function which it calls.
    """
    package = Path(__file__).parent
    sources = (
        Path(__file__), package / "grid.py", package / "numerics.py", package / "engines" / "agenda.py",
        package / "engines" / "kernel.py", package / "tally.py",
    )  # fmt: skip
    digest = blake2b(b"".join(source.read_bytes() for source in sources), digest_size=6).hexdigest()
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    for base in (package / "__pycache__", Path.home() / ".cache", Path(tempfile.gettempdir()) / f"simfunnel-{user}"):
        folder = base / f"simfunnel-compiled-{digest}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="simfunnel-compiled-"))


CACHE = os.environ.get("NUMBA_CACHE_DIR") or str(cache_folder())


# --- what is changed in numba while a function of ours is compiled ----------------------------------------------------


def _index_as_it_is(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:  # noqa: ARG001
    """An index into an array for numba's code generator, taken to be no less than 0.

    That indices may count from the end would be asked at each look into an array: a sixth of the engine's time, and a
    third of its code. Numba has no switch for it.
    """
    return context.cast(builder, index, kind, numba.types.intp)


def _live_map(cfg: Any, blocks: Any, uses: Any, defs: Any) -> dict[Any, set[str]]:
    """The variables that are alive at the entry of each block: numba's `compute_live_map`, by bits instead of sets.

    The engine's loop has thousands of variables and hundreds of blocks, and numba asks ten times for each function.
    """
    names = list(set().union(*uses.values(), *defs.values()))
    bits = {name: 1 << k for k, name in enumerate(names)}
    used, defined = ({block: sum(map(bits.__getitem__, of[block])) for block in blocks} for of in (uses, defs))
    ways = [(block, after) for block in cfg.topo_order() for after, _ in cfg.successors(block)]
    known, before = {block: used[block] | defined[block] for block in blocks}, None
    while known != before:
        before = dict(known)
        for block, after in ways:
            known[after] |= known[block]
    alive, before = dict(used), None
    while alive != before:
        before = dict(alive)
        for block, after in reversed(ways):
            alive[block] |= alive[after] & known[block] & ~defined[block]

    def members(held: int) -> Iterator[str]:
        while held:
            last = held & -held
            held ^= last
            yield names[last.bit_length() - 1]

    return {block: set(members(alive[block])) for block in blocks}


def _remembering(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """Numba's search for the meaning of a call, done once for each kind of arguments.

    It tries all that `+` or `<` can mean in turn, for each place in a function where one stands.
    """
    known: dict[Any, Any] = {}

    def get_call_type(function: Any, context: Any, args: Any, kws: Any) -> Any:
        key = function, context, args, tuple(kws.items())
        if key not in known:
            known[key] = look_up(function, context, args, kws)
        return known[key]

    return get_call_type


def _where_named(find: Callable[..., Any], rewrite: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """Two steps of numba that give each value a name of its own, where a variable takes several in turn.

    For each such variable they go through all blocks of a function; only those that name it can change.
    """
    places: dict[str, set[Any]] = {}

    def find_violators(blocks: Any, cfg: Any) -> Any:
        places.clear()
        for label, block in blocks.items():
            for name in {variable.name for statement in block.body for variable in statement.list_vars()}:
                places.setdefault(name, set()).add(label)
        return find(blocks, cfg)

    def rewrite_blocks(blocks: Any, states: Any, handler: Any) -> Any:
        named = {label: block for label, block in blocks.items() if label in places[states["varname"]]}
        return blocks | rewrite(named, states, handler)

    return find_violators, rewrite_blocks


@contextmanager
def _our_numba() -> Iterator[None]:
    """Numba with these changes, and without looking for garbage, of which compiling makes little that is in circles."""
    find, rewrite = _where_named(ssa._find_defs_violators, ssa._run_block_rewrite)
    changes: list[tuple[Any, str, Any]] = [
        (arrayobj, "fix_integer_index", _index_as_it_is),
        (analysis, "compute_live_map", _live_map),
        (BaseFunction, "get_call_type", _remembering(BaseFunction.get_call_type)),
        (ssa, "_find_defs_violators", find),
        (ssa, "_run_block_rewrite", rewrite),
    ]
    before = [getattr(where, name) for where, name, _ in changes]
    collecting = gc.isenabled()
    gc.disable()
    for where, name, ours in changes:
        setattr(where, name, ours)
    try:
        yield
    finally:
        for (where, name, _), theirs in zip(changes, before, strict=True):
            setattr(where, name, theirs)
        if collecting:
            gc.enable()


# --- compiling --------------------------------------------------------------------------------------------------------


class _Compiler(Compiler):
    """Numba's compiler, changed as above. It compiles what a function calls before that function is done."""

    def compile_extra(self, function: Any) -> Any:
        """Compile a function."""
        if arrayobj.fix_integer_index is _index_as_it_is:  # for one that calls it
            return super().compile_extra(function)  # type: ignore[no-untyped-call]
        with _our_numba():
            return super().compile_extra(function)  # type: ignore[no-untyped-call]


def _njit(function: FunctionT, **options: bool) -> FunctionT:
    """Compile with numba; no counting of references, for nothing is allocated, and no way in from C."""
    config: Any = numba.config
    compiler: Any = numba.njit
    before, config.CACHE_DIR = config.CACHE_DIR, CACHE
    try:
        made = compiler(pipeline_class=_Compiler, _nrt=False, no_cfunc_wrapper=True, **options)(function)
    finally:
        config.CACHE_DIR = before
    return cast("FunctionT", made)


def compiled(function: FunctionT) -> FunctionT:
    """Compile a function and keep the result on disk; the type stays the function's own."""
    return _njit(function, cache=True)


def inner(function: FunctionT) -> FunctionT:
    """Compile a function that only compiled ones call: no way in from Python, and kept only within their code."""
    return _njit(function, no_cpython_wrapper=True)


def inlined(function: FunctionT) -> FunctionT:
    """Compile a function that stands within whatever calls it: a call would cost more than what it does."""
    return _njit(function, no_cpython_wrapper=True, forceinline=True)
