"""Compiling: what is done otherwise than by numba gives the same, and numba itself is left as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core import analysis, compiler, ssa
from numba.core.postproc import VariableLifetime
from numba.core.types.functions import BaseFunction
from numba.np import arrayobj

from simfunnel import jit, numerics
from simfunnel.engines import agenda, kernel

FUNCTIONS: tuple[Any, ...] = (kernel.advance, agenda.replay, kernel.place_in, numerics.effect, numerics.choose)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.py_func.__name__)
def test_the_same_variables_are_alive(function: Any) -> None:
    life: Any = VariableLifetime(compiler.run_frontend(function.py_func).blocks)
    given = life.cfg, life._blocks, life.usedefs.usemap, life.usedefs.defmap
    assert jit._live_map(*given) == analysis.compute_live_map(*given)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.py_func.__name__)
def test_values_get_the_same_names(function: Any) -> None:
    def renamed() -> dict[Any, list[str]]:
        blocks: Any = ssa._run_ssa(compiler.run_frontend(function.py_func).blocks)
        return {label: [str(statement) for statement in block.body] for label, block in blocks.items()}

    theirs = renamed()
    with jit._our_numba():
        assert renamed() == theirs


def test_numba_is_left_as_it_was_also_by_what_can_t_be_compiled() -> None:
    def changed() -> tuple[Any, ...]:
        in_ssa = ssa._find_defs_violators, ssa._run_block_rewrite
        return arrayobj.fix_integer_index, analysis.compute_live_map, BaseFunction.get_call_type, *in_ssa

    @jit.inner
    def part(x: float) -> float:
        return x + "text" if x > 1.0 else x  # type: ignore[operator, no-any-return]

    def whole(x: float) -> float:
        return part(x)

    before = changed()
    function: Any = jit._njit(whole)
    with pytest.raises(Exception, match="No implementation of function"):
        function(2.0)
    assert changed() == before


def test_a_function_called_from_python_and_as_a_part_gives_the_same() -> None:
    @jit.inner
    def twice(maps: numerics.Maps, x: float) -> float:
        return 2.0 * numerics.forward(maps, 0, x)

    def add(maps: numerics.Maps, values: Any) -> float:
        total = 0.0
        for x in values:
            total += twice(maps, x)
        return total

    function: Any = jit._njit(add)
    maps = numerics.Maps(np.array([0]), np.array([2]), np.array([0.0, 1.0]), np.array([0.0, 3.0]))
    values = np.array([0.25, 0.5, 2.0])
    assert function(maps, values) == sum(2.0 * numerics.forward(maps, 0, x) for x in values.tolist()) == 10.5


@pytest.mark.slow
@pytest.mark.parametrize("other", [sys.executable, "no such program"])
def test_a_first_warm_up_leaves_nothing_to_compile(tmp_path: Path, other: str) -> None:
    """Whether or not another process can help."""
    code = """
import sys, joblib
joblib.cpu_count = lambda: 2
from numba.core import event
from simfunnel import replicate
compiled = []
event.register("numba:compile", type("Heard", (event.Listener,), {
    "on_start": lambda self, what: compiled.append(what), "on_end": lambda self, what: None})())
replicate.sys = type("", (), {"executable": sys.argv[1]})
replicate.warm_up()
print(len(compiled))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code, other]
    first, second = (int(subprocess.check_output(command, env=environment)) for _ in range(2))
    assert first > 20
    assert second == 0
