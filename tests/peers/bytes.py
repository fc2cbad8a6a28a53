"""What several adapters share: broadcasting by rows, and bit streams, written apart from refq."""

import numpy as np


def as_rows(x, scale, zero_point):
    """((x as a column, its shape), scale and zero point of each element)."""
    x = np.asarray(x)
    scale = np.float32(scale) if isinstance(scale, float) else np.asarray(scale)
    zero_point = np.int32(zero_point) if isinstance(zero_point, int) else np.asarray(zero_point)
    each = [np.array(np.broadcast_to(part, x.shape)).reshape(-1) for part in (scale, zero_point)]
    return (x.reshape(-1, 1), x.shape), *each


def low_first(u, bits):
    """Unsigned numbers (..., n) as a little-endian bit stream a row: uint8."""
    ones = (u[..., None] >> np.arange(bits)) & 1
    return np.packbits(ones.reshape(*u.shape[:-1], -1).astype(np.uint8), axis=-1, bitorder="little")


def numbers_of(packed, bits, length):
    """The first `length` unsigned numbers of each row of bytes: int32."""
    ones = np.unpackbits(packed, axis=-1, bitorder="little")[..., : length * bits]
    return (ones.reshape(*packed.shape[:-1], length, bits).astype(np.int32) << np.arange(bits)).sum(-1, dtype=np.int32)
