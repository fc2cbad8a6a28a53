"""Laws of reassemble_input."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws import channels
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, normal, tenths
from tests.support import both


@st.composite
def arguments(draw):
    old, form = draw(channels.forms())
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,)]))
    return {"x": draw(tenths((*lead, old))), "reassembly": form}


def edges():
    for rows, counts in ((1, 1), (3, 40), (300, 1100)):
        random = np.random.default_rng(counts)
        splits = random.integers(1, 4, counts)
        single = np.flatnonzero(np.repeat(splits, splits) == 1)
        into = np.arange(splits.sum())
        stay = single[: len(single) // 5 + 1]
        into[single] = random.choice(stay, len(single)) if len(stay) else single
        into[stay] = stay
        yield {"x": normal(rows, rows, counts), "reassembly": refq.assemble(splits, into)}


@both
@given(arguments())
def test_it_is_a_matrix(engine, arguments):
    x, form = arguments.values()
    matrix, found = channels.weighted(x.shape[-1], form), engine.reassemble_input(**arguments)
    assert found.dtype == x.dtype
    bound = channels.BOUND * (np.abs(x) @ matrix.T) + 1e-30
    assert (np.abs(found - x.astype(np.float64) @ matrix.T) <= bound).all()


@both
@given(arguments())
def test_linear(engine, arguments):
    assert_linear_in(engine.reassemble_input, arguments, "x")


@both
@given(channels.assemblies(), st.integers(1, 3))
def test_a_disassembly_keeps_the_product(engine, arguments, out):
    counts = arguments["counts"]
    random = np.random.default_rng(int(counts.sum()))
    x, w = random.standard_normal((4, len(counts))), random.standard_normal((out, len(counts)))
    form = engine.assemble(counts, np.arange(counts.sum()))
    y = engine.linear(engine.reassemble_input(x, form), engine.reassemble_weight(w, form))
    np.testing.assert_allclose(y, x @ w.T, atol=1e-13)


@both
@given(channels.forms(), st.booleans())
def test_merging_equals_is_exact(engine, pair, equal_inputs):
    """Channels that become one have equal inputs, or else equal weights."""
    old, form = pair
    random = np.random.default_rng(old)
    x, w = random.standard_normal((4, old)), random.standard_normal((3, old))
    new = np.repeat(np.arange(len(form[1])), form[1])
    for c in np.flatnonzero(form[1] > 1):
        some = form[0][new == c]
        (x if equal_inputs else w)[:, some] = (x if equal_inputs else w)[:, some[:1]]
    w[:, ~np.isin(np.arange(old), form[0])] = 0  # what is left out has no weight
    y = engine.linear(engine.reassemble_input(x, form), engine.reassemble_weight(w, form))
    np.testing.assert_allclose(y, x @ w.T, atol=1e-13)


@both
@given(arguments())
def test_a_linear_layer_before_takes_it_over(engine, arguments):
    form, old = arguments["reassembly"], arguments["x"].shape[-1]
    random = np.random.default_rng(old)
    z, v, b = random.standard_normal((4, 5)), random.standard_normal((old, 5)), random.standard_normal(old)
    folded = engine.linear(z, engine.reassemble_input(v.T, form).T, engine.reassemble_input(b, form))
    np.testing.assert_allclose(folded, engine.reassemble_input(engine.linear(z, v, b), form), atol=1e-13)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.reassemble_input, arguments)


def summed(x, reassembly, divide=lambda v, sizes, divisors: v / divisors, order=1, real=np.float32):
    """The sums of the members with another division, in another order, or in another precision."""
    members, sizes, divisors = reassembly
    runs, columns = np.split(members, np.cumsum(sizes)[:-1]), []
    for run in runs:
        total = np.zeros(x.shape[:-1], real)
        for i in run[::order]:
            total = total + x[..., i].astype(real)
        columns.append(total)
    y = np.stack(columns, axis=-1)
    return divide(y, sizes.astype(real), divisors.astype(real)).astype(x.dtype)


def _wrong(**changes):
    def reassemble_input(x, reassembly):
        refq.reassemble_input(x, reassembly)
        return summed(x, reassembly, **changes)

    return reassemble_input


WRONG = {
    "not divided": _wrong(divide=lambda v, sizes, divisors: v),
    "multiplied": _wrong(divide=lambda v, sizes, divisors: v * divisors),
    "the mean alone": _wrong(divide=lambda v, sizes, divisors: v / sizes),
    "parts alone divided": _wrong(divide=lambda v, sizes, divisors: np.where(sizes > 1, v, v / divisors)),
    "times the reciprocal": _wrong(divide=lambda v, sizes, divisors: v * (1 / divisors)),
    "from the last member to the first": _wrong(order=-1),
    "in float64": _wrong(real=np.float64),
}
