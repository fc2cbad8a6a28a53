"""The arguments of the layouts of whole weights, each by its rule. Both packages call these."""

import numpy as np

from refq import checks
from refq.errors import DtypeError, GridError, ShapeError

GPTQ_BITS = (2, 3, 4, 8)
MLX_BITS = (2, 3, 4, 5, 6, 8)
NBITS_BITS = (2, 4, 8)
SMALLEST = 16  # of the blocks of MatMulNBits


def matrix(name, q, bits, widths):
    """Codes (n, m), each of `bits` bits in two's complement, as int32; and the width, one of `widths`."""
    bits = one_of("bits", bits, widths)
    q, _ = checks.codes_to_pack(two_axes(name, checks.as_integer(name, q)), bits)
    return q, bits


def words(packed, dtype, bits, widths):
    """Packed words (n, m) of a type, and the width, one of `widths`."""
    bits, packed = one_of("bits", bits, widths), two_axes("packed", np.asarray(packed))
    return of_type(packed, dtype), bits


def of_type(packed, dtype):
    """Packed numbers of exactly this type."""
    if packed.dtype != dtype:
        raise DtypeError(f"packed is {packed.dtype}; {np.dtype(dtype)} is needed")
    return packed


def whole_words(name, length, bits):
    """`length` codes of `bits` bits fill words of 32 bits exactly."""
    if length * bits % 32:
        fit = 32 // np.gcd(bits, 32)
        raise ShapeError(f"{name} has {length} codes of {bits} bits; a multiple of {fit} fills whole words")


def whole_codes(length, bits):
    """How many codes of `bits` bits fill `length` words; none may be cut off."""
    if 32 * length % bits:
        raise ShapeError(f"packed has {length} words for codes of {bits} bits; a multiple of {bits} holds whole codes")
    return 32 * length // bits


def block(size):
    """The size of a block of MatMulNBits."""
    if checks.integer("block_size", size) < SMALLEST or size & (size - 1):
        raise GridError(f"block_size={size}; a power of two from {SMALLEST} on is needed")
    return int(size)


def blocks(packed, bits, length):
    """Blocks of MatMulNBits that hold `length` codes a row, as rows of bytes uint8 (n, m); the width; the length."""
    bits, length = one_of("bits", bits, NBITS_BITS), checks.count("length", length)
    packed = of_type(np.asarray(packed), np.uint8)
    if packed.ndim != 3:
        raise ShapeError(f"packed has shape {packed.shape}; three axes are needed")
    size = block(packed.shape[2] * 8 // bits)
    if packed.shape[1] != -(-length // size):
        raise ShapeError(f"packed has {packed.shape[1]} blocks; {length} inputs are {-(-length // size)} of {size}")
    return np.ascontiguousarray(packed).reshape(len(packed), packed.shape[1] * packed.shape[2]), bits, length


def one_of(name, value, allowed):
    """An integer that is one of a few."""
    if checks.integer(name, value) not in allowed:
        raise GridError(f"{name}={value}; {', '.join(map(str, allowed[:-1]))} or {allowed[-1]} is needed")
    return int(value)


def two_axes(name, value):
    """An array (n, m)."""
    if value.ndim != 2:
        raise ShapeError(f"{name} has shape {value.shape}; two axes are needed")
    return value
