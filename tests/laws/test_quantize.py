"""Laws of quantize."""

import numpy as np
import pytest
from hypothesis import given

import refq
from tests.support import both, grid_arguments, grid_edges

arguments = grid_arguments
edges = grid_edges


@both
@given(arguments())
def test_codes_lie_on_the_grid(engine, arguments):
    q = engine.quantize(**arguments)
    assert q.dtype == np.int32
    assert q.shape == arguments["x"].shape
    assert ((arguments["qmin"] <= q) & (q <= arguments["qmax"])).all()


@both
@given(arguments())
def test_undoes_dequantize(engine, arguments):
    q = np.arange(arguments["qmin"], arguments["qmax"] + 1, dtype=np.int32)
    scale, zero_point = arguments["scale"][0], arguments["zero_point"][0]
    x = engine.dequantize(q, scale, zero_point)
    np.testing.assert_array_equal(engine.quantize(x, scale, zero_point, arguments["qmin"], arguments["qmax"]), q)


@both
@given(arguments())
def test_non_decreasing(engine, arguments):
    arguments["scale"] = np.abs(arguments["scale"])
    arguments["x"] = np.sort(arguments["x"], axis=-1)
    assert (np.diff(engine.quantize(**arguments), axis=-1) >= 0).all()


@both
@given(arguments())
def test_powers_of_two_change_nothing(engine, arguments):
    q = engine.quantize(**arguments)
    arguments["x"], arguments["scale"] = arguments["x"] * np.float32(8), arguments["scale"] * np.float32(8)
    np.testing.assert_array_equal(engine.quantize(**arguments), q)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments["x"], arguments["scale"] = arguments["x"].astype(np.float64), arguments["scale"].astype(np.float64)
    np.testing.assert_array_equal(engine.quantize(**arguments), refq.quantize(**arguments))


@both
def test_mixed_types_are_refused(engine):
    with pytest.raises(refq.errors.DtypeError, match="float64 is needed"):
        engine.quantize(np.zeros(3), np.float32([1]), 0, -8, 7)


def _wrong(rounding=np.rint, add_first=False, divide=lambda x, s: x / s):
    def quantize(x, scale, zero_point, qmin, qmax):
        t = divide(x, scale)
        u = rounding(t + zero_point) if add_first else rounding(t) + zero_point
        return np.clip(u, qmin, qmax).astype(np.int32)

    return quantize


def _even_neighbour(t):
    return np.where(np.floor(t) % 2 == 0, np.floor(t), np.ceil(t))


def _cast_first(x, scale, zero_point, qmin, qmax):
    with np.errstate(invalid="ignore"):
        return np.clip(np.rint(x / scale).astype(np.int32) + np.asarray(zero_point, np.int32), qmin, qmax).astype(
            np.int32
        )


def _clip_first(x, scale, zero_point, qmin, qmax):
    return (np.clip(np.rint(x / scale), qmin, qmax) + zero_point).astype(np.int32)


def _wrap(x, scale, zero_point, qmin, qmax):
    u = np.clip(np.rint(x / scale) + zero_point, -(2.0**30), 2.0**30).astype(np.int64)
    return ((u - qmin) % (qmax - qmin + 1) + qmin).astype(np.int32)


WRONG = {
    "ties away from zero": _wrong(lambda t: np.copysign(np.floor(np.abs(t) + 0.5), t)),
    "ties up": _wrong(lambda t: np.floor(t + 0.5)),
    "zero point added before rounding": _wrong(add_first=True),
    "truncation": _wrong(np.trunc),
    "cast before clipping": _cast_first,
    "product with the reciprocal": _wrong(divide=lambda x, s: x * (x.dtype.type(1) / s)),
    "division in float64": _wrong(divide=lambda x, s: x.astype(np.float64) / s),
    "narrow range": lambda x, scale, zero_point, qmin, qmax: refq.quantize(x, scale, zero_point, qmin + 1, qmax),
    "clip before adding the zero point": _clip_first,
    "nearest even neighbour": _wrong(_even_neighbour),
    "wrap": _wrap,
}
