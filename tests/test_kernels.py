"""What equivalence cannot see of the kernels: layouts, every float16, other processors, imports, threads."""

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

import refq
import refq_fast
from refq.grids.pack import as_codes
from refq_fast import byte_tables, matmul, permuted
from refq_fast.exponential import exp, exp_sum
from refq_fast.interleaved import interleave, product
from refq_fast.kernel import serial
from refq_fast.simd import LANES, load_floats, store
from refq_fast.simd_tables import HAS_BYTE_TABLES
from tests.support import dot_bound

SHAPES = [(1, 8, 1), (17, 64, 2), (33, 172, 1), (20, 171, 1), (16, 96, 3), (70, 256, 4)]  # out, in, groups


def weight(out, length, groups, symmetric=True, half=True):
    """Arguments of PackedWeight, and the real numbers they stand for."""
    random = np.random.default_rng(out * length)
    q = random.integers(-8, 8, (out, length)).astype(np.int32)
    scale = random.uniform(0.01, 1, (out, groups)) * random.choice([-1, 1], (out, groups))
    scale = scale.astype(np.float16 if half else np.float32).astype(np.float32)
    zero_point = random.integers(*((0, 1) if symmetric else (-8, 8)), (out, groups)).astype(np.int32)
    spread = (np.repeat(value.astype(np.float64), length // groups, axis=1) for value in (zero_point, scale))
    return (refq.pack_codes(q, 4), scale, zero_point, 4), (q - next(spread)) * next(spread)


@pytest.mark.parametrize(("out", "length", "groups"), SHAPES, ids=str)
@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
@pytest.mark.parametrize("half", [True, False], ids=["float16", "float32"])
def test_interleaved_products(out, length, groups, symmetric, half):
    arguments, w = weight(out, length, groups, symmetric, half)
    packed = refq_fast.PackedWeight(*arguments)
    assert packed.fast is not None
    for rows in (0, 1, 2, 4, 5, 8, 9, 21):
        x = np.random.default_rng(rows).standard_normal((rows, length)).astype(np.float32)
        y = refq_fast.linear(x, packed)
        assert y.dtype == np.float32
        assert y.shape == (rows, out)
        assert (np.abs(y - x @ w.T) <= dot_bound(np.abs(x) @ np.abs(w).T, length)).all()
        gx = refq_fast.linear_vjp(y, x, packed)[0]
        assert (np.abs(gx - y @ w) <= dot_bound(np.abs(y) @ np.abs(w), out)).all()


@pytest.mark.parametrize(
    ("bits", "groups", "zero_point", "dtype"),
    [(3, 2, 0, np.float32), (4, 8, 0, np.float32), (4, 2, 2**20, np.float32), (4, 2, 0, np.float64)],
    ids=["3 bits", "groups of 4", "a far zero point", "float64"],
)
def test_what_is_not_interleaved_is_computed_as_stored(bits, groups, zero_point, dtype):
    q = np.random.default_rng(0).integers(-4, 4, (5, 32)).astype(np.int32)
    arguments = refq.pack_codes(q, bits), np.ones((5, groups), dtype), np.full((5, groups), zero_point, np.int32), bits
    packed = refq_fast.PackedWeight(*arguments)
    assert packed.fast is None
    x = np.ones((2, 32), dtype)
    np.testing.assert_array_equal(refq_fast.linear(x, packed), refq_fast.quantized_matmul(x, *arguments))


@pytest.mark.parametrize("bits", [2, 3])
@pytest.mark.parametrize(("length", "groups"), [(64, 4), (61, 1)])
def test_codes_of_fewer_bits_lie_in_four(bits, length, groups):
    random = np.random.default_rng(bits)
    q = random.integers(*refq.integer_range(bits), (20, length), endpoint=True).astype(np.int32)
    scale, zero_point = random.uniform(0.1, 1, (20, groups)).astype(np.float32), np.full((20, groups), 1, np.int32)
    arguments = refq.pack_codes(q, bits), scale, zero_point, bits
    packed, w = refq_fast.PackedWeight(*arguments), (q - 1.0) * np.repeat(scale, length // groups, axis=1)
    assert packed.fast is not None
    for rows in (1, 9):
        x = random.standard_normal((rows, length)).astype(np.float32)
        bound = dot_bound(np.abs(x) @ np.abs(w).T, length)
        assert (np.abs(refq_fast.linear(x, packed) - x @ w.T) <= bound).all()
        np.testing.assert_array_equal(packed.quantized_linear(x, 16), refq.quantized_linear(x, *arguments, 16))
    np.testing.assert_allclose(packed.dequantized(x), w, rtol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize(
    ("out", "length", "groups"),
    [(1, 5, 1), (33, 172, 1), (7, 1024, 1), (6, 512, 4), (6, 192, 3), (3, 3000, 1), (5, 126, 2), (5, 252, 2)],
    ids=str,
)
@pytest.mark.parametrize("own", [True, False], ids=["a codebook a row", "one codebook"])
def test_products_with_codebooks(bits, out, length, groups, own):
    arguments, w = indices(bits, out, length, groups, own)
    packed = refq_fast.CodebookWeight(*arguments)
    group = arguments[0].shape[1] * 8 // bits // groups  # the widest that the bytes of a row leave room for
    unit = permuted.UNIT if bits < 5 else byte_tables.UNIT
    assert (packed.fast is not None) == ((bits < 5 or HAS_BYTE_TABLES) and (groups == 1 or group % unit == 0))
    for rows in (0, 1, 3, 4, byte_tables.MANY, 8, 9, 21, permuted.MANY):
        x = np.random.default_rng(rows).standard_normal((rows, length)).astype(np.float32)
        y = refq_fast.linear(x, packed)
        assert y.shape == (rows, out)
        assert (np.abs(y - x @ w.T) <= dot_bound(np.abs(x) @ np.abs(w).T, length)).all()
        np.testing.assert_array_equal(packed.dequantized(x), w)
        gx = refq_fast.linear_vjp(y, x, packed)[0]
        assert (np.abs(gx - y @ w) <= dot_bound(np.abs(y) @ np.abs(w), out)).all()


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_codebook_weight_that_lies_otherwise_in_memory(bits):
    (packed, codebook, _), w = indices(bits, 6, 256, 2, True)
    turned = [np.asfortranarray(packed), codebook.transpose(2, 1, 0).copy().transpose(2, 1, 0), bits]
    x = np.random.default_rng(0).standard_normal((9, 256)).astype(np.float32)
    found = refq_fast.linear(x[::-1].copy()[::-1], refq_fast.CodebookWeight(*turned))
    assert (np.abs(found - x @ w.T) <= dot_bound(np.abs(x) @ np.abs(w).T, 256)).all()


def test_an_x_that_is_narrower_by_a_part_of_a_byte():
    for groups in (1, 2):
        (packed, codebook, bits), w = indices(1, 3, 512, groups, True)
        packed[:, -1] = 1  # then the last six indices of 510 may be all there are
        x = np.ones((2, 510), np.float32)
        found = refq_fast.linear(x, refq_fast.CodebookWeight(packed, codebook, bits))
        np.testing.assert_allclose(found, refq.codebook_matmul(x, packed, codebook, bits), rtol=1e-5, atol=1e-4)


def indices(bits, out, length, groups, own):
    """Arguments of CodebookWeight, and the real numbers they stand for."""
    random = np.random.default_rng(bits)
    index = random.integers(0, 2**bits, (out, length)).astype(np.uint8)
    codebook = random.standard_normal((out if own else 1, groups, 2**bits)).astype(np.float32)
    w = refq.codebook_lookup(index.reshape(out, groups, -1), codebook).reshape(out, length)
    return [refq.pack_codes(as_codes(index, bits), bits), codebook, bits], w


def test_bytes_of_the_layout():
    packed = np.arange(2 * 8, dtype=np.uint8).reshape(2, 8)  # rows of two words
    codes = interleave(packed, np.ones((2, 1), np.float32), np.zeros((2, 1), np.int32)).codes
    assert codes.shape == (1, 2 * LANES)
    words = codes.reshape(2, LANES).T ^ 0x88888888  # two's complement, and back to a row of words each
    assert words[:2].astype("<u4").tobytes() == packed.tobytes()
    assert not words[2:].any()


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (np.ones((1, 64)), refq.errors.DtypeError, "float32 is needed"),
        (np.ones((1, 32), np.float32), refq.errors.ShapeError, "width 32"),
        (np.ones((1, 63), np.float32), refq.errors.ShapeError, "2 groups"),
        (np.float32(1), refq.errors.ShapeError, "last axis"),
    ],
    ids=["dtype", "width", "groups", "scalar"],
)
def test_an_x_that_does_not_fit_is_refused(x, error, match):
    with pytest.raises(error, match=match):
        refq_fast.linear(x, refq_fast.PackedWeight(*weight(3, 64, 2)[0]))


@pytest.mark.parametrize("bits", [3, 4])
def test_a_bit_after_the_last_code_is_refused(bits):
    packed = refq.pack_codes(np.full((2, 8), -1, np.int32), bits)
    x, grid = np.ones((1, 7), np.float32), (np.ones((2, 1), np.float32), np.zeros((2, 1), np.int32), bits)
    for weight in (refq_fast.PackedWeight(packed, *grid), refq.ops.PackedWeight(packed, *grid)):
        with pytest.raises(refq.errors.FormatError, match="unused bits"):
            refq_fast.linear(x, weight)
    np.testing.assert_array_equal(
        refq_fast.linear(np.ones((1, 8), np.float32), refq_fast.PackedWeight(packed, *grid)), -8
    )


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_a_weight_of_no_outputs_has_none(bits, rows):
    x, packed = np.ones((rows, 64), np.float32), np.zeros((0, 8 * bits), np.uint8)
    weights = [refq_fast.CodebookWeight(packed, np.zeros((0, 2, 2**bits), np.float32), bits)]
    if bits > 1:
        weights.append(refq_fast.PackedWeight(packed, np.ones((0, 2), np.float32), np.zeros((0, 2), np.int32), bits))
        assert weights[1].quantized_linear(x, 8).shape == (rows, 0)
    for weight in weights:
        assert refq_fast.linear(x, weight).shape == (rows, 0)


def test_every_finite_float16_is_read_exactly():
    @serial
    def read(bits, y):
        for at in range(0, len(bits), LANES):
            store(y, at, load_floats(bits, at))

    bits = np.arange(2**16, dtype=np.uint16)
    y = np.empty(2**16, np.float32)
    read(bits, y)
    finite = np.isfinite(bits.view(np.float16))
    np.testing.assert_array_equal(y[finite], bits.view(np.float16)[finite].astype(np.float32))


def test_exp():
    @serial
    def run(x, y):
        for i in range(len(x)):
            y[i] = exp(x[i])

    special = np.float32([0, -0.0, np.nan, np.inf, -np.inf, 89, -105])
    y = np.empty_like(special)
    run(special, y)
    np.testing.assert_array_equal(y, np.float32([1, 1, np.nan, np.inf, 0, np.inf, 0]))
    x = np.linspace(-104, 88.7, 1_000_001, dtype=np.float32)
    y, exact = np.empty_like(x), np.exp(x.astype(np.float64))
    run(x, y)
    assert (np.abs(y - exact) <= 2 * np.spacing(exact.astype(np.float32)).astype(np.float64)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_order_of_a_sum_does_not_depend_on_where_its_arrays_lie(dtype):
    room, x = np.empty(400, dtype), np.random.default_rng(0).standard_normal(40).astype(dtype)
    sums = set()
    for start in range(40, 360):
        room[:40] = x
        sums.add(exp_sum(room[:40], x.max(), room[start : start + 40]))
    assert len(sums) == 1


def test_bits_do_not_depend_on_threads_or_on_who_else_computes():
    packed = refq_fast.PackedWeight(*weight(600, 512, 16)[0])
    others = [refq_fast.CodebookWeight(*indices(bits, 600, 512, 1, True)[0]) for bits in (2, 3, 4, 6, 8)]
    x = np.random.default_rng(1).standard_normal((9, 512)).astype(np.float32)
    threads = numba.get_num_threads()

    def everything(_=None):
        q = refq_fast.linear(x, packed)[:, :512].reshape(1, 2, 1, 9, 256)
        y = refq_fast.causal_attention(q, q[:, :, 0], q[:, :, 0])
        looked_up = [refq_fast.linear(rows, other) for rows in (x[:1], x) for other in others]
        return [refq_fast.linear(x[:1], packed), q, y, refq_fast.linear(x, np.tile(x, (100, 1))), *looked_up]

    try:
        numba.set_num_threads(1)
        expected = everything()
    finally:
        numba.set_num_threads(threads)
    with ThreadPoolExecutor(4) as pool:  # more threads than cores, all at once
        for results in pool.map(everything, range(8)):
            np.testing.assert_equal(results, expected)


on_linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets us choose cores")

CHECK = """
import numba, numpy as np, refq, refq_fast
from refq.grids.pack import as_codes
from refq_fast import matmul, permuted
from refq_fast.simd import LANES
assert LANES == 8
x = np.random.default_rng(0).standard_normal((9, 64)).astype(np.float32)
weight = refq.pack_codes(np.arange(9 * 64, dtype=np.int32).reshape(9, 64) % 16 - 8, 4), np.ones((9, 2), np.float32), \
    np.ones((9, 2), np.int32), 4
for rows in (x[:1], x):
    y = refq_fast.linear(rows, refq_fast.PackedWeight(*weight))
    assert np.allclose(y, refq.quantized_matmul(rows, *weight), atol=1e-3)
    for bits in (4, 8):
        table = np.random.default_rng(2).standard_normal((9, 1, 2**bits)).astype(np.float32)
        packed = weight[0].repeat(bits // 4, 1)
        y = refq_fast.linear(rows, refq_fast.CodebookWeight(packed, table, bits))
        assert np.allclose(y, refq.codebook_matmul(rows, packed, table, bits), atol=1e-3)
    weight_5 = refq.pack_codes(np.arange(9 * 192, dtype=np.int32).reshape(9, 192) % 32 - 16, 5), *weight[1:3], 5
    wide = np.tile(rows, (1, 3))
    assert np.allclose(refq_fast.quantized_matmul(wide, *weight_5), refq.quantized_matmul(wide, *weight_5), atol=1e-3)
assert np.allclose(refq_fast.softmax(x), refq.softmax(x), atol=1e-6)
w = np.random.default_rng(1).standard_normal((64, 33)).astype(np.float32)
assert np.allclose(matmul.product(x, w), x @ w, atol=1e-4)
q = x.reshape(1, 1, 1, 9, 64)
assert np.allclose(refq_fast.causal_attention(q, q[0], q[0]), refq.causal_attention(q, q[0], q[0]), atol=1e-5)
"""
IMPORT = """
import refq_fast
from refq_fast.about import _kernels
kernels = set(_kernels())
assert len(kernels) > 200 and refq_fast.interleaved._few_rows.kernel in kernels
assert not any(kernel.overloads for kernel in kernels)
"""
CORES = """
import os, refq_fast
from refq_fast import cores, threads

def held():
    others = (os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task") if int(task) != os.getpid())
    return sorted(next(iter(mask)) for mask in others if len(mask) == 1)

ours = os.sched_getaffinity(0)
threads.use(len(ours))
home, = ours - set(held())
assert len(held()) == len(ours) - 1
for core in ours:
    os.sched_setaffinity(0, {core})
    os.sched_setaffinity(0, ours)
    cores.come_home()
    assert cores._core() == home and os.sched_getaffinity(0) == ours
if len(ours) > 1:
    os.sched_setaffinity(0, ours - {home})  # it may not be there any more
    cores.come_home()
    assert os.sched_getaffinity(0) == ours - {home}
os.sched_setaffinity(0, ours)
threads.use(max(1, len(ours) - 1))
cores.come_home()
assert len(ours) < 3 or not held()
"""
CHOSEN = """
import os, refq_fast
from refq_fast import threads
ours = os.sched_getaffinity(0)
threads.use(len(ours))
assert all(os.sched_getaffinity(int(task)) == ours for task in os.listdir("/proc/self/task"))
"""


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        (CHECK, {"NUMBA_CPU_NAME": "generic"}),
        (CHECK, {"NUMBA_CPU_NAME": "generic", "NUMBA_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue"}),
        (IMPORT, {}),
        pytest.param(CORES, {}, marks=on_linux),
        pytest.param(CHOSEN, {"OMP_PROC_BIND": "false"}, marks=on_linux),
    ],
    ids=["a processor without extensions", "without OpenMP", "importing compiles nothing", "cores", "cores are chosen"],
)
def test_in_a_process_of_its_own(code, settings, tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)} | settings
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert code is not IMPORT or not any(tmp_path.rglob("*.nb?"))


@pytest.mark.parametrize(
    ("m", "k", "n"), [(8, 1, 1), (9, 33, 31), (67, 321, 48), (40, 700, 1100), (700, 321, 130), (70, 4500, 64)], ids=str
)
@pytest.mark.parametrize("turned", [(False, False), (False, True), (True, False)], ids=["a b", "a b^T", "a^T b"])
def test_products_on_wide_registers(m, k, n, turned):
    random = np.random.default_rng(m)
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))
    a, b = (np.asfortranarray(x) if turn else x for x, turn in zip((a, b), turned, strict=True))
    threads, results = numba.get_num_threads(), []
    for count in (1, threads):
        try:
            numba.set_num_threads(count)
            results.append(matmul.product(a, b))
        finally:
            numba.set_num_threads(threads)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert (np.abs(results[0] - exact) <= dot_bound(np.abs(a).astype(np.float64) @ np.abs(b), k)).all()
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_solver_leaves_nothing_to_the_garbage_collector(grouped):
    w = np.random.default_rng(0).standard_normal((2, 256)).astype(np.float32)
    arguments = (64, -8, 7) if grouped else (np.ones((2, 4), np.float32), np.zeros((2, 4), np.int32), -8, 7)
    solve = refq_fast.gptq_grouped if grouped else refq_fast.gptq
    solve(w, np.eye(256, dtype=np.float32), *arguments)  # may compile
    gc.collect()
    gc.disable()
    try:
        solve(w, np.eye(256, dtype=np.float32), *arguments)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_no_rows():
    arguments, _ = weight(16, 64, 2)
    assert product(np.empty((0, 64), np.float32), interleave(*arguments[:3])).shape == (0, 16)


def test_kernels_are_compiled_once_and_kept(tmp_path):
    code = """
import numpy as np, refq_fast
from refq_fast import kernel
compiled = []
kernel.before_compiling(lambda: compiled.append(1))
for bits in range(2, 9):
    packed, scale, zero_point = np.zeros((20, 4 * bits), "u1"), np.ones((20, 2), "f4"), np.zeros((20, 2), "i4")
    for rows in (1, 20):
        x = np.ones((rows, 32), np.float32)
        refq_fast.quantized_matmul(x, packed, scale, zero_point, bits)
        refq_fast.linear(x, refq_fast.PackedWeight(packed, scale, zero_point, bits))
q = refq_fast.quantize(x, 1.0, 0, -8, 7)
refq_fast.pack_compressed_tensors(q, 4)
refq_fast.minmax(x, -8, 7)
print(len(compiled))
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    counts, files = [], []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
        counts.append(int(done.stdout))
        files.append(sorted(tmp_path.rglob("*")))
    assert counts == [1, 0]
    assert files[0] == files[1]
