"""Laws of codebook_lookup."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import normal, tenths
from tests.support import both, int_arrays

LEADS = (((), ()), ((3,), (3,)), ((3,), (1,)), ((3,), ()), ((2, 3), (1, 3)), ((2, 3), (2, 1)), ((0,), (1,)))


@st.composite
def arguments(draw):
    (lead, books), k, n = (
        draw(st.sampled_from(LEADS)),
        draw(st.sampled_from([1, 2, 3, 16, 256])),
        draw(st.integers(0, 9)),
    )
    dtype = draw(st.sampled_from([np.uint8, np.int32, np.int64]))
    return {
        "index": draw(int_arrays((*lead, n), 0, k - 1, dtype)),
        "codebook": draw(tenths((*books, k))),
    }


def edges():
    for lead, books, n, k in (
        ((), (), 8193, 16),
        ((70,), (70,), 33, 256),
        ((130, 8), (1, 8), 129, 4),
        ((3, 5), (3, 1), 70001, 3),
        ((1,), (1,), 300_000, 16),
    ):
        index = np.random.default_rng(n).integers(0, k, (*lead, n)).astype(np.uint8)
        yield {"index": index, "codebook": normal(k, *books, k)}


@both
@given(arguments())
def test_every_number_is_its_entry(engine, arguments):
    index, codebook = arguments["index"], arguments["codebook"]
    x = engine.codebook_lookup(index, codebook)
    assert (x.dtype, x.shape) == (codebook.dtype, index.shape)
    for place in np.ndindex(index.shape):
        row = np.broadcast_to(codebook, (*index.shape[:-1], codebook.shape[-1]))[place[:-1]]
        assert x[place] == row[index[place]]


@both
@given(arguments(), st.integers(0, 255))
def test_the_order_of_the_entries_does_not_matter(engine, arguments, shift):
    index, codebook = arguments["index"], arguments["codebook"]
    k = codebook.shape[-1]
    turned = (index.astype(np.int64) + shift) % k
    np.testing.assert_array_equal(
        engine.codebook_lookup(turned, np.roll(codebook, shift, axis=-1)), engine.codebook_lookup(index, codebook)
    )


@both
@given(arguments())
def test_one_codebook_is_a_table_without_a_scale(engine, arguments):
    codebook = arguments["codebook"].reshape(-1, arguments["codebook"].shape[-1])[:1]
    if codebook.shape[-1] > 1:
        x = engine.codebook_lookup(arguments["index"], codebook[0])
        np.testing.assert_array_equal(x, engine.codebook_dequantize(arguments["index"], np.float32(1), codebook[0]))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    wide = engine.codebook_lookup(arguments["index"], arguments["codebook"].astype(np.float64) / 3)
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(
        wide, refq.codebook_lookup(arguments["index"], arguments["codebook"].astype(np.float64) / 3)
    )


def _wrong(function):
    def codebook_lookup(index, codebook):
        refq.codebook_lookup(index, codebook)  # for the errors
        tables = np.broadcast_to(codebook, (*index.shape[:-1], codebook.shape[-1]))
        return function(index.astype(np.int64), tables)

    return codebook_lookup


def _take(index, tables):
    return np.take_along_axis(tables, index, axis=-1)


def _first_codebook(index, tables):
    flat = tables.reshape(-1, tables.shape[-1])
    return flat[0][index] if len(flat) else index.astype(tables.dtype)


def _last_rows_codebook(index, tables):
    return _take(index, tables[..., ::-1, :] if tables.ndim > 1 else tables)


def _unchecked(index, codebook):
    tables = np.broadcast_to(codebook, (*index.shape[:-1], codebook.shape[-1]))
    return _take(index.astype(np.int64) % codebook.shape[-1], tables)


WRONG = {
    "every group has the first codebook": _wrong(_first_codebook),
    "codebooks in another order": _wrong(_last_rows_codebook),
    "entries sorted": _wrong(lambda index, tables: _take(index, np.sort(tables, axis=-1))),
    "entries counted from 1": _wrong(lambda index, tables: _take((index + 1) % tables.shape[-1], tables)),
    "a negative index counts from the end": _unchecked,
    "the index itself": _wrong(lambda index, tables: index.astype(tables.dtype)),
}
