"""Laws of gptq_grouped."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.solvers.gptq_grouped import grouped
from tests.laws import solved
from tests.support import both


@st.composite
def arguments(draw):
    """Weights in general position: the first group may be on halves, which a grid fitted to it seldom meets."""
    found = draw(solved.weights())
    size = found["w"].shape[1] // found["scale"].shape[1]
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    symmetric = draw(st.booleans())
    qmin, qmax = refq.integer_range(draw(st.integers(2, 4)), symmetric or draw(st.booleans()))
    return {
        "w": random.standard_normal(found["w"].shape).astype(np.float32),
        "hessian": found["hessian"],
        "group_size": draw(st.sampled_from([size, 1, size * found["scale"].shape[1]])),
        "qmin": qmin,
        "qmax": qmax,
        "symmetric": symmetric,
        "damping": draw(st.sampled_from([0.01, 0.5])),
    }


def edges():
    for i, (rows, width, size) in enumerate(
        [(1, 1, 1), (3, 31, 31), (33, 65, 13), (70, 130, 65), (257, 64, 16), (31, 321, 107)]
    ):
        [found] = solved.large_weights([(rows, width, 1)], i)
        yield {
            "w": found["w"],
            "hessian": found["hessian"],
            "group_size": size,
            "qmin": -8,
            "qmax": 7,
            "symmetric": i % 2 == 0,
        }


def bound(arguments, expected):
    within = solved.error_bound(arguments["w"], arguments["hessian"], expected[2])
    return [None, None, within, None, None]


@both
@given(arguments())
def test_gptq_with_its_grid_gives_its_codes(engine, arguments):
    q, w_hat, error, scale, zero_point = engine.gptq_grouped(**arguments)
    kept = {name: arguments[name] for name in ("w", "hessian", "qmin", "qmax", "damping")}
    again = engine.gptq(**kept, scale=scale, zero_point=zero_point)
    np.testing.assert_equal(again[:2], (q, w_hat))
    np.testing.assert_allclose(again[2], error, rtol=1e-6, atol=1e-6)


@both
@given(arguments())
def test_a_diagonal_hessian_gives_the_grids_of_minmax(engine, arguments):
    arguments["hessian"] = np.diag(np.arange(1, arguments["w"].shape[1] + 1).astype(np.float32))
    q, _, _, scale, zero_point = engine.gptq_grouped(**arguments)
    groups = refq.to_groups(arguments["w"], arguments["group_size"])
    rule = arguments["qmin"], arguments["qmax"]
    grid = refq.minmax(groups, *rule, arguments["symmetric"])
    np.testing.assert_equal((scale, zero_point), tuple(part[..., 0] for part in grid))
    np.testing.assert_array_equal(q, refq.quantize(groups, *grid, *rule).reshape(q.shape))


@both
@given(arguments())
def test_the_first_group_has_the_grid_of_its_weights(engine, arguments):
    size = arguments["group_size"]
    first = solved.seen(arguments["w"], arguments["hessian"])[:, :size]
    scale, zero_point = engine.gptq_grouped(**arguments)[3:]
    expected = refq.minmax(first, arguments["qmin"], arguments["qmax"], arguments["symmetric"])
    np.testing.assert_equal((scale[:, :1], zero_point[:, :1]), expected)


@both
def test_another_rule_may_fit_the_grids(engine):
    [found] = solved.large_weights([(20, 48, 1)])
    module = __import__(f"{engine.__name__}.solvers.gptq_grouped", fromlist=["grouped"])

    def fit(v):
        return refq.gptq_range(v, 3)[:2]

    results = [g(found["w"], found["hessian"], 16, (0, 7), 0.01, fit) for g in (module.grouped, grouped)]
    np.testing.assert_equal(results[0][:2] + results[0][3:], results[1][:2] + results[1][3:])


def _wrong(grid, **more):
    """gptq with other grids, of w (out, groups, size) and what gptq_grouped gives."""

    def gptq_grouped(w, hessian, group_size, qmin, qmax, symmetric=True, damping=0.01):
        found = refq.gptq_grouped(w, hessian, group_size, qmin, qmax, symmetric, damping)
        groups = refq.to_groups(solved.seen(w, hessian), group_size)
        scale, zero_point = grid(groups, found, qmin, qmax, symmetric)
        again = refq.gptq(w, hessian, scale, zero_point, qmin, qmax, damping=damping)
        return *again, scale, zero_point

    return gptq_grouped


def _flat(grid):
    return tuple(part[..., 0] for part in grid)


def _every_block(w, hessian, group_size, qmin, qmax, symmetric=True, damping=0.01):
    """The grid fitted anew before every input of a group: the last fit is what is stored."""
    found = refq.gptq_grouped(w, hessian, group_size, qmin, qmax, symmetric, damping)
    one = refq.gptq_grouped(w, hessian, 1, qmin, qmax, symmetric, damping)
    return *one[:3], *found[3:]


WRONG = {
    "static groups": _wrong(lambda groups, found, qmin, qmax, s: _flat(refq.minmax(groups, qmin, qmax, s))),
    "the grid of the first group": _wrong(
        lambda groups, found, *rule: tuple(np.repeat(p[:, :1], p.shape[1], 1) for p in found[3:])
    ),
    "one grid for all": _wrong(
        lambda groups, found, qmin, qmax, s: tuple(
            np.repeat(p[:, 0], groups.shape[1], 1)
            for p in refq.minmax(groups.reshape(len(groups), 1, -1), qmin, qmax, s)
        )
    ),
    "always symmetric": lambda symmetric=True, **rest: refq.gptq_grouped(symmetric=rest["qmin"] < 0, **rest),
    "always asymmetric": lambda symmetric=True, **rest: refq.gptq_grouped(symmetric=False, **rest),
    "fitted at every input": _every_block,
    "the grid of what is stored": _wrong(
        lambda groups, found, qmin, qmax, s: _flat(refq.minmax(found[1].reshape(groups.shape), qmin, qmax, s))
    ),
    "the range of gptq_range": lambda w, hessian, group_size, qmin, qmax, symmetric=True, damping=0.01: (
        *refq.gptq_grouped(w, hessian, group_size, qmin, qmax, symmetric, damping)[:3],
        *(_half_step(*refq.gptq_grouped(w, hessian, group_size, qmin, qmax, symmetric, damping)[3:], qmax)),
    ),
}


def _half_step(scale, zero_point, qmax):
    return (scale * qmax / np.float32(qmax + 0.5)).astype(np.float32), zero_point
