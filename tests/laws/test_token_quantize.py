"""Laws of token_quantize."""

import numpy as np
from hypothesis import assume, given

import refq
from tests.laws import test_dynamic_fake_quantize as real
from tests.support import both


@real.st.composite
def arguments(draw):
    found = draw(real.arguments())
    zero = found["symmetric"] or draw(real.st.booleans())
    return found | {"zero": zero}


def edges():
    for i, found in enumerate(real.edges()):
        yield found | {"zero": found["symmetric"] or i % 4 == 0}


@both
@given(arguments())
def test_a_token_does_not_depend_on_the_others(engine, arguments):
    n = arguments["x"].shape[-1]
    rows = [part.reshape(-1, part.shape[-1]) for part in engine.token_quantize(**arguments)]
    for row, *expected in zip(arguments["x"].reshape(-1, n), *rows, strict=True):
        for one, other in zip(engine.token_quantize(**(arguments | {"x": row})), expected, strict=True):
            np.testing.assert_array_equal(one, other)


@both
@given(arguments())
def test_with_zero_they_are_the_reals_of_dynamic_fake_quantize(engine, arguments):
    arguments["zero"] = True
    expected = engine.dynamic_fake_quantize(*list(arguments.values())[:3])
    np.testing.assert_array_equal(engine.dequantize(*engine.token_quantize(**arguments)), expected)


@both
@given(arguments())
def test_without_zero_a_wide_range_is_covered_by_finer_steps(engine, arguments):
    arguments |= {"symmetric": False, "zero": False, "bits": min(arguments["bits"], 8)}
    x, bits = arguments["x"].astype(np.float64), arguments["bits"]
    width = np.ptp(x, axis=-1, keepdims=True)
    assume(x.size and width.min() > 0.3)
    q, scale, zero_point = engine.token_quantize(**arguments)
    assert (scale <= engine.token_quantize(**(arguments | {"zero": True}))[1] * np.float32(1.000001)).all()
    np.testing.assert_allclose(scale, width / (2**bits - 1), rtol=1e-6)
    near = (np.abs(x).max(axis=-1, keepdims=True, initial=0) / scale) < 9000
    error = np.abs(engine.dequantize(q, scale, zero_point) - x)
    assert (np.where(near, error, 0) <= scale * 1.002).all()  # x and the zero point are rounded, each by half a step


@both
@given(arguments())
def test_larger_numbers_have_no_smaller_codes(engine, arguments):
    x, (qmin, qmax) = np.sort(arguments["x"], axis=-1), refq.integer_range(arguments["bits"])
    q, scale, zero_point = engine.token_quantize(**(arguments | {"x": x}))
    assert (np.diff(q, axis=-1) >= 0).all()
    assert ((q >= qmin) & (q <= qmax)).all()
    if not arguments["zero"]:
        assert (scale >= np.float32(1e-5)).all()
        assert (np.abs(zero_point - qmin) <= 10_000).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["x"] = arguments["x"].astype(np.float64)
    found = engine.token_quantize(**arguments)
    assert [part.dtype for part in found] == [np.int32, np.float64, np.int32]
    np.testing.assert_equal(found, refq.token_quantize(**arguments))


def _wrong(view=lambda x: x, floor=1e-5, far=1e4, zero=None, even=None, order=1, less=0, clip_first=True):
    """token_quantize with one step changed."""

    def token_quantize(x, bits, symmetric=False, **rest):
        refq.token_quantize(x, bits, symmetric, **rest)  # what it refuses
        inside = rest.get("zero", True) if zero is None else zero
        symmetric = symmetric if even is None else even
        qmin, qmax = refq.integer_range(bits)
        groups = view(x)
        if inside:
            scale, zero_point = refq.minmax(groups, qmin, qmax - less, symmetric)
        else:
            lo, hi = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
            with np.errstate(over="ignore"):
                scale = np.maximum((hi - lo) / np.float32(qmax - less - qmin), np.float32(floor))
                offset = np.clip(-lo / scale, -far, far) if clip_first else np.clip(-hi / scale, -far, far)
            zero_point = (qmin + np.rint(offset)).astype(np.int32)
        q = refq.quantize(groups, scale, zero_point, qmin, qmax - less)
        if order == 0:
            q = np.clip(np.rint(groups / scale + zero_point.astype(np.float32)), qmin, qmax).astype(np.int32)
        return (q.reshape(x.shape), *(np.resize(v, (*x.shape[:-1], 1)) for v in (scale, zero_point)))

    return token_quantize


def _unsigned(x, bits, **rest):
    q, scale, zero_point = refq.token_quantize(x, bits, **rest)
    return q + 2 ** (bits - 1), scale, zero_point + 2 ** (bits - 1)


WRONG = {
    "one grid for all": _wrong(lambda x: x.reshape(1, -1)),
    "a grid a channel": _wrong(lambda x: x.T if x.ndim == 2 else x),
    "zero always inside": _wrong(zero=True),
    "zero never inside": _wrong(zero=False),
    "no smallest step": _wrong(floor=1e-12),
    "a smallest step of 1e-6": _wrong(floor=1e-6),
    "a far zero point": _wrong(far=2**20 - 2**15),
    "the zero point is that of the largest number": _wrong(clip_first=False),
    "always symmetric": _wrong(even=True, zero=True),
    "never symmetric": _wrong(even=False),
    "zero point added before rounding": _wrong(order=0),
    "a code less": _wrong(less=1),
    "codes from 0 up": _unsigned,
    "scale of one axis less": lambda **a: tuple(
        v if i == 0 else v[..., 0] for i, v in enumerate(refq.token_quantize(**a))
    ),
}
