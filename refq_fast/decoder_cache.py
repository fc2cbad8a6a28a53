"""Keys and values of a compiled decoder, as numbers or as 8-bit codes, and attention to them.

A cache, of one layer, is

    keys                      (K, blocks, wide, LANES)  of LANES positions the same number side by side
    values                    (K, positions, wide)      wide: the width of a head in whole vectors
    key_scales, value_scales  (K, positions)            what codes are multiplied with; 1 for numbers

What no position holds yet is 0.
"""

import numpy as np

from refq_fast.exponential import decay
from refq_fast.kernel import inlined, serial
from refq_fast.one_row import SMALLEST
from refq_fast.simd import LANES, fma, load_floats, maximum, splat, store
from refq_fast.simd_tables import across
from refq_fast.tokens import fitted


@serial
def put_all(k, v, first, cache):
    """Keep keys and values (K, positions, d), from position `first` on."""
    for s in range(k.shape[1]):
        put(np.copy(k[:, s]).reshape(-1), np.copy(v[:, s]).reshape(-1), first + s, cache)


@serial
def put(k, v, position, cache):
    """Keep a key and a value of each head, one after the other; they may be made codes."""
    keys, values, key_scales, value_scales = cache
    K, capacity, wide = values.shape
    keys, values, d = keys.reshape(-1), values.reshape(-1), len(k) // K
    for head in range(K):
        at, rows = head * d, head * capacity * wide
        key_scales[head, position] = _on_grid(k, at, d, keys)
        value_scales[head, position] = _on_grid(v, at, d, values)
        key = rows + position // LANES * LANES * wide + position % LANES
        for j in range(d):
            keys[key + j * LANES] = k[at + j]
            values[rows + position * wide + j] = v[at + j]


@serial
def _on_grid(x, at, count, cache):
    """Make numbers of x codes where the cache holds such; gives their scale."""
    if cache.itemsize > 1:
        return np.float32(1)
    limit = np.float32(127)
    scale, _, _ = fitted(x[at : at + count], (-limit, limit, limit, SMALLEST), True)
    for j in range(at, at + count):
        x[j] = np.rint(x[j] / scale)
    return scale


@serial
def attend(q, shape, count, cache, layer, head, y):
    """y (heads * d) of a head of keys = attention of its queries to the first `count` positions of a layer.

    q: (heads * wide), which bring 1 / sqrt(d).  shape: queries of a head of keys, and d.  cache: with an axis of layers
    in front.  All is read as flat arrays: one that is cut out of another would cost more than what is done with it.
    """
    (R, d), (_, K, capacity, wide) = shape, cache[1].shape
    keys, values = cache[0].reshape(-1), cache[1].reshape(-1)
    key_scales, value_scales = cache[2].reshape(-1), cache[3].reshape(-1)
    end, scales = (count + LANES - 1) // LANES * LANES, (layer * K + head) * capacity
    rows, scores, mixed = scales * wide, np.empty(R * end, np.float32), np.empty(wide, np.float32)
    for at in range(0, end, LANES):
        scale = load_floats(key_scales, scales + at)
        for r in range(R):
            found = _score(q, (head * R + r) * wide, wide, keys, rows + at * wide)
            store(scores, r * end + at, found * scale)
    for r in range(R):
        scores[r * end + count : (r + 1) * end] = -np.inf
        share = _softmax(scores, r * end, end, value_scales, scales)
        for j in range(0, wide, LANES):
            store(mixed, j, _mix(scores, r * end, end, values, rows + j, wide) * splat(share))
        for j in range(d):
            y[(head * R + r) * d + j] = mixed[j]


@inlined
def _score(q, first, count, keys, at):
    """Products with LANES keys: four sums each, so that an addition does not wait for the one before."""
    a = b = c = d = splat(np.float32(0))
    for j in range(0, count, 4):
        place = at + j * LANES
        a = fma(splat(q[first + j]), load_floats(keys, place), a)
        b = fma(splat(q[first + j + 1]), load_floats(keys, place + LANES), b)
        c = fma(splat(q[first + j + 2]), load_floats(keys, place + 2 * LANES), c)
        d = fma(splat(q[first + j + 3]), load_floats(keys, place + 3 * LANES), d)
    return (a + b) + (c + d)


@serial
def _softmax(scores, first, count, scale, scales):
    """exp(score - the largest) times a scale, in place; gives 1 / the sum of the former."""
    top, total, lanes = load_floats(scores, first), splat(np.float32(0)), np.empty(LANES, np.float32)
    for at in range(LANES, count, LANES):
        top = maximum(load_floats(scores, first + at), top)
    store(lanes, 0, top)
    largest = splat(lanes.max())
    for at in range(0, count, LANES):
        e = decay(load_floats(scores, first + at) - largest)
        total = total + e
        store(scores, first + at, e * load_floats(scale, scales + at))
    return np.float32(1) / across(total)


@inlined
def _mix(p, first, count, values, place, wide):
    """The sum of p[s] times LANES numbers of value s."""
    a = b = c = d = splat(np.float32(0))
    for s in range(0, count, 4):
        at = place + s * wide
        a = fma(splat(p[first + s]), load_floats(values, at), a)
        b = fma(splat(p[first + s + 1]), load_floats(values, at + wide), b)
        c = fma(splat(p[first + s + 2]), load_floats(values, at + 2 * wide), c)
        d = fma(splat(p[first + s + 3]), load_floats(values, at + 3 * wide), d)
    return (a + b) + (c + d)
