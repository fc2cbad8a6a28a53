"""Twins of refq.grids.pack: whole bytes where the width allows, else one bit buffer a row."""

import numpy as np
from numba import prange

from refq import checks
from refq_fast.kernel import parallel, serial


def pack_codes(q, bits):
    """Twin of refq.pack_codes.

    One pass over q, parallel over rows; 4 and 8 bits have loops of their own.
    Spec: pack_codes
    """
    q, bits = checks.codes_to_pack(q, bits, smallest=1)
    return _packed(q, bits, 0, -(-q.shape[-1] * bits // 8))


def unpack_codes(packed, bits, length):
    """Twin of refq.unpack_codes.

    One pass over the bytes, parallel over rows.
    Spec: unpack_codes
    """
    packed, bits, length = checks.packed_codes(packed, np.uint8, bits, length, smallest=1)
    return _unpacked(packed, bits, length, 2 ** (bits - 1))


def pack_compressed_tensors(q, bits):
    """Twin of refq.pack_compressed_tensors.

    As pack_codes: q + 2**(bits-1) is the two's complement of q with its highest bit turned round.
    Spec: pack_compressed_tensors
    """
    q, bits = checks.codes_to_pack(q, bits)
    packed = _packed(q, bits, 2 ** (bits - 1), 4 * -(-q.shape[-1] * bits // 32))
    return packed.view("<i4").astype(np.int32, copy=False)


def unpack_compressed_tensors(packed, bits, length):
    """Twin of refq.unpack_compressed_tensors.

    As unpack_codes.
    Spec: unpack_compressed_tensors
    """
    packed, bits, length = checks.packed_codes(packed, np.int32, bits, length)
    return _unpacked(np.ascontiguousarray(packed, "<i4").view(np.uint8), bits, length, 0)


def _packed(q, bits, flip, size):
    """Codes (..., n), their bits turned round where `flip` has ones, as (..., size) bytes."""
    packed = np.zeros((*q.shape[:-1], size), np.uint8)
    if packed.size:
        _pack(np.ascontiguousarray(q).reshape(-1, q.shape[-1]), bits, flip, packed.reshape(-1, size))
    return packed


def _unpacked(packed, bits, length, flip):
    """Bytes (..., size) to codes: each number turned round where `flip` has ones, minus 2**(bits-1)."""
    checks.unused_bits(packed, length * bits)
    q = np.empty((*packed.shape[:-1], length), np.int32)
    if q.size:
        _unpack(np.ascontiguousarray(packed).reshape(-1, packed.shape[-1]), bits, flip, q.reshape(-1, length))
    return q


@parallel
def _pack(q, bits, flip, packed):
    for row in prange(q.shape[0]):
        pack_row(q[row], bits, flip, packed[row])


@serial
def pack_row(q, bits, flip, packed):
    """Codes of one row, whose lowest bits count, as bytes."""
    if bits == 4:
        _pack_4(q, flip, packed)
    elif bits == 8:
        for i in range(q.size):
            packed[i] = np.uint8(q[i] ^ flip)
    else:
        _pack_any(q, bits, flip, packed)


@serial
def _pack_4(q, flip, packed):
    for i in range(q.size // 2):
        packed[i] = np.uint8(((q[2 * i] & 15) | (q[2 * i + 1] & 15) << 4) ^ (flip | flip << 4))
    if q.size % 2:
        packed[q.size // 2] = np.uint8((q[q.size - 1] & 15) ^ flip)


@serial
def _pack_any(q, bits, flip, packed):
    mask = (1 << bits) - 1
    buffer, filled, at = 0, 0, 0
    for i in range(q.size):
        buffer |= ((q[i] & mask) ^ flip) << filled
        filled += bits
        if filled >= 8:
            packed[at] = np.uint8(buffer & 255)
            buffer >>= 8
            filled -= 8
            at += 1
    if filled:
        packed[at] = np.uint8(buffer)


@parallel
def _unpack(packed, bits, flip, q):
    half = 1 << (bits - 1)
    for row in prange(q.shape[0]):
        if bits == 4:
            _unpack_4(packed[row], flip, q[row])
        elif bits == 8:
            for i in range(q.shape[1]):
                q[row, i] = np.int32((packed[row, i] ^ flip) - half)
        else:
            _unpack_any(packed[row], bits, flip, q[row])


@serial
def _unpack_4(packed, flip, q):
    for i in range(q.size // 2):
        q[2 * i] = np.int32(((packed[i] & 15) ^ flip) - 8)
        q[2 * i + 1] = np.int32(((packed[i] >> 4) ^ flip) - 8)
    if q.size % 2:
        q[q.size - 1] = np.int32(((packed[q.size // 2] & 15) ^ flip) - 8)


@serial
def _unpack_any(packed, bits, flip, q):
    mask, half = (1 << bits) - 1, 1 << (bits - 1)
    buffer, filled, at = 0, 0, 0
    for i in range(q.size):
        if filled < bits:
            buffer |= np.int64(packed[at]) << filled
            filled += 8
            at += 1
        q[i] = np.int32(((buffer & mask) ^ flip) - half)
        buffer >>= bits
        filled -= bits
