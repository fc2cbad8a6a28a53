"""What the laws of whole weights as words share: codes, their words by hand, and the mistakes of neighbours."""

import numpy as np
from hypothesis import strategies as st

from tests.support import int_arrays


@st.composite
def codes(draw, widths, axis):
    """q (n, m) of some width, whole words along `axis`: as {"q", "bits"}."""
    bits = draw(st.sampled_from(widths))
    whole = 32 // np.gcd(bits, 32) * draw(st.integers(1, 2))
    shape = (whole, draw(st.integers(1, 3))) if axis == 0 else (draw(st.integers(1, 3)), whole)
    return {"q": draw(int_arrays(shape, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)), "bits": bits}


def large(widths, axis):
    """Larger ones, of sizes around the tile edges of kernels."""
    random = np.random.default_rng(0)
    for bits in widths:
        for other, whole in ((3, 32), (65, 96), (2, 8192)):
            shape = (whole, other) if axis == 0 else (other, whole)
            yield {"q": random.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), shape).astype(np.int32), "bits": bits}


def words_of(u, bits, highest_first=False, crossing=True):
    """Numbers (n, m), a stream a row, as words (n, ..): right, or in the ways that go wrong."""
    rows = []
    for row in u.astype(object):
        if crossing:
            ones = "".join(format(int(v) % 2**bits, f"0{bits}b")[::-1] for v in row)
        else:
            each = 32 // bits
            parts = [row[i : i + each] for i in range(0, len(row), each)]
            ones = "".join(
                "".join(format(int(v) % 2**bits, f"0{bits}b")[::-1] for v in p).ljust(32, "0") for p in parts
            )
        if highest_first:
            each = 32 // bits
            turned = [row[i : i + each][::-1] for i in range(0, len(row), each)]
            ones = "".join(format(int(v) % 2**bits, f"0{bits}b")[::-1] for part in turned for v in part)
        chunks = [ones[i : i + 32].ljust(32, "0")[::-1] for i in range(0, len(ones), 32)]
        rows.append([int(chunk, 2) for chunk in chunks])
    return np.array(rows, np.uint32).view(np.int32)
