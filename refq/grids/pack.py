"""Codes to bytes and back: one named layout a pair of functions."""

import numpy as np

from refq import checks


def pack_codes(q, bits):
    """Codes to our canonical bytes: a little-endian bit stream along the last axis.

    bit i * bits + j of the stream = bit j of q[i], in two's complement; byte k = bits 8 k .. 8 k + 7

    Parameters
        q: integer codes (..., n), -2**(bits-1) .. 2**(bits-1) - 1.
        bits: int, 1..8.
    Returns
        packed: uint8 (..., ceil(n * bits / 8)); unused bits at the end are 0.
    Raises
        GridError: bits outside 1..8, or a code that does not fit them.
        ShapeError: q has no axis.

    >>> pack_codes(np.int32([1, 2, -1]), 4)
    array([33, 15], dtype=uint8)

    Source: our choice.
    Spec: pack_codes
    """
    q, bits = checks.codes_to_pack(q, bits, smallest=1)
    return np.packbits(_bits(q, bits), axis=-1, bitorder="little")


def unpack_codes(packed, bits, length):
    """Our canonical bytes to codes.

    q[i] = bits i * bits .. i * bits + bits - 1 of the stream, in two's complement

    Parameters
        packed: uint8 (..., ceil(length * bits / 8)).
        bits: int, 1..8.
        length: int, codes along the last axis.
    Returns
        q: int32 (..., length).
    Raises
        GridError: bits outside 1..8.
        ShapeError: the last axis of packed is not as long as `length` codes need.
        FormatError: an unused bit at the end is not 0.

    >>> unpack_codes(np.uint8([33, 15]), 4, 3)
    array([ 1,  2, -1], dtype=int32)

    Source: our choice.
    Spec: unpack_codes
    """
    packed, bits, length = checks.packed_codes(packed, np.uint8, bits, length, smallest=1)
    u = _numbers(packed, bits, length)
    return np.where(u < 2 ** (bits - 1), u, u - 2**bits)


def pack_compressed_tensors(q, bits):
    """Codes to the int32 words of compressed-tensors' `pack-quantized` format.

    bit i * bits + j of the stream = bit j of q[i] + 2**(bits-1); word k = bits 32 k .. 32 k + 31

    Parameters
        q: integer codes (..., n), -2**(bits-1) .. 2**(bits-1) - 1.
        bits: int, 2..8.
    Returns
        packed: int32 (..., ceil(n * bits / 32)); unused bits at the end are 0.
    Raises
        GridError: bits outside 2..8, or a code that does not fit them.
        ShapeError: q has no axis.

    >>> pack_compressed_tensors(np.int32([-8, -7, 7]), 4)
    array([3856], dtype=int32)

    Source: read in compressed-tensors 0.20; releases before 0.18 wrote 3, 5, 6 and 7 bits otherwise.
    Spec: pack_compressed_tensors
    """
    q, bits = checks.codes_to_pack(q, bits)
    stream = _bits(q + 2 ** (bits - 1), bits)
    unused = [(0, 0)] * (q.ndim - 1) + [(0, -stream.shape[-1] % 32)]
    packed = np.packbits(np.pad(stream, unused), axis=-1, bitorder="little")
    return packed.view("<i4").astype(np.int32, copy=False)


def unpack_compressed_tensors(packed, bits, length):
    """The int32 words of compressed-tensors' `pack-quantized` format to codes.

    q[i] = bits i * bits .. i * bits + bits - 1 of the stream, minus 2**(bits-1)

    Parameters
        packed: int32 (..., ceil(length * bits / 32)).
        bits: int, 2..8.
        length: int, codes along the last axis.
    Returns
        q: int32 (..., length).
    Raises
        GridError: bits outside 2..8.
        ShapeError: the last axis of packed is not as long as `length` codes need.
        FormatError: an unused bit at the end is not 0.

    >>> unpack_compressed_tensors(np.int32([3856]), 4, 3)
    array([-8, -7,  7], dtype=int32)

    Source: read in compressed-tensors 0.20.
    Spec: unpack_compressed_tensors
    """
    packed, bits, length = checks.packed_codes(packed, np.int32, bits, length)
    packed = np.ascontiguousarray(packed, "<i4").view(np.uint8)
    return _numbers(packed, bits, length) - 2 ** (bits - 1)


def as_codes(index, bits):
    """Indices uint8, 0 .. 2**bits - 1, as the codes int8 that have the same bytes."""
    return (index << np.uint8(8 - bits)).view(np.int8) >> np.int8(8 - bits)


def _bits(u, bits):
    """The lowest `bits` bits of each number (..., n) as zeros and ones (..., n * bits), lowest first."""
    ones = (u[..., None] >> np.arange(bits, dtype=np.int32)) & 1
    return ones.astype(np.uint8).reshape(*u.shape[:-1], u.shape[-1] * bits)


def _numbers(packed, bits, length):
    """The first `length` numbers of `bits` bits in a byte stream, 0 .. 2**bits - 1; the rest must be 0."""
    checks.unused_bits(packed, length * bits)
    stream = np.unpackbits(packed, axis=-1, count=length * bits, bitorder="little")
    ones = stream.reshape(*packed.shape[:-1], length, bits).astype(np.int32)
    return (ones << np.arange(bits, dtype=np.int32)).sum(axis=-1, dtype=np.int32)
