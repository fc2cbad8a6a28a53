"""How a grid is fitted to data."""

from refq.ranges.aimet import aimet_range
from refq.ranges.aimet_sqnr import aimet_sqnr_range
from refq.ranges.awq import awq_range
from refq.ranges.compressed_tensors import compressed_tensors_range
from refq.ranges.float16 import float16_scale
from refq.ranges.gptq import gptq_range
from refq.ranges.hqq import hqq_range
from refq.ranges.kmeans_optimal import kmeans_optimal
from refq.ranges.kmeans_plus_plus import kmeans_plus_plus_init
from refq.ranges.linear_mean import linear_mean
from refq.ranges.linear_round import linear_round
from refq.ranges.llama_cpp import q4_0_range, q4_1_range, q8_0_range
from refq.ranges.lloyd import lloyd, lloyd_step
from refq.ranges.minmax import minmax
from refq.ranges.mse import mse
from refq.ranges.percentile import percentile
from refq.ranges.q4_0 import encode_q4_0
from refq.ranges.q4_1 import encode_q4_1
from refq.ranges.q4_k import encode_q4_k
from refq.ranges.q5_0 import encode_q5_0
from refq.ranges.q6_k import encode_q6_k
from refq.ranges.q8_0 import encode_q8_0
from refq.ranges.quantile import quantile_codebook
from refq.ranges.sqnr import sqnr
from refq.ranges.token import token_quantize

__all__ = [
    "float16_scale",
    "minmax",
    "percentile",
    "mse",
    "sqnr",
    "token_quantize",
    "aimet_range",
    "aimet_sqnr_range",
    "gptq_range",
    "awq_range",
    "compressed_tensors_range",
    "q4_0_range",
    "q4_1_range",
    "q8_0_range",
    "hqq_range",
    "encode_q4_0",
    "encode_q4_1",
    "encode_q5_0",
    "encode_q8_0",
    "encode_q4_k",
    "encode_q6_k",
    "linear_mean",
    "linear_round",
    "quantile_codebook",
    "kmeans_plus_plus_init",
    "lloyd_step",
    "lloyd",
    "kmeans_optimal",
]
