"""What the laws of llama.cpp's blocks share: values of every kind, bytes of every kind, and wrong layouts."""

from unittest import mock

import numpy as np
from hypothesis import strategies as st

import refq

SIZES = {"q4_0": (32, 18), "q4_1": (32, 20), "q5_0": (32, 22), "q5_1": (32, 24), "q8_0": (32, 34)}
SIZES |= {"q2_k": (256, 84), "q3_k": (256, 110), "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210)}
SIZES |= {"iq4_nl": (32, 18), "iq4_xs": (256, 136), "mxfp4": (32, 17)}
HALVES = {
    "q4_0": [0],
    "q4_1": [0, 2],
    "q5_0": [0],
    "q5_1": [0, 2],
    "q8_0": [0],
    "iq4_nl": [0],
    "iq4_xs": [0],
    "mxfp4": [],
}
HALVES |= {"q2_k": [80, 82], "q3_k": [108], "q4_k": [0, 2], "q5_k": [0, 2], "q6_k": [208]}
KINDS = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "halves": lambda random, shape: random.integers(-20, 20, shape) / 2,
    "positive": lambda random, shape: np.abs(random.standard_normal(shape)) + 1,
    "negative": lambda random, shape: -np.abs(random.standard_normal(shape)),
    "heavy": lambda random, shape: random.standard_normal(shape) ** 5,
    "small": lambda random, shape: random.standard_normal(shape) * 1e-6,
    "constant": lambda random, shape: np.full(shape, random.standard_normal()),
    "zeros": lambda random, shape: np.zeros(shape),
    "sparse": lambda random, shape: random.standard_normal(shape) * (random.random(shape) < 0.1),
}
ROWS = ((), (1,), (3,), (2, 2))


def values(kind):
    """Arguments of an encoder: x of one to three blocks a row."""
    return st.builds(_values, st.just(kind), st.sampled_from(sorted(KINDS)), *_shape())


def raw(kind):
    """Arguments of a decoder: bytes without an order, but finite numbers of float16."""
    return st.builds(_raw, st.just(kind), *_shape())


def edges(kind, make):
    """Many blocks, and none."""
    for seed, (rows, blocks) in enumerate((((65,), 3), ((1,), 257), ((2,), 0), ((), 5))):
        yield make(kind, rows, blocks, seed) if make is _raw else make(kind, "normal", rows, blocks, seed)


def value_edges(kind):
    return edges(kind, _values)


def raw_edges(kind):
    return edges(kind, _raw)


def codes(kind):
    """Arguments of a pack_: what blocks of these bytes hold."""
    return raw(kind).map(lambda arguments: _held(kind, **arguments))


def codes_edges(kind):
    return (_held(kind, **arguments) for arguments in raw_edges(kind))


def _held(kind, packed):
    return dict(zip(("q", "scale", "minimum"), getattr(refq, f"unpack_{kind}")(packed), strict=False))


def half_of(scale):
    """Rounded to float16, where it is not beyond."""
    return scale.astype(np.float16).astype(np.float32) if np.all(np.abs(scale) < 65520) else scale


def alone(function, argument, array, size):
    """What the function gives block by block, joined as it joins them."""
    flat = array.reshape(-1, array.shape[-1] // size, size)
    found = [np.concatenate([function(**{argument: block}) for block in row]) for row in flat]
    return np.array(found).reshape(*array.shape[:-1], -1)


def step(name, packed):
    """The largest unit of each block, (..., blocks, 1): of K-quants times its largest count."""
    size, offset = SIZES[name][1], HALVES[name][0]
    blocks = packed.reshape(*packed.shape[:-1], packed.shape[-1] // size, size)
    half = np.ascontiguousarray(blocks[..., offset : offset + 2]).view(np.float16).astype(np.float64)
    return np.abs(half) * {"q4_k": 63, "q6_k": 128}.get(name, 1)


def error(name, x, packed):
    """|decoded - x| in blocks."""
    decoded = getattr(refq, f"decode_{name}")(packed).astype(np.float64)
    return np.abs(decoded - x).reshape(*x.shape[:-1], x.shape[-1] // SIZES[name][0], SIZES[name][0])


def rebuilt(name, change):
    """The right encoder with its bytes changed: change(blocks) -> blocks."""

    def encode(x):
        packed, size = getattr(refq, f"encode_{name}")(x), SIZES[name][1]
        return change(packed.reshape(-1, size).copy()).astype(np.uint8).reshape(packed.shape)

    return encode


def redecoded(name, change):
    """The right decoder of bytes changed before: change(blocks) -> blocks."""

    def decode(packed):
        size = SIZES[name][1]
        right = getattr(refq, f"decode_{name}")(packed)  # for the errors
        return (
            getattr(refq, f"decode_{name}")(change(packed.reshape(-1, size).copy()).reshape(packed.shape)) + 0 * right
        )

    return decode


def reread(name, change):
    """The right unpack of bytes changed before: change(blocks) -> blocks."""

    def unpack(packed):
        size, right = SIZES[name][1], getattr(refq, f"unpack_{name}")
        right(packed)  # for the errors
        return right(change(packed.reshape(-1, size).copy()).reshape(packed.shape))

    return unpack


def rewritten(name, change):
    """The right pack with its bytes changed: change(blocks) -> blocks."""

    def pack(q, scale, *minimum, **named):
        packed, size = getattr(refq, f"pack_{name}")(q, scale, *minimum, **named), SIZES[name][1]
        return change(packed.reshape(-1, size).copy()).astype(np.uint8).reshape(packed.shape)

    return pack


def mutant(module, **changes):
    """The encoder of a module of refq.ranges with some of its parts replaced."""

    def encode(x):
        with mock.patch.multiple(module, **changes):
            return getattr(module, f"encode_{module.__name__.rpartition('.')[2]}")(x)

    return encode


def float64_sum(x):
    """What a search is a mutant with where it sums in float32, one term after the other."""
    return x.sum(axis=-1, keepdims=True, dtype=np.float64).astype(np.float32)


def with_units(name, packed, number):
    """The same codes; every number of float16 is `number`."""
    blocks = packed.reshape(-1, SIZES[name][1]).copy()
    for offset in HALVES[name]:
        blocks[:, offset : offset + 2] = np.array([number], np.float16).view(np.uint8)
    return blocks.reshape(packed.shape)


def swapped(blocks, start):
    """High and low nibbles exchanged from byte `start` on."""
    blocks[:, start:] = blocks[:, start:] >> 4 | blocks[:, start:] << 4
    return blocks


def neighbours(blocks, start):
    """Codes 2 j and 2 j + 1 in a byte where j and j + 16 should be."""
    u = np.concatenate([blocks[:, start:] & 15, blocks[:, start:] >> 4], axis=-1)
    blocks[:, start:] = u[:, 0::2] | u[:, 1::2] << 4
    return blocks


def halves(blocks, start):
    """What undoes neighbours."""
    u = np.stack([blocks[:, start:] & 15, blocks[:, start:] >> 4], axis=-1).reshape(len(blocks), -1)
    half = u.shape[1] // 2
    blocks[:, start:] = u[:, :half] | u[:, half:] << 4
    return blocks


def turned(pairs):
    """The four pairs of bits of every byte in the other order."""
    return (pairs & 3) << 6 | (pairs & 12) << 2 | (pairs >> 2) & 12 | pairs >> 6


def reversed_bits(raw):
    """The eight bits of every byte in the other order."""
    return np.packbits(np.unpackbits(raw, axis=-1), axis=-1, bitorder="little")


def big_endian(blocks, start=0):
    """The two bytes of a float16 exchanged, where that is a finite number."""
    other = blocks.copy()
    other[:, [start, start + 1]] = blocks[:, [start + 1, start]]
    fine = np.isfinite(np.ascontiguousarray(other[:, start : start + 2]).view(np.float16))
    return np.where(fine, other, blocks)


def _shape():
    return st.sampled_from(ROWS), st.integers(1, 3), st.integers(0, 2**32 - 1)


def _values(name, kind, rows, blocks, seed):
    shape = (*rows, blocks * SIZES[name][0])
    return {"x": KINDS[kind](np.random.default_rng(seed), shape).astype(np.float32)}


def _raw(name, rows, blocks, seed):
    size = SIZES[name][1]
    packed = np.random.default_rng(seed).integers(0, 256, (*rows, blocks, size)).astype(np.uint8)
    for offset in HALVES[name]:
        packed[..., offset + 1] &= 0xBB  # the exponent is not that of infinity and NaN, and the number not huge
    return {"packed": packed.reshape(*rows, blocks * size)}
