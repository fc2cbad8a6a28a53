"""The low-bit weight in the layout of the kernels."""

import numpy as np

from refq import checks
from refq.errors import DtypeError, ShapeError
from refq.ops import arguments
from refq_fast import interleaved
from refq_fast.ops import quantized_matmul as stored


class PackedWeight:
    """A low-bit weight (out, in) for linear, checked once.

    At 4 bits, where a group is whole 32-bit words, its rows are interleaved; otherwise it stays as it is stored.
    """

    __slots__ = ("bits", "dtype", "groups", "row_bytes", "ends", "fast", "stored")

    def __init__(self, packed, scale, zero_point, bits):
        bits, packed, scale = checks.bit_width(bits), np.asarray(packed), checks.as_float("scale", scale)
        if packed.ndim != 2 or scale.ndim != 2 or 0 in scale.shape:
            raise ShapeError(f"packed has shape {packed.shape}, scale {scale.shape}; (out, bytes), (out, G) are needed")
        self.bits, self.dtype, self.groups, self.row_bytes = bits, scale.dtype, scale.shape[1], packed.shape[1]
        width = self.row_bytes * 8 // bits // self.groups * self.groups  # the widest that fits; x will tell
        x = np.empty((0, max(width, 1)), scale.dtype)
        weight = arguments.quantized_matmul(x, packed, scale, zero_point, bits)[1:4]
        self.ends = np.bitwise_or.reduce(weight[0][:, -1:], axis=0)  # the last byte of all rows in one
        self.fast = interleaved.interleave(*weight) if bits == 4 else None
        self.stored = None if self.fast else (*map(np.ascontiguousarray, weight), bits)

    def product(self, x):
        """x (..., in) times the transpose: (..., out)."""
        x = self._fitting(x)
        if self.stored:
            return stored.product(x, *self.stored)
        y = interleaved.product(np.ascontiguousarray(x).reshape(-1, x.shape[-1]), self.fast)
        return y.reshape(*x.shape[:-1], y.shape[1])

    def dequantized(self, x):
        """The weight as real numbers (out, in), for an x (..., in)."""
        x = self._fitting(x)
        if self.stored:
            return stored.dequantized(x.shape[-1], *self.stored)
        return interleaved.dequantized(self.fast)[:, : x.shape[-1]]

    def _fitting(self, x):
        x = arguments.last_axis("x", checks.as_float("x", x))
        if x.dtype != self.dtype:
            raise DtypeError(f"x is {x.dtype}; {self.dtype} is needed, as the scale has")
        width = x.shape[-1]
        if -(-width * self.bits // 8) != self.row_bytes or width % self.groups:
            raise ShapeError(
                f"x has width {width}; the packed weight has {self.row_bytes} bytes of {self.bits}-bit codes a row, "
                f"in {self.groups} groups"
            )
        checks.unused_bits(self.ends, width * self.bits - 8 * (self.row_bytes - 1))
        return x
