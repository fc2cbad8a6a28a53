"""Laws of quantized_linear."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_quantized_matmul as weights
from tests.laws.operations import cost
from tests.support import both


@st.composite
def arguments(draw):
    return draw(weights.arguments()) | {"activation_bits": draw(st.integers(2, 16)), "symmetric": draw(st.booleans())}


def edges():
    for i, found in enumerate(weights.edges()):
        x = found["x"] + np.float32(i % 2)
        yield found | {"x": x, "activation_bits": (8, 4, 6, 8)[i % 4], "symmetric": i % 3 == 2}
    yield found | {"x": x, "activation_bits": 12, "symmetric": False}
    for rows in (1, 9):
        for bits in (4, 8):  # sums of codes of 8 bits with those of 15 do not fit 32 bits
            yield _long(rows, bits) | {"activation_bits": 15, "symmetric": rows == 1}


def _long(rows, bits):
    """A weight in one group, its codes and x as large as they can be: the sums too."""
    random, low = np.random.default_rng(bits), -(2 ** (bits - 1))
    x = random.uniform(0.9, 1, (rows, 1600)).astype(np.float32) * np.float32([[1], [-1]])[np.arange(rows) % 2]
    q = np.where(random.random((20, 1600)) < 0.9, low, -1 - low).astype(np.int32)
    zero_point = random.choice([low, -1 - low], (20, 1)).astype(np.int32)
    scale = random.uniform(0.5, 1, (20, 1)).astype(np.float32)
    return {"x": x, "packed": refq.pack_codes(q, bits), "scale": scale, "zero_point": zero_point, "bits": bits}


def near(arguments):
    """How far the result may lie from that of quantized_matmul with fake-quantized activations."""
    q, scale, zero_point = weights.codes(arguments)
    magnitude = np.abs(arguments["x"]).max(axis=-1, keepdims=True) * np.ones(arguments["x"].shape)
    return cost(magnitude @ (np.abs(scale) * (np.abs(q) + np.abs(zero_point))).T, arguments["x"].shape[-1] + 9)


@both
@given(arguments())
def test_it_is_the_product_of_fake_quantized_activations(engine, arguments):
    x_hat = engine.dynamic_fake_quantize(arguments["x"], arguments["activation_bits"], arguments["symmetric"])
    expected = engine.quantized_matmul(x_hat, *(arguments[name] for name in ("packed", "scale", "zero_point", "bits")))
    assert (np.abs(engine.quantized_linear(**arguments) - expected) <= near(arguments)).all()


@both
@given(arguments())
def test_a_token_does_not_depend_on_the_others(engine, arguments):
    y = engine.quantized_linear(**arguments)
    rows = arguments["x"].reshape(-1, arguments["x"].shape[-1])
    for row, expected in zip(rows, y.reshape(-1, y.shape[-1]), strict=True):
        np.testing.assert_array_equal(engine.quantized_linear(**(arguments | {"x": row})), expected)


@both
@given(arguments(), st.sampled_from(["x", "scale"]))
def test_powers_of_two_scale_the_result(engine, arguments, name):
    y = engine.quantized_linear(**arguments)
    zeros = name == "x" and not arguments["x"].any()
    scaled = engine.quantized_linear(**(arguments | {name: arguments[name] * np.float32(4)}))
    np.testing.assert_array_equal(scaled, y if zeros else y * 4)


@both
@given(arguments())
def test_a_packed_weight_gives_the_same_bits(engine, arguments):
    weight = engine.PackedWeight(*(arguments[name] for name in ("packed", "scale", "zero_point", "bits")))
    found = weight.quantized_linear(*(arguments[name] for name in ("x", "activation_bits", "symmetric")))
    np.testing.assert_array_equal(found, refq.quantized_linear(**arguments))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments |= {name: arguments[name].astype(np.float64) for name in ("x", "scale")}
    y = engine.quantized_linear(**arguments)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, refq.quantized_linear(**arguments))


def _wrong(quantize=refq.token_quantize, product=refq.integer_matmul, scaled=None):
    """quantized_linear with one step changed."""

    def quantized_linear(x, packed, scale, zero_point, bits, activation_bits, symmetric=False):
        refq.quantized_linear(x, packed, scale, zero_point, bits, activation_bits, symmetric)  # what it refuses
        q, step, zeros = quantize(x, activation_bits, symmetric)
        with np.errstate(over="ignore", invalid="ignore"):
            return (scaled or _in_order)(product(q, zeros, packed, zero_point, bits), scale, step)

    return quantized_linear


def _in_order(sums, scale, step, groups=None):
    y = np.zeros(sums.shape[:-1], np.float32)
    for j in groups or range(scale.shape[1]):
        y = y + sums[..., j].astype(np.float32) * scale[:, j]
    return y * step


def _step_first(sums, scale, step):
    y = np.zeros(sums.shape[:-1], np.float32)
    for j in range(scale.shape[1]):
        y = y + sums[..., j].astype(np.float32) * (scale[:, j] * step)
    return y


def _once(sums, scale, step):
    """Rounded once, at the end."""
    return ((sums * scale.astype(np.float64)).sum(axis=-1) * step).astype(np.float32)


def _fused(sums, scale, step):
    y = np.zeros(sums.shape[:-1], np.float32)
    for j in range(scale.shape[1]):
        y = (y + sums[..., j].astype(np.float32) * scale[:, j].astype(np.float64)).astype(np.float32)
    return y * step


def _one_grid(x, bits, symmetric):
    q, step, zeros = refq.token_quantize(x.reshape(1, -1), bits, symmetric)
    rows = (*x.shape[:-1], 1)
    return q.reshape(x.shape), np.broadcast_to(step[0], rows), np.broadcast_to(zeros[0], rows)


WRONG = {
    "one grid for all tokens": _wrong(lambda x, *a: _one_grid(x, *a) if x.size else refq.token_quantize(x, *a)),
    "never symmetric": _wrong(lambda x, bits, _: refq.token_quantize(x, bits)),
    "always symmetric": _wrong(lambda x, bits, _: refq.token_quantize(x, bits, True)),
    "a range without 0": _wrong(lambda x, bits, even: refq.token_quantize(x, bits, even, zero=even)),
    "8 bits whatever is asked for": _wrong(lambda x, bits, even: refq.token_quantize(x, 8, even)),
    "activations as they are": lambda activation_bits, symmetric, **rest: refq.quantized_matmul(**rest),
    "zero point of x ignored": _wrong(product=lambda q, z, *rest: refq.integer_matmul(q, z * 0, *rest)),
    "zero points of the weight ignored": _wrong(product=lambda q, z, p, w, b: refq.integer_matmul(q, z, p, w * 0, b)),
    "scales of the first group": _wrong(
        scaled=lambda s, scale, step: _in_order(s, scale[:, :1].repeat(s.shape[-1], 1), step)
    ),
    "last group first": _wrong(scaled=lambda s, scale, step: _in_order(s, scale, step, [*range(s.shape[-1])][::-1])),
    "step times scale first": _wrong(scaled=_step_first),
    "rounded once": _wrong(scaled=_once),
    "fused multiply-add": _wrong(scaled=_fused),
    "no step": _wrong(scaled=lambda s, scale, step: _in_order(s, scale, step * 0 + 1)),
}
