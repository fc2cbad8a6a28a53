"""Laws of normalized_lsq_vjp."""

import numpy as np
from hypothesis import given

import refq
from refq.tape import unbroadcast
from tests.laws import test_normalized_lsq as forward
from tests.laws.learned import edges_with_gradient, sum_cost, with_gradient
from tests.laws.operations import assert_float64_is_kept, assert_linear_in
from tests.laws.test_normalized_lsq import gamma
from tests.support import both


def arguments():
    return with_gradient(forward.arguments())


def edges():
    return edges_with_gradient(forward.edges())


def bound(arguments, expected):
    g, x, scale, _, _ = arguments.values()
    return [None, sum_cost(g, np.where(_inside(**arguments), x / scale / scale, 0), np.shape(scale))]


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.normalized_lsq_vjp, arguments)


@both
@given(arguments())
def test_only_the_quotient_counts(engine, arguments):
    """x and scale moved along each other change nothing: gscale * scale + sum of gx * x = 0."""
    gx, gscale = engine.normalized_lsq_vjp(**arguments)
    shape = np.shape(gscale)
    terms = (gx * arguments["x"]).astype(np.float64)
    error = np.abs(gscale * arguments["scale"] + unbroadcast(terms, shape))
    assert (error <= 1e-5 * unbroadcast(np.abs(terms), shape)).all()


@both
@given(arguments())
def test_nothing_from_what_is_clipped(engine, arguments):
    arguments["x"] = np.where(_inside(**arguments), arguments["x"] * 0, arguments["x"])
    gx, gscale = engine.normalized_lsq_vjp(**arguments)
    assert (gx[arguments["x"] != 0] == 0).all()
    assert (gscale == 0).all()


@both
@given(arguments())
def test_a_shared_scale_gets_the_sum_of_its_copies(engine, arguments):
    own = np.ascontiguousarray(np.broadcast_to(arguments["scale"], arguments["x"].shape))
    _, copies = engine.normalized_lsq_vjp(**(arguments | {"scale": own}))
    _, gscale = engine.normalized_lsq_vjp(**arguments)
    total = unbroadcast(copies.astype(np.float64), np.shape(arguments["scale"]))
    assert (np.abs(gscale - total) <= bound(arguments, None)[1]).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    # no end may move
    arguments["scale"] = np.exp2(np.rint(np.log2(arguments["scale"]))).astype(np.float32)
    assert_float64_is_kept(engine.normalized_lsq_vjp, arguments)


def _inside(x, scale, bits, signed=True, **_):
    low, high = (-1 if signed else 0, 1) if bits == 1 else refq.integer_range(bits, signed)
    v = gamma(bits, signed) * (x / np.asarray(scale, x.dtype))
    return (low <= v) & (v <= high)


def _wrong(inside=_inside, of_x=lambda g, x, s: g / s, of_scale=lambda g, x, s: -g * (x / s) / s, gather=unbroadcast):
    def normalized_lsq_vjp(g, x, scale, bits, signed=True):
        refq.normalized_lsq_vjp(g, x, scale, bits, signed)  # for the errors
        scale, zero = np.asarray(scale, x.dtype), x.dtype.type(0)
        with np.errstate(all="ignore"):
            mask = inside(x=x, scale=scale, bits=bits, signed=signed)
            gx, terms = np.where(mask, of_x(g, x, scale), zero), np.where(mask, of_scale(g, x, scale), zero)
        return gx.astype(x.dtype), np.asarray(gather(terms, scale.shape), x.dtype)

    return normalized_lsq_vjp


def _strictly(x, scale, bits, signed=True):
    low, high = (-1 if signed else 0, 1) if bits == 1 else refq.integer_range(bits, signed)
    v = gamma(bits, signed) * (x / scale)
    return (low < v) & (v < high)


def _on_code(x, scale, bits, signed=True):
    low, high = (-1 if signed else 0, 1) if bits == 1 else refq.integer_range(bits, signed)
    d = np.rint(gamma(bits, signed) * (x / scale))
    return (low <= d) & (d <= high)


def _lsq(g, x, scale, bits, signed=True):
    refq.normalized_lsq_vjp(g, x, scale, bits, signed)  # for the errors
    limits, over = (0, 1) if bits == 1 else refq.integer_range(bits, signed), gamma(bits, signed)
    return refq.lsq_vjp(g, x, np.asarray(scale, x.dtype) / over, 0, *limits)


WRONG = {
    "ends do not pass": _wrong(_strictly),
    "mask on the rounded code": _wrong(_on_code),
    "no mask": _wrong(lambda x, **_: np.isfinite(x)),
    "straight through without 1 / scale": _wrong(of_x=lambda g, x, s: g),
    "multiplied by scale": _wrong(of_x=lambda g, x, s: g * s),
    "terms divided first": _wrong(of_scale=lambda g, x, s: -(g / s) * (x / s)),
    "sign of gscale": _wrong(of_scale=lambda g, x, s: g * (x / s) / s),
    "divided by scale once": _wrong(of_scale=lambda g, x, s: -g * (x / s)),
    "scale not trained": _wrong(of_scale=lambda g, x, s: 0 * g),
    "the gradients of lsq": _lsq,
    "one sum for all": _wrong(gather=lambda terms, shape: np.full(shape, terms.sum())),
    "averaged": _wrong(gather=lambda terms, shape: unbroadcast(terms, shape) * (np.prod(shape) / max(terms.size, 1))),
    "always signed": lambda g, x, scale, bits, signed=True: refq.normalized_lsq_vjp(g, x, scale, bits),
}
