"""Twin of refq.training.requantize."""

from refq_fast.grids.lookup import codebook_lookup
from refq_fast.ranges.lloyd import lloyd_step


def ste_requantize(groups, codebook):
    """Twin of refq.ste_requantize.

    Two kernels: the step, and the lookup.
    Spec: ste_requantize
    """
    codebook, index = lloyd_step(groups, codebook)
    return codebook_lookup(index, codebook), codebook, index
