"""What a low-bit number is."""

from refq.grids.affine import dequantize, fake_quantize, fake_quantize_vjp, integer_range, quantize
from refq.grids.awq_words import pack_awq, unpack_awq
from refq.grids.codebook import codebook_dequantize, codebook_quantize
from refq.grids.gptq_words import pack_gptq, pack_gptq_zeros, unpack_gptq, unpack_gptq_zeros
from refq.grids.groups import from_groups, to_groups
from refq.grids.iq4_nl import decode_iq4_nl
from refq.grids.iq4_xs import decode_iq4_xs
from refq.grids.lookup import codebook_lookup, codebook_lookup_vjp
from refq.grids.matmul_nbits import (
    pack_matmul_nbits,
    pack_matmul_nbits_zeros,
    unpack_matmul_nbits,
    unpack_matmul_nbits_zeros,
)
from refq.grids.mlx_words import pack_mlx, unpack_mlx
from refq.grids.mxfp4 import decode_mxfp4
from refq.grids.pack import pack_codes, pack_compressed_tensors, unpack_codes, unpack_compressed_tensors
from refq.grids.q2_k import decode_q2_k
from refq.grids.q3_k import decode_q3_k
from refq.grids.q4_0 import decode_q4_0, pack_q4_0, unpack_q4_0
from refq.grids.q4_1 import decode_q4_1, pack_q4_1, unpack_q4_1
from refq.grids.q4_k import decode_q4_k
from refq.grids.q5_0 import decode_q5_0, decode_q5_1, pack_q5_0, unpack_q5_0
from refq.grids.q5_k import decode_q5_k
from refq.grids.q6_k import decode_q6_k
from refq.grids.q8_0 import decode_q8_0, pack_q8_0, unpack_q8_0
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
    "pack_awq",
    "unpack_awq",
    "pack_mlx",
    "unpack_mlx",
    "pack_matmul_nbits",
    "unpack_matmul_nbits",
    "pack_matmul_nbits_zeros",
    "unpack_matmul_nbits_zeros",
    "pack_q4_0",
    "unpack_q4_0",
    "decode_q4_0",
    "pack_q4_1",
    "unpack_q4_1",
    "decode_q4_1",
    "pack_q5_0",
    "unpack_q5_0",
    "decode_q5_0",
    "decode_q5_1",
    "pack_q8_0",
    "unpack_q8_0",
    "decode_q8_0",
    "decode_q2_k",
    "decode_q3_k",
    "decode_q4_k",
    "decode_q5_k",
    "decode_q6_k",
    "decode_iq4_nl",
    "decode_iq4_xs",
    "decode_mxfp4",
]
