"""refq: a readable reference of low-bit language models. Every public name has a section in SPEC.md."""

from refq.grids.affine import dequantize, fake_quantize, fake_quantize_vjp, integer_range, quantize
from refq.grids.groups import from_groups, to_groups
from refq.grids.pack import pack_codes, pack_compressed_tensors, unpack_codes, unpack_compressed_tensors
from refq.ranges.float16 import float16_scale
from refq.ranges.minmax import minmax

__version__ = "0.1.0"

__all__ = [
    "integer_range",
    "quantize",
    "dequantize",
    "fake_quantize",
    "fake_quantize_vjp",
    "to_groups",
    "from_groups",
    "pack_codes",
    "unpack_codes",
    "pack_compressed_tensors",
    "unpack_compressed_tensors",
    "float16_scale",
    "minmax",
]
