"""The low-bit weights in the layouts of the kernels, each checked once."""

import numpy as np

from refq import checks
from refq.errors import DtypeError, ShapeError
from refq.ops import arguments
from refq_fast import byte_tables, integers, interleaved, permuted
from refq_fast.grids.pack import pack_codes, unpack_codes
from refq_fast.ops import codebook_matmul, quantized_linear, quantized_matmul


class PackedWeight:
    """A low-bit weight (out, in) for linear.

    Up to 4 bits, where a group is whole eights, its rows are interleaved, 4 bits a code; otherwise it stays as it is
    stored.
    """

    __slots__ = ("bits", "dtype", "groups", "row_bytes", "ends", "fast", "stored", "integers", "laid_out", "width")

    def __init__(self, packed, scale, zero_point, bits):
        bits, packed, scale = checks.bit_width(bits), np.asarray(packed), checks.as_float("scale", scale)
        if packed.ndim != 2 or scale.ndim != 2 or scale.shape[1] == 0:
            raise ShapeError(f"packed has shape {packed.shape}, scale {scale.shape}; (out, bytes), (out, G) are needed")
        self.bits, self.dtype, self.groups, self.row_bytes = bits, scale.dtype, scale.shape[1], packed.shape[1]
        weight = arguments.quantized_matmul(_widest(self), packed, scale, zero_point, bits)[1:4]
        self.ends = np.bitwise_or.reduce(weight[0][:, -1:], axis=0)  # the last byte of all rows in one
        self.fast = _interleaved(self, *weight) if bits <= 4 else None
        self.stored = None if self.fast else (*map(np.ascontiguousarray, weight), bits)
        self.integers = self.laid_out = None, None  # made by quantized_linear: for which x, and Integers
        self.width = None

    def product(self, x):
        """x (..., in) times the transpose: (..., out)."""
        x = _fitting(self, x)
        if self.stored:
            return quantized_matmul.product(x, *self.stored)
        y = interleaved.product(quantized_linear.as_rows(x), self.fast)
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], y.shape[1])

    def dequantized(self, x):
        """The weight as real numbers (out, in), for an x (..., in)."""
        x = _fitting(self, x)
        if self.stored:
            return quantized_matmul.dequantized(x.shape[-1], *self.stored)
        return interleaved.dequantized(self.fast)[:, : x.shape[-1]]

    def quantized_linear(self, x, activation_bits, symmetric=False):
        """quantized_linear with x (..., in); what its kernel reads beside or instead of `fast` is made at first use."""
        x = _fitting(self, x)
        known, weight = self.integers
        if type(activation_bits) is not int or known != (x.shape[-1], activation_bits):
            weight = self._integers(x.shape[-1], activation_bits)
        if weight is not None:
            return quantized_linear.product(x, weight, activation_bits, symmetric)
        stored = self.stored or interleaved.stored(self.fast, -(-x.shape[-1] // 2))
        return quantized_linear.product_as_stored(x, *stored, (activation_bits, symmetric))

    def _integers(self, width, activation_bits):
        """Integers that are exact for an x of this width and so many bits, or None."""
        known, weight = self.laid_out
        if known != width:
            weight = integers.weight(*self.stored, width) if self.stored else integers.of(self.fast, width)
            self.laid_out = width, weight
        if weight is not None and not integers.exact(weight, activation_bits):
            weight = None
        self.integers = (width, activation_bits), weight
        return weight


class CodebookWeight:
    """A weight (out, in) of indices of codebooks, for linear.

    Where a group is whole units of a kernel, its indices lie as that reads them; otherwise it stays as it is stored.
    """

    __slots__ = ("bits", "dtype", "groups", "row_bytes", "ends", "fast", "stored", "width")

    def __init__(self, packed, codebook, bits):
        bits, packed = checks.bit_width(bits, smallest=1), np.asarray(packed)
        codebook = checks.as_float("codebook", codebook)
        if packed.ndim != 2 or codebook.ndim != 3 or 0 in codebook.shape[1:]:
            shapes = f"packed has shape {packed.shape}, codebook {codebook.shape}"
            raise ShapeError(f"{shapes}; (out, bytes), (out or 1, G, 2**bits) are needed")
        self.bits, self.dtype, self.groups, self.row_bytes = bits, codebook.dtype, codebook.shape[1], packed.shape[1]
        widest = _widest(self)
        _, packed, codebook, _ = arguments.codebook_matmul(widest, packed, codebook, bits)
        self.ends = np.bitwise_or.reduce(packed[:, -1:], axis=0)
        arrange = permuted.permute if bits <= 4 else byte_tables.byte_tables
        self.fast = arrange(packed, codebook, bits, widest.shape[1])
        self.width = None
        self.stored = None if self.fast else (np.ascontiguousarray(packed), np.ascontiguousarray(codebook), bits)

    def product(self, x):
        """x (..., in) times the transpose: (..., out)."""
        x = _fitting(self, x)
        fast = self.fast and self.fast.of_width(x.shape[-1])
        if not fast:
            return codebook_matmul.product(x, *(self.stored or self.fast.stored()))
        y = fast.product(quantized_linear.as_rows(x))
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], y.shape[1])

    def dequantized(self, x):
        """The weight as real numbers (out, in), for an x (..., in)."""
        width = _fitting(self, x).shape[-1]
        fast = self.fast and self.fast.of_width(width)
        if fast:
            return fast.looked_up()
        return codebook_matmul.looked_up(width, *(self.stored or self.fast.stored()))


def _widest(weight):
    """An x of no rows, as wide as the bytes of a row allow; a later x will tell."""
    width = weight.row_bytes * 8 // weight.bits // weight.groups * weight.groups
    return np.empty((0, max(width, 1)), weight.dtype)


def _interleaved(weight, packed, scale, zero_point):
    """Codes of 2 to 4 bits as an Interleaved, or None: also where the bytes of a row leave the size of a group open."""
    if 1 < weight.groups <= 7 // weight.bits:
        return None
    if weight.bits < 4:
        packed = pack_codes(unpack_codes(packed, weight.bits, _widest(weight).shape[1]), 4)
    return interleaved.interleave(packed, scale, zero_point)


def _fitting(weight, x):
    if type(x) is np.ndarray and x.dtype == weight.dtype and x.shape[-1:] == weight.width:  # as the one before
        return x
    x = arguments.last_axis("x", checks.as_float("x", x))
    if x.dtype != weight.dtype:
        raise DtypeError(f"x is {x.dtype}; {weight.dtype} is needed, as the weight has")
    width = x.shape[-1]
    if -(-width * weight.bits // 8) != weight.row_bytes or width % weight.groups:
        raise ShapeError(
            f"x has width {width}; the packed weight has {weight.row_bytes} bytes of {weight.bits}-bit codes a row, "
            f"in {weight.groups} groups"
        )
    checks.unused_bits(weight.ends, width * weight.bits - 8 * (weight.row_bytes - 1))
    weight.width = x.shape[-1:]
    return x
