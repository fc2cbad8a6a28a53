"""Products of codes by byte dot products: exact around every edge of a tile, and the same on every processor."""

import os
import subprocess
import sys

import numpy as np
import pytest

import refq
import refq.errors
import refq_fast
import refq_fast.about
from refq_fast import integers, interleaved, one_row
from refq_fast.integers import FEW, PART, ROWS, TILES
from refq_fast.simd import LANES


def around(*edges):
    return sorted({n for edge in edges for n in (edge - 1, edge, edge + 1) if n > 0})


TOKENS, OUTPUTS = around(1, FEW, ROWS, 2 * ROWS), around(1, LANES, 2 * LANES, TILES * LANES)
SIZES = [*around(1, 4, 8, 16), 32, *around(PART, 2 * PART)]  # of a group: around words, and parts whose sums are halves


def problem(bits, activation_bits, size, groups, extreme):
    """q, zero_point, w, weight_zero_point of the most tokens and outputs: random codes, or the ends of their grids."""
    random = np.random.default_rng(size)
    (low, high), (low_w, high_w) = refq.integer_range(activation_bits), refq.integer_range(bits)

    def codes(low, high, *shape):
        found = random.integers(low, high + 1, shape)
        return (np.where(found % 2, low, high) if extreme else found).astype(np.int32)

    length = groups * size
    return (
        codes(low, high, TOKENS[-1], length),
        codes(low, high, TOKENS[-1], 1),
        codes(low_w, high_w, OUTPUTS[-1], length),
        codes(low_w, high_w, OUTPUTS[-1], groups),
    )


@pytest.mark.parametrize(("bits", "activation_bits"), [(4, 4), (4, 8), (8, 8), (3, 6)])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("extreme", [False, True])
def test_every_shape_around_tile_edges(bits, activation_bits, groups, extreme):
    for size in SIZES:
        q, zero_point, w, zero_w = problem(bits, activation_bits, size, groups, extreme)
        x = (q - zero_point).astype(np.int64).reshape(len(q), groups, size)
        y = np.einsum("ngk,ogk->nog", x, w.reshape(len(w), groups, size) - zero_w[..., None].astype(np.int64))
        packed = refq.pack_codes(w, bits)
        for tokens in TOKENS:
            for out in OUTPUTS:
                found = refq_fast.integer_matmul(q[:tokens], zero_point[:tokens], packed[:out], zero_w[:out], bits)
                assert found.dtype == np.int32
                assert np.array_equal(found, y[:tokens, :out]), (tokens, out, size)


@pytest.mark.parametrize("bits", [2, 4, 7, 8])
@pytest.mark.parametrize(("size", "groups"), [(32, 4), (64, 2), (128, 1), (12, 3), (129, 1), (300, 1)])
def test_the_reals_are_those_of_the_reference(bits, size, groups):
    """A PackedWeight, in whatever layout, and the function on stored bytes: bit for bit."""
    random, length = np.random.default_rng(size), size * groups
    _, _, w, zero_point = problem(bits, 8, size, groups, False)
    for scale in (random.uniform(0.01, 1, zero_point.shape), random.integers(1, 9, zero_point.shape) / 8):
        weight = refq.pack_codes(w, bits), scale.astype(np.float32), zero_point, bits
        packed = refq_fast.PackedWeight(*weight)
        for tokens in (1, FEW, ROWS + 1):
            x = random.standard_normal((tokens, length)).astype(np.float32)
            for activation_bits in (4, 8, 9, 15, 16):
                expected = refq.quantized_linear(x, *weight, activation_bits)
                np.testing.assert_array_equal(packed.quantized_linear(x, activation_bits), expected)
                np.testing.assert_array_equal(refq_fast.quantized_linear(x, *weight, activation_bits), expected)


@pytest.mark.parametrize("activation_bits", [8, 15])
@pytest.mark.parametrize("bits", [4, 8])
def test_one_row_tile_by_tile(bits, activation_bits):
    """What compiled callers use: any range of tiles, the rest of y untouched."""
    _, _, w, zero_point = problem(bits, 8, 32, 3, False)
    scale = np.random.default_rng(0).uniform(0.01, 1, zero_point.shape).astype(np.float32)
    given = refq.pack_codes(w, bits), scale, zero_point, bits
    _, _, _, _, codes, *parts = integers.weight(*given, 96)
    x = np.random.default_rng(1).standard_normal(96).astype(np.float32)
    words, sums = np.empty((1 + (activation_bits > 8), 24), np.int32), np.empty(3, np.int32)
    step, zero = one_row.to_codes(x, activation_bits, False, words, sums)
    y = np.full(len(codes) * LANES, np.float32(7))
    one_row.of_codes(codes, *parts, words, sums, step, zero, y, 1, 3)
    expected = refq.quantized_linear(x, *given, activation_bits)
    np.testing.assert_array_equal(y[LANES : 3 * LANES], expected[LANES : 3 * LANES])
    assert (y[:LANES] == 7).all()
    assert (y[3 * LANES :] == 7).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value):
    _, _, w, zero_point = problem(4, 8, 32, 2, False)
    weight = refq_fast.PackedWeight(refq.pack_codes(w, 4), np.ones(zero_point.shape, np.float32), zero_point, 4)
    for rows in (1, ROWS):
        for place in (0, 63):
            x = np.ones((rows, 64), np.float32)
            x[-1, place] = value
            with pytest.raises(refq.errors.NonFiniteError):
                weight.quantized_linear(x, 8)
    x = np.float32([3e38, -3e38] * 32)
    with pytest.raises(refq.errors.GridError, match="overflows"):
        weight.quantized_linear(x, 8)


def test_codes_that_floats_are_multiplied_by_are_shared():
    _, _, w, zero_point = problem(4, 8, 32, 2, False)
    weight = refq_fast.PackedWeight(refq.pack_codes(w, 4), np.ones(zero_point.shape, np.float32), zero_point, 4)
    assert weight.integers == (None, None)
    x = np.ones((2, 64), np.float32)
    weight.quantized_linear(x, 8)
    made = weight.integers[1]
    assert made.codes is weight.fast.codes
    weight.quantized_linear(x, 4)
    assert weight.integers[1] is made


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(("size", "groups"), [(32, 2), (13, 1)])
def test_interleaved_codes_come_back(size, groups, same):
    _, _, w, zero_point = problem(4, 8, size, groups, False)
    scale = np.random.default_rng(0).uniform(0.01, 1, zero_point.shape).astype(np.float32)
    given = refq.pack_codes(w, 4), scale, np.full_like(zero_point, 3) if same else zero_point, 4
    for value, expected in zip(
        interleaved.stored(interleaved.interleave(*given[:3]), len(given[0][0])), given, strict=True
    ):
        np.testing.assert_array_equal(value, expected)


def test_an_x_that_is_narrower_by_a_part_of_a_byte():
    weight = refq.pack_codes(np.int32([[7, -8, 3, 0]]), 4), np.float32([[0.5]]), np.int32([[2]]), 4
    packed = refq_fast.PackedWeight(*weight)
    for width in (4, 3, 4):
        x = np.float32([[1, -2, 3, 4]])[:, :width]
        np.testing.assert_array_equal(packed.quantized_linear(x, 8), refq.quantized_linear(x, *weight, 8))


def test_a_group_too_long_for_32_bits():
    length = 2**31 // 255**2 + 1
    w, zero_point = np.full((1, length), 127, np.int32), np.int32([[-128]])
    q = np.full((1, length), 127, np.int32)
    y = refq_fast.integer_matmul(q, np.int32(-128), refq.pack_codes(w, 8), zero_point, 8)
    assert (y, y.dtype) == (255 * 255 * length, np.int64)
    for bits, codes in ((8, w), (4, w % 8)):
        weight = refq.pack_codes(codes, bits), np.float32([[1]]), np.int32([[-8]]), bits
        x = np.linspace(0, 1, length, dtype=np.float32)
        found = refq_fast.PackedWeight(*weight).quantized_linear(x, 8)
        np.testing.assert_array_equal(found, refq.quantized_linear(x, *weight, 8))


OTHERS = {
    "without dot products": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+f16c"},
    "without extensions": {"NUMBA_CPU_NAME": "generic"},
}
SAME = """
import numpy as np, refq, refq_fast
from refq_fast.simd_integers import HAS_DOTS
assert not HAS_DOTS
random = np.random.default_rng(0)
for bits, size in ((4, 32), (4, 300), (8, 20)):
    low, high = refq.integer_range(bits)
    w = refq.pack_codes(random.integers(low, high + 1, (35, 2 * size)).astype(np.int32), bits)
    zero_point = random.integers(low, high + 1, (35, 2)).astype(np.int32)
    for tokens in (2, 11):
        q = random.integers(-128, 128, (tokens, 2 * size)).astype(np.int32)
        arguments = q, q[:, :1], w, zero_point, bits
        assert np.array_equal(refq_fast.integer_matmul(*arguments), refq.integer_matmul(*arguments))
        x, scale = q.astype(np.float32) * np.float32(0.01), np.float32(0.1) * (zero_point + 200).astype(np.float32)
        for activation_bits in (8, 15):
            arguments = x, w, scale, zero_point, bits, activation_bits
            assert np.array_equal(refq_fast.quantized_linear(*arguments), refq.quantized_linear(*arguments))
"""


@pytest.mark.parametrize("processor", OTHERS)
def test_the_same_integers_on_other_processors(processor, tmp_path):
    if processor == "without dot products" and "avx2" not in refq_fast.about.about()["cpu_features"]:
        pytest.skip("this processor has no AVX2")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()} | OTHERS[processor]
    run = subprocess.run([sys.executable, "-c", SAME], env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
