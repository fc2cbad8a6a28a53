"""The argument checks of codebooks that are fitted, one per rule; both packages call these."""

import numpy as np

from refq import checks
from refq.errors import DtypeError, GridError, ShapeError

LARGEST = 2.0**400  # sums of squares stay finite
ENTRIES = 256  # an index is a byte
BINS = 65536


def fitted_groups(groups):
    """Finite floats (..., n), at least one a group, at most 2**400 in size."""
    return _small(checks.filled_groups(groups), "groups")


def tokens(x):
    """Activations (..., D): finite, at least one number a token."""
    return checks.finite("x", checks.last_axis("x", checks.as_float("x", x)))


def linear_arguments(groups, bits):
    """Groups, and how many entries a codebook of `bits` bits has."""
    return fitted_groups(groups), 2 ** checks.bit_width(bits, smallest=1)


def codebook_arguments(groups, codebook):
    """Groups, and a codebook of their dtype for each."""
    groups = fitted_groups(groups)
    codebook = checks.has_axis("codebook", checks.as_float_like("codebook", codebook, groups))
    checks.same_shape("codebook", codebook, "a codebook a group", (*groups.shape[:-1], codebook.shape[-1]))
    if not 1 <= codebook.shape[-1] <= ENTRIES:
        raise ShapeError(f"codebook has shape {codebook.shape}; 1 to {ENTRIES} entries a group are supported")
    return groups, _small(checks.finite("codebook", codebook), "codebook")


def draw_arguments(groups, k, draws):
    """Groups, the number of entries, and a random number of 0 <= u < 1 for each."""
    groups, k, draws = fitted_groups(groups), entries(k), np.asarray(draws)
    if draws.dtype != np.float64:
        raise DtypeError(f"draws is {draws.dtype}; float64 is needed")
    checks.same_shape("draws", draws, "a draw an entry", (*groups.shape[:-1], k))
    if checks.finite("draws", draws).size and not (draws.min() >= 0 and draws.max() < 1):
        raise GridError(f"{checks.first_wrong('draws', draws, (0 <= draws) & (draws < 1))}; 0 <= draw < 1 is needed")
    return groups, k, draws


def optimal_arguments(groups, k, bins):
    """Groups, the number of entries and of bins."""
    if not 1 <= checks.integer("bins", bins) <= BINS:
        raise GridError(f"bins={bins}; 1..{BINS} is supported")
    return fitted_groups(groups), entries(k), int(bins)


def entries(k):
    """How many entries a codebook has, 1 to 256."""
    if not 1 <= checks.integer("k", k) <= ENTRIES:
        raise GridError(f"k={k}; 1..{ENTRIES} entries are supported")
    return int(k)


def iteration_count(iterations):
    """An integer, 0 or more."""
    return checks.count("iterations", iterations)


def _small(x, name):
    if x.dtype == np.float64:
        checks.within(name, x, -LARGEST, LARGEST)
    return x
