"""refq_fast: the fast twin of refq. The same names; those with a Numba kernel are replaced below."""

from refq import *  # noqa: F403
from refq import __all__ as __all__
from refq import PackedWeight as PackedWeight
from refq import __version__ as __version__
from refq_fast.grids.affine import dequantize, fake_quantize, fake_quantize_vjp, quantize
