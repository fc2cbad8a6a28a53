"""Laws of codebook_lookup_vjp."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import test_codebook_lookup
from tests.laws.operations import assert_linear_in, cost, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    forward = draw(test_codebook_lookup.arguments())
    g = draw(tenths(forward["index"].shape))
    return {"g": g} | forward | {"reduce": draw(st.sampled_from(["mean", "sum"]))}


def edges():
    for i, forward in enumerate(test_codebook_lookup.edges()):
        yield {"g": normal(5, *forward["index"].shape)} | forward | {"reduce": ("mean", "sum")[i % 2]}


def members(arguments):
    """Number of members of every entry, and the sum of the sizes of their gradients."""
    ones = arguments | {"g": np.ones_like(arguments["g"]), "reduce": "sum"}
    sizes = arguments | {"g": np.abs(arguments["g"]), "reduce": "sum"}
    return refq.codebook_lookup_vjp(**ones), refq.codebook_lookup_vjp(**sizes)


def bound(arguments, expected):
    count, magnitude = members(arguments)
    return cost(magnitude / (np.maximum(count, 1) if arguments.get("reduce", "mean") == "mean" else 1), count + 2)


@both
@given(arguments())
def test_the_sum_is_the_derivative(engine, arguments):
    wide = arguments | {"reduce": "sum"} | {n: arguments[n].astype(np.float64) for n in ("g", "codebook")}
    direction = np.cos(np.arange(wide["codebook"].size)).reshape(wide["codebook"].shape)
    found = (engine.codebook_lookup_vjp(**wide) * direction).sum()
    np.testing.assert_allclose(found, (wide["g"] * engine.codebook_lookup(wide["index"], direction)).sum(), atol=1e-10)


@both
@given(arguments())
def test_the_mean_is_the_sum_by_the_number_of_members(engine, arguments):
    count, _ = members(arguments)
    mean, total = (engine.codebook_lookup_vjp(**arguments | {"reduce": how}) for how in ("mean", "sum"))
    assert (np.abs(mean * np.maximum(count, 1) - total) <= bound(arguments | {"reduce": "sum"}, total)).all()
    assert not mean[count == 0].any()


@both
@given(arguments())
def test_linear_in_g(engine, arguments):
    assert_linear_in(engine.codebook_lookup_vjp, arguments)


@both
@given(arguments())
def test_the_entries_do_not_enter(engine, arguments):
    moved = arguments | {"codebook": arguments["codebook"] + 1}
    np.testing.assert_array_equal(engine.codebook_lookup_vjp(**moved), engine.codebook_lookup_vjp(**arguments))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    wide = {n: v.astype(np.float64) if v.dtype == np.float32 else v for n, v in arguments.items() if n != "reduce"}
    found = engine.codebook_lookup_vjp(**wide, reduce=arguments["reduce"])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, refq.codebook_lookup_vjp(**arguments), rtol=1e-4, atol=1e-5)


def _wrong(function):
    def codebook_lookup_vjp(g, index, codebook, reduce="mean"):
        right = refq.codebook_lookup_vjp(g, index, codebook, reduce)  # for the errors
        count, _ = members({"g": g, "index": index, "codebook": codebook})
        return function(right, count, g, index, codebook, reduce).astype(np.float32)

    return codebook_lookup_vjp


def _always(how):
    return _wrong(lambda right, count, g, index, codebook, reduce: refq.codebook_lookup_vjp(g, index, codebook, how))


def _empty_is_nan(right, count, g, index, codebook, reduce):
    return np.where((count == 0) & (reduce == "mean"), np.nan, right)


def _nonzero_members(right, count, g, index, codebook, reduce):
    pulled = refq.codebook_lookup_vjp((g != 0).astype(g.dtype), index, codebook, "sum")
    return right * np.maximum(count, 1) / np.maximum(pulled, 1) if reduce == "mean" else right


def _mean_over_rows(right, count, g, index, codebook, reduce):
    rows = max(1, index[..., 0].size // max(1, codebook[..., 0].size))
    return right / rows if reduce == "sum" else right


def _over_all(right, count, g, index, codebook, reduce):
    return right * np.maximum(count, 1) / max(g.size, 1) if reduce == "mean" else right


WRONG = {
    "always the mean": _always("mean"),
    "always the sum": _always("sum"),
    "an empty entry is NaN": _wrong(_empty_is_nan),
    "members with a gradient of 0 do not count": _wrong(_nonzero_members),
    "averaged over the rows that share it": _wrong(_mean_over_rows),
    "divided by all elements": _wrong(_over_all),
    "the last member alone": _wrong(
        lambda right, count, g, index, codebook, reduce: right if not count.max(initial=0) > 1 else right / 2
    ),
    "of the first row alone": _wrong(
        lambda right, count, g, index, codebook, reduce: (
            right
            if index.ndim < 2 or codebook.ndim > 1
            else refq.codebook_lookup_vjp(g[:1], index[:1], codebook, reduce)
        )
    ),
}
