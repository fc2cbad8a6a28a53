"""What the laws of fitted codebooks share: groups of every kind, squared errors, and the best that is possible."""

import itertools
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

import refq
from tests.support import floats32, half_grid, shapes

LARGEST = np.finfo(np.float32).max
TINY = np.float32(1e-45)


@st.composite
def groups(draw, max_rows=3, max_columns=12):
    """Groups (rows, n): ties, duplicates, constants, outliers, subnormal and the largest numbers, -0."""
    shape = draw(shapes(max_rows, max_columns))
    x = draw(half_grid(shape, 3) | half_grid(shape) | floats32(shape))
    x = x * np.float32(draw(st.sampled_from([1, 1, 0.1, 1e30, 1e-30, 1e-44, 0]))) + np.float32(
        draw(st.sampled_from([0, 0, 0, 100, -7]))
    )
    if draw(st.booleans()):
        place = draw(st.integers(0, shape[1] - 1))
        x[:, place] = draw(st.sampled_from([np.float32(-0.0), TINY, -LARGEST, LARGEST, np.float32(1e4)]))
    return x


def large_groups(shapes, seed=0):
    """Normal values with heavy tails, duplicates and constant groups, of the given shapes."""
    random = np.random.default_rng(seed)
    for shape in shapes:
        x = random.standard_t(3, shape).astype(np.float32)
        x[..., ::7] = np.round(x[..., ::7])
        x[..., ::11] = -0.0
        x[:1] = 0.1 if len(shape) > 1 and shape[0] > 2 else x[:1]
        yield x


@st.composite
def linear_arguments(draw):
    return {"groups": draw(groups()), "bits": draw(st.integers(1, 8))}


def linear_edges():
    for i, x in enumerate(large_groups([(1, 1), (3, 31), (2, 3, 8193), (65, 33), (1, 70001)])):
        yield {"groups": x, "bits": i + 1}


def assert_float64_is_kept(engine, name, groups, bits):
    """float64 in, a float64 codebook out, that of refq."""
    wide = groups.astype(np.float64) * (1 + 2.0**-40)
    codebook, index = getattr(engine, name)(wide, bits)
    assert codebook.dtype == np.float64
    np.testing.assert_equal(getattr(refq, name)(wide, bits), (codebook, index))


def one_for_all(name):
    """The function with the codebook of all values for each group: a mistake."""

    def wrong(groups, bits):
        codebook, index = getattr(refq, name)(groups.reshape(1, -1), bits)
        return np.broadcast_to(codebook, (*groups.shape[:-1], 2**bits)).copy(), index.reshape(groups.shape)

    return wrong


def squared_error(groups, codebook, index):
    """Sum of the squared errors of each group, in float64."""
    x_hat = np.take_along_axis(codebook, index.astype(np.int64), axis=-1)
    return ((groups.astype(np.float64) - x_hat) ** 2).sum(axis=-1)


def nearest(groups, codebook):
    """Index of the nearest entry, of equal ones the first: in float64, and where that cannot tell in rationals."""
    distance = np.abs(groups.astype(np.float64)[..., None] - codebook.astype(np.float64)[..., None, :])
    index = distance.argmin(axis=-1).astype(np.uint8)
    entries = np.broadcast_to(codebook, (*groups.shape[:-1], codebook.shape[-1]))
    for place in zip(*np.nonzero((distance == distance.min(axis=-1, keepdims=True)).sum(axis=-1) > 1), strict=True):
        x, table = Fraction(float(groups[place])), [Fraction(float(entry)) for entry in entries[place[:-1]]]
        index[place] = min(range(len(table)), key=lambda k, x=x, table=table: abs(x - table[k]))
    return index


def least_error(group, k):
    """The least squared error of k entries, in rationals: every partition of the sorted values into runs."""
    values, counts = np.unique(group, return_counts=True)
    points = [(Fraction(float(v)), int(c)) for v, c in zip(values, counts, strict=True)]
    n, s, q = ([0, *itertools.accumulate(c * v**power for v, c in points)] for power in range(3))

    def cost(i, j):
        return q[j] - q[i] - (s[j] - s[i]) ** 2 / (n[j] - n[i])

    best = {0: Fraction(0)}
    for c in range(1, min(k, len(points)) + 1):
        best = {j: min(best[i] + cost(i, j) for i in best if i < j) for j in range(c, len(points) + 1)}
    return best[len(points)]


def exact_error(group, codebook):
    """The squared error of the nearest entries, in rationals."""
    entries = [Fraction(float(entry)) for entry in codebook]
    return sum(min((Fraction(float(v)) - entry) ** 2 for entry in entries) for v in group)
