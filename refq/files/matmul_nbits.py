"""MatMulNBits of ONNX Runtime: the names, types and shapes of the tensors of a quantized layer.

A linear layer X of N outputs and K inputs, in blocks of `block_size`, is stored as ONNX Runtime's own quantizer does

    X.weight_Q4           uint8 (N, blocks, block_size * bits / 8)     see pack_matmul_nbits; Q8 and Q2 of other widths
    X.weight_scales       float32 (N, blocks)
    X.weight_zero_points  uint8 (N, blocks * bits / 8), rounded up     not there if every zero point is 0
"""

from typing import NamedTuple

METHOD = "MatMulNBits"
MARK = "weight_scales"  # of a layer that is quantized
BITS = (2, 4, 8)
SIZES = (16, 32, 64, 128, 256)  # with other powers of two ONNX Runtime is wrong or refuses


class Nbits(NamedTuple):
    """How one layer is quantized.

    group_size: block_size, or None for one scale a row: then all blocks of a row have the same, and the last may be
        filled up.
    symmetric: every zero point is 0.
    """

    bits: int
    group_size: int | None
    symmetric: bool
    block_size: int

    inputs = transform = None  # they stay as they are

    @property
    def strategy(self):
        return "group" if self.group_size else "channel"


def packed_tensors(name, shape, scheme, path=""):
    """The tensors that stand for `name`.weight: name -> (dtypes that may stand there, shape).

    >>> packed_tensors("x", (8, 172), Nbits(4, None, True, 256))
    {'x.weight_Q4': (('U8',), (8, 1, 128)), 'x.weight_scales': (('F32',), (8, 1))}
    """
    rows, bits = shape[0], scheme.bits
    blocks = -(-shape[1] // scheme.block_size)
    tensors = {f"{name}.weight_Q{bits}": (("U8",), (rows, blocks, scheme.block_size * bits // 8))}
    tensors[f"{name}.weight_scales"] = ("F32",), (rows, blocks)
    if not scheme.symmetric:
        tensors[f"{name}.weight_zero_points"] = ("U8",), (rows, -(-blocks * bits // 8))
    return tensors


def settings(shape, scheme):
    """The attributes of the node for a weight of this shape."""
    return {"K": shape[1], "N": shape[0], "bits": scheme.bits, "block_size": scheme.block_size}
