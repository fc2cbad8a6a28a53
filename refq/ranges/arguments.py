"""The argument checks of codebooks that are fitted, one per rule; both packages call these."""

import numpy as np

from refq import checks

LARGEST = 2.0**400  # sums of squares stay finite


def fitted_groups(groups):
    """Finite floats (..., n), at least one a group, at most 2**400 in size."""
    groups = checks.filled_groups(groups)
    if groups.dtype == np.float64 and groups.size:
        checks.within("groups", groups, -LARGEST, LARGEST)
    return groups


def linear_arguments(groups, bits):
    """Groups, and how many entries a codebook of `bits` bits has."""
    return fitted_groups(groups), 2 ** checks.bit_width(bits, smallest=1)
