"""refq_fast: the fast twin of refq. The same names; those with a Numba kernel are replaced below."""

from refq import *  # noqa: F403
from refq import __all__ as __all__
from refq import PackedWeight as PackedWeight
from refq import __version__ as __version__
from refq_fast.grids.affine import dequantize, fake_quantize, fake_quantize_vjp, quantize
from refq_fast.grids.codebook import codebook_dequantize, codebook_quantize
from refq_fast.grids.pack import pack_codes, pack_compressed_tensors, unpack_codes, unpack_compressed_tensors
from refq_fast.ranges.minmax import minmax
from refq_fast.ranges.mse import mse
from refq_fast.ranges.sqnr import sqnr
