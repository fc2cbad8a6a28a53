"""Float64 rows of LANES numbers that work side by side: what some of them give to others, in a fixed order."""

from refq_fast.kernel import serial

LANES = 32
FOUR = 4  # rows that give at once: what they give to is loaded and stored once


@serial
def spread(y, low, high, x, start, stop, s):
    """y[j] -= s[j, k] * x[k] for j in low..high-1, k in start..stop-1, of which there are FOUR or fewer."""
    if stop - start == FOUR:
        for j in range(low, high):
            a, b, c, d = s[j, start], s[j, start + 1], s[j, start + 2], s[j, start + 3]
            for r in range(LANES):
                y[j, r] -= a * x[start, r] + b * x[start + 1, r] + c * x[start + 2, r] + d * x[start + 3, r]
        return
    for j in range(low, high):
        for k in range(start, stop):
            for r in range(LANES):
                y[j, r] -= s[j, k] * x[k, r]
