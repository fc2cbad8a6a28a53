"""Laws of quantized_matmul."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    bits, out = draw(st.integers(2, 8)), draw(st.integers(1, 5))
    groups, size = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    q = draw(int_arrays((out, groups * size), *refq.integer_range(bits)))
    return {
        "x": draw(tenths((*lead, groups * size))),
        "packed": refq.pack_codes(q, bits),
        "scale": draw(int_arrays((out, groups), 1, 30).map(lambda v: (v * 0.1).astype(np.float32))),
        "zero_point": draw(int_arrays((out, groups), -9, 9)),
        "bits": bits,
    }


def edges():
    for bits, rows, out, groups, size in (
        (4, 1, 1, 1, 32),
        (4, 1, 33, 4, 32),
        (4, 3, 64, 2, 64),
        (4, 129, 40, 3, 43),
        (4, 1, 257, 1, 172),
        (3, 2, 65, 5, 8),
        (8, 1, 31, 2, 32),
        (2, 5, 16, 8, 4),
    ):
        random = np.random.default_rng(out)
        q = random.integers(*refq.integer_range(bits), (out, groups * size), endpoint=True).astype(np.int32)
        yield {
            "x": normal(out, rows, groups * size),
            "packed": refq.pack_codes(q, bits),
            "scale": random.uniform(0.01, 1, (out, groups)).astype(np.float32),
            "zero_point": random.integers(-4, 4, (out, groups)).astype(np.int32),
            "bits": bits,
        }


def codes(arguments):
    """Codes, and scale and zero point of each of them."""
    n, groups = arguments["x"].shape[-1], arguments["scale"].shape[1]
    q = refq.unpack_codes(arguments["packed"], arguments["bits"], n)
    return q, *(np.repeat(arguments[name], n // groups, axis=1) for name in ("scale", "zero_point"))


def bound(arguments, expected):
    q, scale, zero_point = codes(arguments)
    magnitude = np.abs(arguments["x"]) @ (np.abs(scale) * (np.abs(q) + np.abs(zero_point))).T
    return cost(magnitude, arguments["x"].shape[-1] + 3)


@both
@given(arguments())
def test_it_is_linear_with_the_dequantized_weight(engine, arguments):
    q, scale, zero_point = codes(arguments)
    y = arguments["x"] @ refq.dequantize(q, scale, zero_point).T
    assert (np.abs(engine.quantized_matmul(**arguments) - y) <= bound(arguments, y)).all()


@both
@given(arguments())
def test_linear_in_x_and_scale(engine, arguments):
    assert_linear_in(engine.quantized_matmul, arguments, "x")
    twice = engine.quantized_matmul(**(arguments | {"scale": arguments["scale"] * 2}))
    np.testing.assert_array_equal(twice, engine.quantized_matmul(**arguments) * 2)


@both
@given(arguments())
def test_each_output_has_its_row(engine, arguments):
    one = arguments | {name: arguments[name][-1:] for name in ("packed", "scale", "zero_point")}
    y = engine.quantized_matmul(**arguments)
    np.testing.assert_allclose(engine.quantized_matmul(**one), y[..., -1:], atol=bound(arguments, y).max())


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments = arguments | {"scale": np.float32([[0.5]]).repeat(len(arguments["scale"]), 0), "zero_point": None}
    arguments["zero_point"] = np.zeros(arguments["scale"].shape, np.int32)
    assert_float64_is_kept(engine.quantized_matmul, arguments)


def wrong(change_codes=lambda q, bits: q, zero=np.subtract, spread=np.repeat, transpose=True, x=lambda x: x):
    def weight(arguments):
        n, groups = arguments["x"].shape[-1], arguments["scale"].shape[1]
        q = change_codes(refq.unpack_codes(arguments["packed"], arguments["bits"], n), arguments["bits"])
        scale, zero_point = (spread(arguments[name], n // groups, axis=1) for name in ("scale", "zero_point"))
        return zero(q, zero_point).astype(np.float32) * scale

    def quantized_matmul(**arguments):
        refq.quantized_matmul(**arguments)
        w = weight(arguments)
        if "g" in arguments:
            return x(arguments["g"]) @ (w if transpose else w.T)
        return x(arguments["x"]) @ (w.T if transpose or w.shape[0] != w.shape[1] else w)

    return quantized_matmul


def _swapped(q, bits):
    n = q.shape[1] // 2 * 2
    return np.concatenate([q[:, :n].reshape(len(q), -1, 2)[:, :, ::-1].reshape(len(q), n), q[:, n:]], axis=1)


def _rounded_to_8_bits(x):
    step = np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.float32(1e-9)) / np.float32(127)
    return np.rint(x / step) * step


def first_group(array, repeats, axis):
    return np.repeat(array[:, :1], repeats * array.shape[1], axis)


def strided(array, repeats, axis):
    return np.tile(array, (1, repeats))


WRONG = {
    "high nibble first": wrong(_swapped),
    "unsigned codes": wrong(lambda q, bits: q % 2**bits),
    "codes offset by half the range": wrong(lambda q, bits: q % 2**bits - 2 ** (bits - 1)),
    "zero point added": wrong(zero=np.add),
    "zero point ignored": wrong(zero=lambda q, z: q),
    "every group has the first scale": wrong(spread=first_group),
    "groups are strided": wrong(spread=strided),
    "square weight not transposed": wrong(transpose=False),
    "x rounded to 8 bits": wrong(x=_rounded_to_8_bits),
}
