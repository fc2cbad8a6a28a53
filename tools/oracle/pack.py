"""Bytes by whole numbers: a row of codes is one long integer."""

from tools.oracle.numbers import Array, rows


def pack_codes(q, bits):
    size = -(-q.shape[-1] * bits // 8)
    data = [byte for row in rows(q) for byte in _integer(row, bits, 0).to_bytes(size, "little")]
    return Array("uint8", (*q.shape[:-1], size), data)


def unpack_codes(packed, bits, length):
    data = []
    for row in rows(packed):
        for u in _numbers(int.from_bytes(bytes(row), "little"), bits, length):
            data.append(u - 2**bits if u >= 2 ** (bits - 1) else u)
    return Array("int32", (*packed.shape[:-1], length), data)


def pack_compressed_tensors(q, bits):
    words = -(-q.shape[-1] * bits // 32)
    data = []
    for row in rows(q):
        stream = _integer(row, bits, 2 ** (bits - 1))
        for u in _numbers(stream, 32, words):
            data.append(u - 2**32 if u >= 2**31 else u)
    return Array("int32", (*q.shape[:-1], words), data)


def unpack_compressed_tensors(packed, bits, length):
    data = []
    for row in rows(packed):
        stream = _integer(row, 32, 0)
        data += [u - 2 ** (bits - 1) for u in _numbers(stream, bits, length)]
    return Array("int32", (*packed.shape[:-1], length), data)


def _integer(row, bits, offset):
    """sum of (code + offset mod 2**bits) * 2**(bits * i)"""
    return sum(((code + offset) % 2**bits) << (bits * i) for i, code in enumerate(row))


def _numbers(integer, bits, count):
    return [(integer >> (bits * i)) % 2**bits for i in range(count)]
