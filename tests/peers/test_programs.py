"""Whole exports in the programs that they are for, as benchmarks/exports.py does it with all; here those at hand."""

import pathlib
import sys

import pytest

import refq
from benchmarks.exports import answers, cut, exported, versions_of
from benchmarks.exports_cases import Case
from refq.jobs.pretrain import HELD_OUT
from refq.world.stories import story

pytestmark = pytest.mark.peers
WORLD = pathlib.Path(refq.__file__).parent / "world" / "model"
SYMMETRIC = ("--bits", "4", "--group-size", "32", "--symmetric")
ASYMMETRIC = ("--bits", "4", "--group-size", "64", "--asymmetric", "--keep", "v_proj")
CASES = {
    "transformers": [Case("world", grid, "compressed-tensors") for grid in (SYMMETRIC, ASYMMETRIC)],
    "onnxruntime": [Case("world", grid, "onnx") for grid in (SYMMETRIC, ASYMMETRIC)],
    "mlx_lm": [Case("world", grid, "mlx") for grid in (SYMMETRIC, ASYMMETRIC)],
    "gptqmodel": [Case("world", SYMMETRIC, "gptq"), *(Case("world", ASYMMETRIC, to) for to in ("gptq_v2", "awq"))],
    "llama_cpp": [Case("world", SYMMETRIC, "gguf", "q4_0"), Case("world", (), "gguf", "f32")],
}


@pytest.mark.parametrize("program", CASES)
def test_whole_exports_are_the_same_model_elsewhere(tmp_path, program):
    versions = versions_of(program, sys.executable)
    if not isinstance(versions, dict):
        pytest.skip(f"{program}: {versions}")
    cut(WORLD, [story(0, HELD_OUT + number) for number in range(8)], tmp_path / "world.npy", 512)
    exports = [exported(case, WORLD, tmp_path) for case in CASES[program]]
    assert all(one["back"] in (True, None) for one in exports)
    rows = answers(program, sys.executable, exports, tmp_path)
    assert [row for row in rows if row["wrong"]] == []
    assert len(rows) >= len(exports)
    assert sum(row["tensors"] for row in rows) >= 39
