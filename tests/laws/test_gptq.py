"""Laws of gptq."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.solvers.columns import solve_columns
from tests.laws import solved
from tests.support import both


@st.composite
def arguments(draw):
    bits = draw(st.integers(2, 4))
    limits = dict(zip(("qmin", "qmax"), refq.integer_range(bits, draw(st.booleans())), strict=True))
    options = {"act_order": draw(st.booleans()), "damping": draw(st.sampled_from([0.01, 0.05, 1.0]))}
    return draw(solved.weights()) | limits | options


def edges():
    shapes = [(1, 1, 1), (3, 31, 1), (33, 65, 5), (70, 130, 2), (257, 64, 4), (31, 321, 3), (600, 70, 1)]
    for i, found in enumerate(solved.large_weights(shapes)):
        yield found | {"qmin": -8, "qmax": 7, "act_order": i % 2 == 1}


def bound(arguments, expected):
    return [None, None, solved.error_bound(arguments["w"], arguments["hessian"], expected[2])]


@both
@given(arguments())
def test_a_diagonal_hessian_rounds_to_nearest(engine, arguments):
    arguments["hessian"] = np.diag(np.arange(1, arguments["w"].shape[1] + 1).astype(np.float32))
    q, w_hat, _ = engine.gptq(**arguments)
    grid = solved.grid_of(arguments["scale"], arguments["zero_point"], q.shape[1])
    np.testing.assert_array_equal(q, refq.quantize(arguments["w"], *grid, arguments["qmin"], arguments["qmax"]))
    grid = solved.grid_of(arguments["scale"], arguments["zero_point"], q.shape[1])
    np.testing.assert_array_equal(w_hat, refq.dequantize(q, *grid))


@both
@given(arguments())
def test_equals_optimal_brain_quantization_in_a_fixed_order(engine, arguments):
    """Round one weight, then solve for all that are left; the inverse is that of what is left, computed anew."""
    hessian = arguments["hessian"]
    order = np.argsort(-hessian.diagonal(), kind="stable") if arguments["act_order"] else np.arange(len(hessian))
    scale, zero_point = solved.grid_of(arguments["scale"], arguments["zero_point"], len(hessian))
    damped = solved.damped(hessian, arguments["damping"])
    v, expected = solved.seen(arguments["w"], hessian).astype(np.float64), np.zeros(arguments["w"].shape, np.int32)
    for turn, j in enumerate(order):
        grid = scale[:, j], zero_point[:, j]
        expected[:, j] = refq.quantize(v[:, j].astype(np.float32), *grid, arguments["qmin"], arguments["qmax"])
        left = order[turn:]
        inverse = np.linalg.inv(damped[np.ix_(left, left)])
        v[:, left] -= np.outer(v[:, j] - refq.dequantize(expected[:, j], *grid), inverse[0] / inverse[0, 0])
    np.testing.assert_array_equal(engine.gptq(**arguments)[0], expected)


@both
@given(arguments())
def test_error_is_that_of_the_outputs(engine, arguments):
    arguments["hessian"] = arguments["hessian"].astype(np.float64)
    w = arguments["w"] = arguments["w"].astype(np.float64)
    arguments["scale"] = arguments["scale"].astype(np.float64)
    _, w_hat, error = engine.gptq(**arguments)
    assert (w_hat.dtype, error.dtype) == (np.float64, np.float64)
    expected = solved.output_error(w, w_hat, arguments["hessian"], arguments["damping"])
    live = arguments["hessian"].diagonal() != 0
    dead = (solved.damped(arguments["hessian"], arguments["damping"]).diagonal() * w_hat**2)[:, ~live].sum(axis=1)
    assert ((error**2)[:, ~live].sum(axis=1) <= dead * (1 + 1e-9)).all()
    np.testing.assert_allclose((error**2).sum(axis=1), expected, rtol=1e-9, atol=1e-9 * expected.max())


@both
@given(arguments(), st.data())
def test_rows_do_not_know_of_each_other(engine, arguments, data):
    row = data.draw(st.integers(0, len(arguments["w"]) - 1))
    alone = arguments | {name: arguments[name][row : row + 1] for name in ("w", "scale", "zero_point")}
    for one, all_rows in zip(engine.gptq(**alone)[:2], engine.gptq(**arguments)[:2], strict=True):
        np.testing.assert_array_equal(one[0], all_rows[row])


@both
def test_the_outputs_are_nearer_than_those_of_rounding_to_nearest(engine):
    """On average; with act_order nearer still."""
    errors = []
    for seed in range(10):
        [found] = solved.large_weights([(40, 48, 2)], seed)
        found |= {"qmin": -4, "qmax": 3}
        nearest = refq.fake_quantize(found["w"], *solved.grid_of(found["scale"], found["zero_point"], 48), -4, 3)
        results = nearest, engine.gptq(**found)[1], engine.gptq(**found, act_order=True)[1]
        errors.append([solved.output_error(found["w"], w_hat, found["hessian"]).sum() for w_hat in results])
    nearest, plain, ordered = np.mean(errors, axis=0)
    assert plain < 0.6 * nearest
    assert ordered < plain


@given(arguments(), st.integers(1, 9))
def test_blocks_decide_nothing(arguments, block):
    scale, zero_point = solved.grid_of(arguments["scale"], arguments["zero_point"], arguments["w"].shape[1])
    w = solved.seen(arguments["w"], arguments["hessian"])
    factor, _ = refq.hessian_factor(np.float64(arguments["hessian"]), arguments["damping"])

    def take(j, column):
        q = refq.quantize(column, scale[:, j], zero_point[:, j], arguments["qmin"], arguments["qmax"])
        return q, refq.dequantize(q, scale[:, j], zero_point[:, j])

    found = solve_columns(w, factor, lambda start, v: take, block)
    expected = refq.gptq(**arguments | {"act_order": False})
    np.testing.assert_equal(found[:2], expected[:2])


def _wrong(options=None, spread=None, window=None, parts=None):
    """The paper's form with one thing changed.

    spread(damped): what an error of 1 takes from later weights; window: inputs that know of each other; parts: of the
    results.
    """

    def gptq(w, hessian, scale, zero_point, qmin, qmax, act_order=False, damping=0.01):
        refq.gptq(w, hessian, scale, zero_point, qmin, qmax, act_order, damping)  # what it refuses
        chosen = {"real": np.float32, "dead": True, "clip": True, "back": True, "turn": False, "always": False}
        chosen |= {"order": lambda h: np.argsort(-h.diagonal(), kind="stable"), "damped": solved.damped} | (
            options or {}
        )
        order = chosen["order"](hessian) if act_order or chosen["always"] else np.arange(len(hessian))
        upper = (spread or _inverse_factor)(chosen["damped"](hessian, damping)[np.ix_(order, order)])
        s, z = (x if chosen["turn"] else x[:, order] for x in solved.grid_of(scale, zero_point, w.shape[1]))
        v = (solved.seen(w, hessian) if chosen["dead"] else w)[:, order].astype(np.float64)
        q, w_hat, error = np.zeros(w.shape, np.int32), np.zeros_like(w), np.zeros_like(w)
        for j in range(w.shape[1]):
            real = chosen["real"]
            t = np.rint(v[:, j].astype(real) / s[:, j].astype(real)) + z[:, j]
            q[:, j] = np.clip(t, qmin, qmax)
            w_hat[:, j] = (q[:, j] - z[:, j]).astype(np.float32) * s[:, j]
            lost = v[:, j] - (w_hat[:, j] if chosen["clip"] else (t - z[:, j]) * s[:, j])
            error[:, j] = lost / upper[j, j]
            stop = None if window is None else j // window * window + window
            v[:, j + 1 : stop] -= np.outer(lost / upper[j, j], upper[j, j + 1 : stop])
        back = np.argsort(order) if chosen["back"] else slice(None)
        found = [part[:, back] for part in (q, w_hat, error)]
        return parts(*found, w, np.sqrt(np.diag(upper)[back])) if parts else found

    return gptq


def _inverse_factor(damped):
    return np.linalg.cholesky(np.linalg.inv(damped)).T


def _error(function):
    """Another error of w, w_hat, the right error e and the square root of what the paper divides by."""
    return _wrong(parts=lambda q, w_hat, e, w, root: (q, w_hat, function(w, w_hat, e, root).astype(np.float32)))


def _damped(function):
    return _wrong({"damped": lambda hessian, damping: function(solved.damped(hessian, 0), damping)})


WRONG = {
    "nothing made up for": _wrong(spread=lambda damped: np.diag(np.diag(_inverse_factor(damped)))),
    "by the factor of the Hessian": _wrong(spread=lambda damped: np.linalg.cholesky(damped).T),
    "by the inverse of the factor": _wrong(spread=lambda damped: np.linalg.inv(np.linalg.cholesky(damped)).T),
    "by the inverse as it was": _wrong(
        spread=lambda damped: np.linalg.inv(damped) / np.sqrt(np.linalg.inv(damped).diagonal())[:, None]
    ),
    "inside blocks of two alone": _wrong(window=2),
    "the end of the grid is not made up for": _wrong({"clip": False}),
    "quotients in float64": _wrong({"real": np.float64}),
    "the last input first": _wrong({"always": True, "order": lambda h: np.arange(len(h))[::-1]}),
    "act_order forgotten": _wrong({"order": lambda h: np.arange(len(h))}),
    "the smallest element first": _wrong({"order": lambda h: np.argsort(h.diagonal(), kind="stable")}),
    "of equal elements the higher input first": _wrong(
        {"order": lambda h: len(h) - 1 - np.argsort(-h.diagonal()[::-1], kind="stable")}
    ),
    "not put back": _wrong({"back": False}),
    "groups by turn": _wrong({"turn": True}),
    "dead weights kept": _wrong({"dead": False}),
    "not damped": _damped(lambda matrix, damping: matrix + 1e-9 * np.eye(len(matrix))),
    "damping not relative": _damped(lambda matrix, damping: matrix + (damping + 1e-9) * np.eye(len(matrix))),
    "the lower triangle": lambda hessian, **rest: refq.gptq(hessian=hessian.T, **rest),
    "zero point forgotten": lambda zero_point, **rest: refq.gptq(zero_point=np.zeros_like(zero_point), **rest),
    "error of the weights": _error(lambda w, w_hat, e, root: w - w_hat),
    "error of the moved weights": _error(lambda w, w_hat, e, root: e * root**2),
    "error without a root": _error(lambda w, w_hat, e, root: e / root**2),
    "squares": _error(lambda w, w_hat, e, root: e**2),
    "without a sign": _error(lambda w, w_hat, e, root: np.abs(e)),
}
