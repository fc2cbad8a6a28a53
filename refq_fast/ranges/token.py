"""Twin of refq.ranges.token."""

import numpy as np

from refq.ranges import arguments
from refq_fast import tokens


def token_quantize(x, bits, symmetric=False, zero=True):
    """Twin of refq.token_quantize.

    One pass over x from memory, parallel over tokens: a row is read for its range, and again out of the cache.
    Spec: token_quantize
    """
    return tokens.codes(arguments.tokens(x), bits, symmetric, zero, np.int32)
