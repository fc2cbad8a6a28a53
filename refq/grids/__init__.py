"""What a low-bit number is."""

from refq.grids.affine import dequantize, fake_quantize, fake_quantize_vjp, integer_range, quantize
from refq.grids.codebook import codebook_dequantize, codebook_quantize
from refq.grids.gptq_words import pack_gptq, pack_gptq_zeros, unpack_gptq, unpack_gptq_zeros
from refq.grids.groups import from_groups, to_groups
from refq.grids.lookup import codebook_lookup, codebook_lookup_vjp
from refq.grids.pack import pack_codes, pack_compressed_tensors, unpack_codes, unpack_compressed_tensors
from refq.grids.tables import e2m1_codebook, fp4_codebook, nf4_codebook

__all__ = [
    "integer_range",
    "quantize",
    "dequantize",
    "fake_quantize",
    "fake_quantize_vjp",
    "to_groups",
    "from_groups",
    "codebook_quantize",
    "codebook_dequantize",
    "codebook_lookup",
    "codebook_lookup_vjp",
    "nf4_codebook",
    "fp4_codebook",
    "e2m1_codebook",
    "pack_codes",
    "unpack_codes",
    "pack_compressed_tensors",
    "unpack_compressed_tensors",
    "pack_gptq",
    "unpack_gptq",
    "pack_gptq_zeros",
    "unpack_gptq_zeros",
]
