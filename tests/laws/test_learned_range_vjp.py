"""Laws of learned_range_vjp."""

import numpy as np
from hypothesis import example, given

import refq
from refq.tape import unbroadcast
from refq.training.learned_range import range_ends, range_grid
from tests.laws.learned import edges_with_gradient, range_arguments, range_edges, sum_cost, with_gradient
from tests.laws.operations import assert_linear_in, wide
from tests.support import both


def arguments():
    return with_gradient(range_arguments())


def edges():
    return edges_with_gradient(range_edges())


def bound(arguments, expected):
    """a and b stem from numbers up to n and minimum / scale, divided by n."""
    place, n = _grid(**arguments)[3], np.float64(2 ** arguments["bits"] - 1)
    size = 2 + np.abs(place) / n + _slopes(**arguments)[0] * 0
    return [None, *(sum_cost(arguments["g"], size, np.shape(arguments[end])) for end in ("minimum", "maximum"))]


TINY = {"g": np.float32([0.1]), "x": np.float32([2.0**-126]), "minimum": np.float32(0), "maximum": np.float32(0.5)}


@both
@given(arguments())
@example(TINY | {"bits": 2, "symmetric": False})
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.learned_range_vjp, arguments)


@both
@given(arguments())
def test_gx_is_that_of_fake_quantize(engine, arguments):
    scale, zero_point, _, _ = _grid(**arguments)
    limits = refq.integer_range(arguments["bits"], arguments["symmetric"])
    expected = refq.fake_quantize_vjp(arguments["g"], arguments["x"], scale, zero_point, *limits)
    np.testing.assert_array_equal(engine.learned_range_vjp(**arguments)[0], expected)


@both
def test_a_large_gradient_is_divided_before_it_overflows(engine):
    g, x = np.float32([1e37, 1e37]), np.float32([2, 4])
    _, gminimum, gmaximum = engine.learned_range_vjp(g, x, np.float32([-1]), np.float32([1]), 8, True)
    np.testing.assert_allclose([gminimum, gmaximum], np.float64([[-1], [1]]) * 2e37 * 127 / 255, rtol=1e-6)


@both
@given(arguments())
def test_the_sum_of_both_is_what_is_clipped(engine, arguments):
    """With ends of its own every number gives g to both together, if it is clipped and the zero point follows."""
    ends = {
        end: np.ascontiguousarray(np.broadcast_to(arguments[end], arguments["x"].shape))
        for end in ("minimum", "maximum")
    }
    arguments |= ends
    gx, gminimum, gmaximum = engine.learned_range_vjp(**arguments)
    follows = _grid(**arguments)[2]
    expected = np.where(follows, arguments["g"] - gx, 0)
    assert (np.abs(gminimum + gmaximum - expected) <= bound(arguments, None)[1]).all()


@both
@given(arguments())
def test_symmetric_is_lsq_over_n(engine, arguments):
    arguments["symmetric"] = True
    scale, zero_point, _, _ = _grid(**arguments)
    limits = refq.integer_range(arguments["bits"])
    arguments["x"] = np.clip(arguments["x"], (limits[0] + 1) * scale, (limits[1] - 1) * scale)  # the masks agree
    shape = scale.shape
    arguments |= {end: np.broadcast_to(arguments[end], shape).copy() for end in ("minimum", "maximum")}
    _, gminimum, gmaximum = engine.learned_range_vjp(**arguments)
    _, gscale = refq.lsq_vjp(arguments["g"], arguments["x"], scale, 0, *limits)
    within = bound(arguments, None)[2]
    assert (np.abs(gmaximum - gscale / (2 ** arguments["bits"] - 1)) <= within).all()
    assert (np.abs(gmaximum + gminimum) <= within).all()


@both
@given(arguments())
def test_is_the_chain_rule(engine, arguments):
    """gscale of the grid and the gradient of the rounded offset, carried to both ends."""
    scale, zero_point, follows, place = _grid(**arguments)
    n = 2 ** arguments["bits"] - 1
    low, high = range_ends(zero_point, arguments["bits"], arguments["symmetric"], np.float64)
    t = arguments["x"] / scale
    inside, g = (low <= np.rint(t)) & (np.rint(t) <= high), arguments["g"].astype(np.float64)
    by_scale = g * np.where(inside, np.rint(t) - t, np.clip(np.rint(t), low, high))
    by_offset = g * np.where(inside, 0, scale) * follows
    chain = by_scale - by_offset * place / scale
    _, gminimum, gmaximum = engine.learned_range_vjp(**arguments)
    for found, terms, within in zip(
        (gminimum, gmaximum), (by_offset / scale - chain / n, chain / n), bound(arguments, None)[1:], strict=True
    ):
        assert (np.abs(found - unbroadcast(terms, np.shape(found))) <= within).all()


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert {gradient.dtype for gradient in engine.learned_range_vjp(**wide(arguments))} == {np.dtype(np.float64)}


def _grid(minimum, maximum, bits, symmetric, **_):
    """Scale, zero point, whether it follows minimum, and minimum / scale where it does."""
    minimum, maximum = np.asarray(minimum), np.asarray(maximum)
    scale, zero_point, follows = range_grid(minimum, maximum, bits, symmetric)
    return scale, zero_point, follows, np.where(follows, minimum / scale, 0)


def _slopes(x, minimum, maximum, bits, symmetric, mask=None, follow=None, **_):
    scale, zero_point, follows, place = _grid(minimum, maximum, bits, symmetric)
    if follow is not None:
        follows = np.full_like(follows, follow)
        place = minimum / scale * follows
    low, high = range_ends(zero_point, bits, symmetric, x.dtype)
    t = x / scale
    r = np.rint(t)
    inside = (low <= r) & (r <= high) if mask is None else mask(t, low, high)
    a = np.where(inside, r - t, np.clip(r, low, high) - place) / np.float32(2**bits - 1)
    return a, np.where(inside | ~follows, -a, 1 - a), inside


def _wrong(change=lambda a, b, inside, bits: (a, b), **options):
    def learned_range_vjp(g, x, minimum, maximum, bits, symmetric):
        a, b, inside = _slopes(x, minimum, maximum, bits, symmetric, **options)
        a, b = change(a, b, inside, bits)
        ends = ((b, minimum), (a, maximum))
        sums = (np.asarray(unbroadcast(g * s, np.shape(end)), x.dtype) for s, end in ends)
        return (np.where(inside, g, 0).astype(x.dtype), *sums)

    return learned_range_vjp


WRONG = {
    "mask of lsq": _wrong(mask=lambda t, low, high: (low < t) & (t < high)),
    "offset held constant": _wrong(follow=False),
    "offset follows always": _wrong(follow=True),
    "ends swapped": _wrong(lambda a, b, inside, bits: (b, a)),
    "each end moves its own alone": _wrong(
        lambda a, b, inside, bits: (np.where(inside, a, np.rint(a)), np.where(inside, b, np.rint(b)))
    ),
    "slope 0 inside": _wrong(lambda a, b, inside, bits: (a * ~inside, b * ~inside)),
    "minimum is minus maximum": _wrong(lambda a, b, inside, bits: (a, -a)),
    "divided by the largest code": _wrong(
        lambda a, b, inside, bits: tuple(v * np.float32((2**bits - 1) / (2 ** (bits - 1) - 1)) for v in (a, b))
    ),
    "gradient of x not clipped": lambda g, **a: (g, *refq.learned_range_vjp(g, **a)[1:]),
    "averaged": lambda g, x, **a: tuple(
        r if i == 0 else r / np.float32(max(x.size, 1)) for i, r in enumerate(refq.learned_range_vjp(g, x, **a))
    ),
}
