"""The solvers in exact rationals: a factorization without square roots needs nothing else."""

from fractions import Fraction

from tools.oracle.numbers import Array, Bounded, rounded, rows, ulp
from tools.oracle.reals import Real, bounded, total


def hessian(x):
    columns = [[Real(v) for v in column] for column in zip(*rows(x), strict=True)]
    n = Real(len(columns[0]))
    data = [total([a * b for a, b in zip(i, j, strict=True)]) * Real(2) / n for i in columns for j in columns]
    return bounded(Array("float32", (len(columns), len(columns)), data))


def hessian_factor(hessian, damping=Fraction(1, 100)):
    factor, pivots = factored(rows(hessian), damping)
    flat = [v for row in factor for v in row]
    return near(Array("float32", hessian.shape, flat), Array("float32", (len(pivots),), pivots))


def factored(matrix, damping):
    """S and d with S diag(d) S^T = the damped matrix, of which the upper triangle counts."""
    n = len(matrix)
    rest = [[matrix[min(i, j)][max(i, j)] for j in range(n)] for i in range(n)]
    for j in range(n):
        rest[j][j] = rest[j][j] or Fraction(1)
    more = Fraction(damping) * sum(rest[j][j] for j in range(n)) / n
    for j in range(n):
        rest[j][j] += more
    factor, pivots = [[Fraction(i == j) for j in range(n)] for i in range(n)], [row[-1] for row in rest]
    for j in reversed(range(n)):
        pivots[j] = rest[j][j]
        for i in range(j):
            factor[i][j] = rest[i][j] / pivots[j]
        for i in range(j):
            for k in range(j):
                rest[i][k] -= pivots[j] * factor[i][j] * factor[k][j]
    return factor, pivots


def near(*arrays):
    """Computed in float64, rounded once: the nearest float32 or its neighbour; where the exact value is one, that."""
    values = [array._replace(data=[rounded(v) for v in array.data]) for array in arrays]
    pairs = zip(arrays, values, strict=True)
    allowed = [
        array._replace(data=[0 if v == r else ulp(r) for v, r in zip(array.data, value.data, strict=True)])
        for array, value in pairs
    ]
    return Bounded(values, allowed)
