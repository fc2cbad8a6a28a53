"""One token through a whole LLaMA, compiled: no Python between its operations."""

import numpy as np
from numba import prange

from refq_fast.decoder_cache import attend, put
from refq_fast.decoder_crew import (
    FAILED,
    JOB,
    PIECES,
    THREADS,
    borrowed,
    dismiss,
    finish,
    leads,
    left,
    offer,
    over,
    take,
    wait,
)
from refq_fast.decoder_products import OUT, PLACE, multiply, prepare
from refq_fast.exponential import decay
from refq_fast.kernel import merged, parallel, serial
from refq_fast.simd import LANES, load_floats, maximum, splat, store, where
from refq_fast.sums import dot

LAYER = 7  # rows of the table: q, k, v, o, gate, up, down
MOST, CODES, NUMBERS = 16, 2**17, 2**15  # pieces of a job; codes of a weight and numbers of keys that a piece has


@parallel
def together(at, eps, weights, table, room, rows, angles, cache, crew):
    """`step`, by as many threads as the crew says."""
    for _ in prange(crew[THREADS]):
        step(at, eps, weights, table, room, rows, angles, cache, crew)


@serial
def step(at, eps, weights, table, room, rows, angles, cache, crew):
    """Logits after a token that stands at a position: at = (token, position); its keys and values join the cache.

    weights: embedding (V, D), norms (2 layers + 1, D), biases.  table: of a decoder_table.Table.  room: as `prepare`
    takes it.  rows: queries, results of products, their inputs, and logits.  angles (2, d / 2): cosines and sines.
    cache: as decoder_cache has it, with an axis of layers in front.  crew: zeros, but for the threads that call this.
    """
    work, crew = borrowed((table, weights[2], room, rows, cache)), borrowed(crew)
    if leads(crew):
        try:
            _lead(at, eps, borrowed(weights), borrowed(angles), work, crew)
        except Exception:
            crew[FAILED] = 1
        dismiss(crew)
    idle = np.int64(0)
    while not over(crew):
        idle = _help(crew, work, idle)


@serial  # not merged: a function cannot catch that memory ran out in itself
def _lead(at, eps, weights, angles, work, crew):
    (token, position), (embedding, norms, _) = at, weights
    table, _, _, (_, found, mixed, _), _ = work
    x, h = embedding[token].copy(), np.empty(embedding.shape[1], np.float32)
    for layer in range(len(norms) // 2):
        first = layer * LAYER
        _norm(x, norms[2 * layer], eps, h)
        _products(first, first + 3, h, work, crew)
        _attention(layer, position, angles, work, crew)
        _products(first + 3, first + 4, mixed, work, crew)
        _add(x, found)
        _norm(x, norms[2 * layer + 1], eps, h)
        _products(first + 4, first + 6, h, work, crew)
        _swiglu(found, found[table[first + 5, PLACE] :], table[first + 4, OUT], mixed)
        _products(first + 6, first + 7, mixed, work, crew)
        _add(x, found)
    _norm(x, norms[-1], eps, h)
    _products(len(table) - 1, len(table), h, work, crew)


@serial
def _products(first, last, x, work, crew):
    """Of rows first..last-1 of the table."""
    tiles, codes = prepare(work[0][first:last], x, work[2])
    _share((first, last, tiles), 1 + codes // CODES, work, crew)


@serial
def _share(job, pieces, work, crew):
    """A job, with all who help."""
    crew[JOB], crew[JOB + 1], crew[JOB + 2] = job
    if pieces == 1 or crew[THREADS] == 1:
        crew[PIECES] = 1
        _do(crew, np.int64(0), work)  # for a literal it would be compiled once more
    else:
        offer(crew, min(pieces, MOST))
        idle = np.int64(0)
        while left(crew):
            idle = _help(crew, work, idle)


@serial
def _help(crew, work, idle):
    """Do a piece, if there is one; gives how often in a row there was none."""
    piece = take(crew)
    if piece < 0:
        wait(idle)
        return idle + 1
    try:
        _do(crew, piece, work)
    except Exception:  # who leads would wait for ever
        crew[FAILED] = 1
    finish(crew)
    return 0


@serial
def _do(crew, piece, work):
    """A piece of products, by rows of the table and their tiles; or of attention: layer, positions, 0."""
    (table, biases, room, (q, found, mixed, y), cache), pieces = work, crew[PIECES]
    first, last, tiles = crew[JOB], crew[JOB + 1], crew[JOB + 2]
    if tiles:
        y = y if last == len(table) else found
        multiply(table[first:last], biases, room, y, tiles * piece // pieces, tiles * (piece + 1) // pieces)
    else:
        K, rows = cache[1].shape[1], table[first * LAYER :]
        shape = rows[0, OUT] // rows[1, OUT], rows[1, OUT] // K
        for head in range(K * piece // pieces, K * (piece + 1) // pieces):
            attend(q, shape, last, cache, first, head, mixed)


@serial
def _norm(x, weight, eps, y):
    root = np.sqrt(dot(x, x) / np.float32(len(x)) + eps)
    for j in range(len(x)):
        y[j] = x[j] / root * weight[j]


@serial
def _add(x, y):
    for j in range(len(x)):
        x[j] += y[j]


@merged
def _attention(layer, position, angles, work, crew):
    """From q, k and v side by side to what o_proj reads, head after head."""
    table, _, _, (q, found, _, _), cache = work
    rows, (_, K, _, wide) = table[layer * LAYER :], cache[1].shape
    d, k, first = rows[1, OUT] // K, np.empty(rows[1, OUT], np.float32), rows[2, PLACE]
    for head in range(rows[0, OUT] // d):
        _rotate(found, head * d, angles, np.float32(d**-0.5), q, head * wide)
    for head in range(K):
        _rotate(found, rows[1, PLACE] + head * d, angles, np.float32(1), k, head * d)
    now = cache[0][layer], cache[1][layer], cache[2][layer], cache[3][layer]
    put(k, found[first : first + K * d], position, now)
    pieces = min(K, 1 + (position + 1) * K * wide // NUMBERS)
    _share((layer, position + 1, np.int64(0)), pieces, work, crew)


@serial
def _rotate(x, at, angles, factor, y, to):
    half = angles.shape[1]
    for i in range(half):
        first, second = x[at + i], x[at + i + half]
        y[to + i] = (first * angles[0, i] - second * angles[1, i]) * factor
        y[to + i + half] = (second * angles[0, i] + first * angles[1, i]) * factor


@serial
def _swiglu(gate, up, count, y):
    """silu(gate) * up; whole vectors are read and written."""
    one, zero = splat(np.float32(1)), splat(np.float32(0))
    for i in range(0, count, LANES):
        x = load_floats(gate, i)
        e = decay(zero - maximum(x, zero - x))
        store(y, i, x * (where(zero, x, one, e) / (one + e)) * load_floats(up, i))
