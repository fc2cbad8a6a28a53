"""Laws of codebook_matmul."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.grids.pack import as_codes
from tests.laws.operations import assert_float64_is_kept, assert_linear_in, cost, normal, tenths
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    bits, out = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    groups, size = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    lead = draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    index = draw(int_arrays((out, groups * size), 0, 2**bits - 1, np.uint8))
    return {
        "x": draw(tenths((*lead, groups * size))),
        "packed": refq.pack_codes(as_codes(index, bits), bits),
        "codebook": draw(tenths((draw(st.sampled_from([1, out])), groups, 2**bits))),
        "bits": bits,
    }


def edges():
    for bits, rows, out, books, groups, size in (
        (4, 1, 33, 33, 2, 128),
        (4, 9, 65, 1, 1, 172),
        (3, 2, 65, 65, 5, 8),
        (8, 1, 31, 1, 2, 32),
        (2, 5, 16, 16, 8, 4),
        (1, 3, 300, 1, 3, 129),
    ):
        index = np.random.default_rng(out).integers(0, 2**bits, (out, groups * size)).astype(np.uint8)
        yield {
            "x": normal(out, rows, groups * size),
            "packed": refq.pack_codes(as_codes(index, bits), bits),
            "codebook": normal(bits, books, groups, 2**bits),
            "bits": bits,
        }


def weight(arguments, spread=lambda index, codebook: refq.codebook_lookup(index, codebook)):
    """The weight (out, in)."""
    n, bits, codebook = arguments["x"].shape[-1], arguments["bits"], arguments["codebook"]
    index = refq.unpack_codes(arguments["packed"], bits, n) % 2**bits
    return spread(index.reshape(len(index), codebook.shape[1], -1), codebook).reshape(len(index), n)


def bound(arguments, expected):
    return cost(np.abs(arguments["x"]) @ np.abs(weight(arguments)).T, arguments["x"].shape[-1] + 2)


@both
@given(arguments())
def test_it_is_linear_with_the_weight_looked_up(engine, arguments):
    y = arguments["x"] @ weight(arguments).T
    assert (np.abs(engine.codebook_matmul(**arguments) - y) <= bound(arguments, y)).all()


@both
@given(arguments())
def test_linear_in_x_and_the_codebook(engine, arguments):
    assert_linear_in(engine.codebook_matmul, arguments, "x")
    twice = engine.codebook_matmul(**(arguments | {"codebook": arguments["codebook"] * 2}))
    np.testing.assert_array_equal(twice, engine.codebook_matmul(**arguments) * 2)


@both
@given(arguments())
def test_each_output_has_its_row(engine, arguments):
    one = arguments | {name: arguments[name][-1:] for name in ("packed", "codebook")}
    y = engine.codebook_matmul(**arguments)
    np.testing.assert_allclose(engine.codebook_matmul(**one), y[..., -1:], atol=bound(arguments, y).max())


@both
@given(arguments())
def test_a_codebook_for_all_rows_is_that_of_each(engine, arguments):
    arguments = arguments | {"codebook": arguments["codebook"][:1]}
    own = arguments | {"codebook": np.repeat(arguments["codebook"], len(arguments["packed"]), axis=0)}
    np.testing.assert_array_equal(engine.codebook_matmul(**own), engine.codebook_matmul(**arguments))


@both
@given(arguments())
def test_linear_takes_it_as_a_weight(engine, arguments):
    x, *rest = arguments.values()
    y, bias = x @ weight(arguments).T, normal(1, len(arguments["packed"]))
    found = engine.linear(x, engine.CodebookWeight(*rest), bias)
    assert (np.abs(found - bias - y) <= bound(arguments, y) + 4 * 2.0**-24 * (np.abs(y) + np.abs(bias))).all()
    gx, gweight, gbias = engine.linear_vjp(y, x, engine.CodebookWeight(*rest), bias)
    np.testing.assert_allclose(gx, y @ weight(arguments), rtol=1e-4, atol=1e-3)
    assert gweight is None
    assert gbias.shape == bias.shape


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.codebook_matmul, arguments)


@both
@pytest.mark.parametrize("bits", [0, 9])
def test_a_weight_of_other_widths_is_refused(engine, bits):
    with pytest.raises(refq.errors.GridError, match=r"1\.\.8 is supported"):
        engine.codebook_matmul(np.ones(8, np.float32), np.ones((1, 1), np.uint8), np.ones((1, 1, 2), np.float32), bits)


def wrong(change=lambda index, bits: index, table=lambda c, out: c, transpose=True, x=lambda x: x):
    def codebook_matmul(**arguments):
        refq.codebook_matmul(**{name: arguments[name] for name in ("x", "packed", "codebook", "bits")})

        def spread(index, codebook):
            index = change(index.reshape(len(index), -1), arguments["bits"]).reshape(index.shape)
            return refq.codebook_lookup(index, table(codebook, len(index)))

        w = weight(arguments, spread)
        if "g" in arguments:
            return x(arguments["g"]) @ (w if transpose or w.shape[0] != w.shape[1] else w.T)
        return x(arguments["x"]) @ (w.T if transpose or w.shape[0] != w.shape[1] else w)

    return codebook_matmul


def _swapped(index, bits):
    n = index.shape[1] // 2 * 2
    return np.concatenate([index[:, :n].reshape(len(index), -1, 2)[:, :, ::-1].reshape(len(index), n), index[:, n:]], 1)


def _half_a_range_off(index, bits):
    return (index + 2 ** (bits - 1)) % 2**bits


def _first_row(codebook, out):
    return codebook[:1]


def _first_group(codebook, out):
    return np.repeat(codebook[:, :1], codebook.shape[1], axis=1)


def _other_way_round(codebook, out):
    return codebook[:, ::-1]


WRONG = {
    "high nibble first": wrong(_swapped),
    "codes from -2**(bits - 1) on": wrong(_half_a_range_off),
    "every row has the first codebook": wrong(table=_first_row),
    "every group has the first codebook": wrong(table=_first_group),
    "groups the other way round": wrong(table=_other_way_round),
    "entries sorted": wrong(table=lambda codebook, out: np.sort(codebook, axis=-1)),
    "codebook rounded to float16": wrong(table=lambda codebook, out: codebook.astype(np.float16).astype(np.float32)),
    "square weight not transposed": wrong(transpose=False),
}
