"""The laws of the tables that formats fix."""

import numpy as np


def check_own_codes(engine, table):
    """Entry i has code i, but for -0 at 8, which is 0: the lower code."""
    codebook = table()
    codes = engine.codebook_quantize(codebook, 1.0, codebook)
    np.testing.assert_array_equal(codes, [*range(8), 0, *range(9, 16)])


def check_fresh_array(table):
    """Whoever writes into a table changes no other."""
    written, kept = table(), table().copy()
    written[:] = 7
    np.testing.assert_array_equal(table(), kept)
