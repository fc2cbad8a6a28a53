"""What the laws of channel reassembly share: layers whose channels differ in size, and reassemblies of all kinds."""

import numpy as np
from hypothesis import strategies as st

import refq
from tests.laws.operations import tenths
from tests.support import int_arrays

BOUND = 2.0**-20  # relative to the sum of magnitudes: float32 results of sums of some ten terms


def maxima(least=0):
    """Largest sizes of some channels: multiples of a half, zeros and equal ones too, a few of them large."""
    size = st.integers(1, 9).flatmap(lambda n: int_arrays((n,), least, 8))
    outliers = st.lists(st.tuples(st.integers(0, 8), st.sampled_from([10, 33])), max_size=2)

    def joined(halves, large):
        maximum = halves.astype(np.float32) / 2
        for place, factor in large:
            maximum[place % len(maximum)] *= factor
        return maximum

    return st.builds(joined, size, outliers)


@st.composite
def layers(draw):
    """x (tokens, channels) and w (out, channels)."""
    channels = draw(st.integers(1, 6))
    return {
        "x": draw(tenths((draw(st.integers(1, 4)), channels))),
        "w": draw(tenths((draw(st.integers(1, 4)), channels))),
    }


@st.composite
def assemblies(draw):
    """counts and into of assemble: split channels stay, of the others some are merged or left out."""
    counts = draw(int_arrays((draw(st.integers(1, 6)),), 1, 3))
    counts[draw(int_arrays(counts.shape, 0, 2)) > 0] = 1
    single = np.flatnonzero(np.repeat(counts, counts) == 1)
    into = np.arange(counts.sum(), dtype=np.int32)
    if len(single) > 1:
        targets = single[: draw(st.integers(1, len(single)))]
        for place in single[len(targets) :]:
            into[place] = draw(st.sampled_from([*map(int, targets), -1]))
    return {"counts": counts, "into": into}


@st.composite
def forms(draw):
    """(old channels, reassembly)."""
    arguments = draw(assemblies())
    return len(arguments["counts"]), refq.assemble(**arguments)


def weighted(channels, form):
    """The matrix of reassemble_input, (new channels, channels), in float64; times its divisors that of the weight."""
    members, sizes, divisors = form
    matrix = np.zeros((len(sizes), channels))
    np.add.at(matrix, (np.repeat(np.arange(len(sizes)), sizes), members), 1)
    return matrix / divisors[:, None]
