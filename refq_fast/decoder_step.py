"""One token through a whole LLaMA, compiled: no Python between its operations."""

import numpy as np

from refq_fast.decoder_cache import attend, put
from refq_fast.decoder_products import OUT, PLACE, products
from refq_fast.exponential import decay
from refq_fast.kernel import serial
from refq_fast.simd import LANES, load_floats, maximum, splat, store, where
from refq_fast.sums import dot

LAYER = 7  # rows of the table: q, k, v, o, gate, up, down


@serial
def step(token, position, eps, weights, table, sizes, angles, cache, y):
    """y = logits after `token`, which stands at `position`; its keys and values join the cache.

    weights: embedding (V, D), norms (2 layers + 1, D), biases.  table, sizes: of a decoder_table.Table.
    angles (2, d / 2): cosines and sines.  cache: as decoder_cache has it, with an axis of layers in front.
    """
    embedding, norms, biases = weights
    layers, room = len(norms) // 2, _room(sizes)
    x, h = embedding[token].copy(), np.empty(embedding.shape[1], np.float32)
    found, mixed = np.zeros(sizes[3], np.float32), np.empty(sizes[1], np.float32)
    for layer in range(layers):
        rows = table[layer * LAYER : (layer + 1) * LAYER]
        _norm(x, norms[2 * layer], eps, h)
        products(rows[:3], biases, h, room, found)
        now = cache[0][layer], cache[1][layer], cache[2][layer], cache[3][layer]
        _attention(found, rows, position, angles, now, mixed)
        products(rows[3:4], biases, mixed, room, found)
        _add(x, found)
        _norm(x, norms[2 * layer + 1], eps, h)
        products(rows[4:6], biases, h, room, found)
        _swiglu(found, found[rows[5, PLACE] :], rows[4, OUT], mixed)
        products(rows[6:], biases, mixed, room, found)
        _add(x, found)
    _norm(x, norms[2 * layers], eps, h)
    products(table[layers * LAYER :], biases, h, room, y)


@serial
def _room(sizes):
    """What `products` makes of an input: floats, words, sums, steps and zeros, a row for each slot."""
    slots, width, groups, _ = sizes
    floats, words = np.empty((slots, width), np.float32), np.empty((slots, width // 2), np.int32)
    return floats, words, np.empty((slots, groups), np.int32), np.empty(slots, np.float32), np.empty(slots, np.int32)


@serial
def _norm(x, weight, eps, y):
    root = np.sqrt(dot(x, x) / np.float32(len(x)) + eps)
    for j in range(len(x)):
        y[j] = x[j] / root * weight[j]


@serial
def _add(x, y):
    for j in range(len(x)):
        x[j] += y[j]


@serial
def _attention(found, rows, position, angles, cache, y):
    """From q, k and v side by side in `found` to y, head after head."""
    K, capacity, wide = cache[1].shape
    R, d = rows[0, OUT] // rows[1, OUT], rows[1, OUT] // K
    q, k, first = np.zeros(K * R * wide, np.float32), np.empty(K * d, np.float32), rows[2, PLACE]
    for head in range(K * R):
        _rotate(found, head * d, angles, np.float32(d**-0.5), q, head * wide)
    for head in range(K):
        _rotate(found, rows[1, PLACE] + head * d, angles, np.float32(1), k, head * d)
    put(k, found[first : first + K * d], position, cache)
    attend(q, (R, d, wide, capacity), position + 1, cache, y)


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
