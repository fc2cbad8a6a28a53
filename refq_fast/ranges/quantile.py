"""Twin of refq.ranges.quantile."""

from refq.ranges.arguments import linear_arguments
from refq.ranges.quantile import quantiles
from refq_fast.ranges.lloyd import assign


def quantile_codebook(groups, bits):
    """Twin of refq.quantile_codebook.

    The same sort; the assignment in parallel.
    Spec: quantile_codebook
    """
    groups, entries = linear_arguments(groups, bits)
    codebook = quantiles(groups, entries)
    return codebook, assign(groups, codebook)
