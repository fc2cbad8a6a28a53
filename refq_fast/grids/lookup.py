"""Twins of refq.grids.lookup: one pass over the indices, in pieces that each add up by themselves."""

import numpy as np
from numba import prange

from refq.grids import arguments
from refq_fast.kernel import parallel, serial

CHUNK = 8192  # elements a task: results are elementwise, so the cut never shows
PIECE, PIECES = 2**16, 64  # elements of a piece at least, pieces at most


def codebook_lookup(index, codebook):
    """Twin of refq.codebook_lookup.

    One pass over the index, parallel, no temporaries.
    Spec: codebook_lookup
    """
    index, codebook = arguments.lookup(index, codebook)
    x = np.empty(index.shape, codebook.dtype)
    if x.size:
        rows, tables, number = _rows(index, codebook)
        _lookup(rows.reshape(-1), tables, number, x.reshape(-1))
    return x


def codebook_lookup_vjp(g, index, codebook, reduce="mean"):
    """Twin of refq.codebook_lookup_vjp.

    Parallel; a codebook that many rows share is summed in pieces cut by the shape alone.
    Spec: codebook_lookup_vjp
    """
    g, index, codebook = arguments.lookup_gradient(g, index, codebook, reduce)
    if not index.size:
        return np.zeros_like(codebook)
    rows, tables, number = _rows(index, codebook)
    own = len(tables) == len(rows) >= PIECES  # each row adds to a table that no other has
    count = len(rows) if own else max(1, min(PIECES, index.size // PIECE, index.size // tables.size))
    cuts = index.size * np.arange(count + 1) // count
    sums, counts = (np.zeros((1 if own else count, *tables.shape), kind) for kind in (np.float64, np.int64))
    _add(np.ascontiguousarray(g).reshape(-1), rows.reshape(-1), number, cuts, sums, counts)
    total = sums.sum(axis=0)
    if reduce == "mean":
        total /= np.maximum(counts.sum(axis=0), 1)
    with np.errstate(over="ignore"):
        return total.astype(codebook.dtype).reshape(codebook.shape)


def _rows(index, codebook):
    """index (rows, n), the codebooks (tables, k), and which of them each row has."""
    tables = np.ascontiguousarray(codebook).reshape(-1, codebook.shape[-1])
    number = np.arange(len(tables)).reshape(codebook.shape[:-1])
    number = np.ascontiguousarray(np.broadcast_to(number, index.shape[:-1])).reshape(-1)
    return np.ascontiguousarray(index).reshape(len(number), index.shape[-1]), tables, number


@parallel
def _lookup(index, tables, number, x):
    columns = index.size // number.size
    for task in prange((index.size + CHUNK - 1) // CHUNK):
        at, stop = task * CHUNK, min(task * CHUNK + CHUNK, index.size)
        while at < stop:
            row = at // columns
            end = min(stop, row * columns + columns)
            _entries(index[at:end], tables[number[row]], x[at:end])
            at = end


@serial
def _entries(index, table, x):
    for i in range(index.size):
        x[i] = table[index[i]]


@parallel
def _add(g, index, number, cuts, sums, counts):
    columns = index.size // number.size
    for piece in prange(len(cuts) - 1):
        place = piece % len(sums)
        for at in range(cuts[piece], cuts[piece + 1]):
            table = number[at // columns]
            sums[place, table, index[at]] += g[at]
            counts[place, table, index[at]] += 1
