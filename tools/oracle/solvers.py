"""The solvers in exact rationals: a factorization without square roots needs nothing else."""

from fractions import Fraction

from tools.oracle import grids, ranges
from tools.oracle.learned import masked, shared_sum
from tools.oracle.numbers import Array, Bounded, clip, elementwise, nearest_even, rounded, rows, ulp
from tools.oracle.ops import bounded_list
from tools.oracle.reals import Real, bounded, constant, lift, mp, total

CLEAR = Fraction(1, 2**20)  # steps of the grid: nothing that was summed lies nearer to a tie


def hessian(x):
    columns = [[Real(v) for v in column] for column in zip(*rows(x), strict=True)]
    n = Real(len(columns[0]))
    data = [total([a * b for a, b in zip(i, j, strict=True)]) * Real(2) / n for i in columns for j in columns]
    return bounded(Array("float32", (len(columns), len(columns)), data))


def hessian_factor(hessian, damping=Fraction(1, 100)):
    factor, pivots = factored(rows(hessian), damping)
    flat = [v for row in factor for v in row]
    return near(Array("float32", hessian.shape, flat), Array("float32", (len(pivots),), pivots))


def gptq(w, hessian, scale, zero_point, qmin, qmax, act_order=False, damping=Fraction(1, 100)):
    size = w.shape[1] // scale.shape[1]
    grids = list(zip(rows(scale), rows(zero_point), strict=True))

    def grid(row, v, j):
        return grids[row][0][j // size], grids[row][1][j // size]

    return _solved(w, hessian, damping, (qmin, qmax), grid, act_order)


def gptq_grouped(w, hessian, group_size, qmin, qmax, symmetric=True, damping=Fraction(1, 100)):
    fitted = [{} for _ in range(w.shape[0])]

    def grid(row, v, j):
        if j % group_size == 0:
            group = Array("float32", (1, group_size), [rounded(value) for value in v(j, group_size)])
            scale, zero_point = ranges.minmax(group, qmin, qmax, symmetric)
            fitted[row][j // group_size] = scale.data[0], zero_point.data[0]
        return fitted[row][j // group_size]

    value, within = _solved(w, hessian, damping, (qmin, qmax), grid, False)
    shape = w.shape[0], w.shape[1] // group_size
    for i, dtype in enumerate(("float32", "int32")):
        value.append(Array(dtype, shape, [row[g][i] for row in fitted for g in range(shape[1])]))
        within.append(value[-1]._replace(data=[0] * len(value[-1].data)))
    return Bounded(value, within)


def _solved(w, hessian, damping, limits, grid, act_order):
    """Codes, reals, errors. grid(row, v, j) is asked once a weight; v(j, n): what n inputs from j on are by then."""
    n, matrix = w.shape[1], rows(hessian)
    order = sorted(range(n), key=lambda j: -matrix[j][j]) if act_order else list(range(n))
    factor, pivots = factored([[matrix[min(i, j)][max(i, j)] for j in order] for i in order], damping)
    found = [[], [], []]
    for r, row in enumerate(rows(w)):
        row = [row[j] if matrix[j][j] else Fraction(0) for j in order]
        wrong, q, w_hat, error = [], [0] * n, [0] * n, [0] * n

        def v(j, count, row=row, wrong=wrong):
            return [row[k] + sum(wrong[i] * factor[i][k] for i in range(j)) for k in range(j, j + count)]

        for j, place in enumerate(order):
            [moved] = v(j, 1)
            scale, zero_point = grid(r, v, place)
            q[place] = clip(_nearest(moved, scale, row[j] == moved) + zero_point, *limits)
            w_hat[place] = rounded((q[place] - zero_point) * scale)
            wrong.append(row[j] - w_hat[place])
            error[place] = (moved - w_hat[place]) ** 2 * pivots[j] * (1 if moved > w_hat[place] else -1)
        for part, values in zip(found, (q, w_hat, error), strict=True):
            part += values
    roots = [_root(e) for e in found[2]]
    value = [Array(d, w.shape, x) for d, x in (("int32", found[0]), ("float32", found[1]), ("float32", roots))]
    exact = [[0] * len(found[0])] * 2
    within = [a._replace(data=x) for a, x in zip(value, [*exact, [ulp(e) if e else 0 for e in roots]], strict=True)]
    return Bounded(value, within)


def _nearest(moved, scale, original):
    """rint of a quotient in float32. One that was summed must be clear of a tie, for no order of sums to decide."""
    t = rounded(rounded(moved) / scale)
    if not original and abs(abs(t - int(t)) - Fraction(1, 2)) < CLEAR:
        raise ArithmeticError(f"{float(t)} steps: a tie, or nearly; other numbers make a case")
    return nearest_even(t)


def _root(square):
    """The root of a number, with the sign of it."""
    root = mp.sqrt(mp.mpf(abs(square).numerator) / abs(square).denominator)
    return rounded(Fraction(int(root * 2**120), 2**120) * (1 if square > 0 else -1))


def llm_int8_matmul(x, q, scale, threshold, weight=None):
    vectors, codes = rows(x), rows(q)
    outlier = [any(abs(v) >= threshold for v in column) for column in zip(*vectors, strict=True)]
    reals = (
        rows(weight) if weight else [[Real(c) * Real(s) for c in row] for row, s in zip(codes, scale.data, strict=True)]
    )
    data = []
    for vector in vectors:
        reach = max([abs(v) for v in vector if abs(v) < threshold] + [Fraction(1, 2**100)])
        factor = rounded(127 / reach)
        c = [0 if o else nearest_even(rounded(v * factor)) for v, o in zip(vector, outlier, strict=True)]
        for row, s, w in zip(codes, scale.data, reals, strict=True):
            exact = rounded(Fraction(sum(a * b for a, b in zip(c, row, strict=True))))
            mixed = [
                Real(v) * (b if isinstance(b, Real) else Real(b))
                for v, b, o in zip(vector, w, outlier, strict=True)
                if o
            ]
            data.append(total([Real(exact) * (Real(reach) / Real(127) * Real(s)), *([total(mixed)] if mixed else [])]))
    return bounded(Array("float32", (*x.shape[:-1], q.shape[0]), data))


def lwc(groups, gamma, beta, bits):
    scale, zero_point, _ = clipped_grid(groups, gamma, beta, bits)
    return grids.fake_quantize(groups, scale, zero_point, 0, 2**bits - 1)


def lwc_vjp(g, groups, gamma, beta, bits):
    (scale, zero_point, slopes), n = clipped_grid(groups, gamma, beta, bits), 2**bits - 1
    t = elementwise(lambda v, s: rounded(v / s), "float32", groups, scale)
    inside = elementwise(lambda v, z: 0 <= nearest_even(v) + z <= n, "bool", t, zero_point)

    def slope(v, z, i):
        return nearest_even(v) - v if i else clip(nearest_even(v), -z, n - z)

    gscale = shared_sum(g, elementwise(slope, "float32", t, zero_point, inside), scale)
    logits = [gscale._replace(data=[a * b for a, b in zip(gscale.data, part, strict=True)]) for part in slopes]
    return bounded_list([lift(masked(g, inside)), *logits])


def clipped_grid(groups, gamma, beta, bits):
    """Scale and zero point of each group, and what its step moves with each logit."""
    n, found = 2**bits - 1, [[], [], [], []]
    for row, upper, lower in zip(rows(groups), gamma.data, beta.data, strict=True):
        (a, da), (b, db) = (_sigmoid(logit) for logit in (upper, lower))
        low = rounded(b * min(row))
        width = rounded(rounded(rounded(a * max(row)) - low) / n)
        scale = clip(width, rounded(Fraction(1, 10**5)), Fraction(10**4))
        zero_point = clip(-nearest_even(rounded(low / scale)), -(10**4), 10**4)
        free = Real(int(width == scale))
        slopes = [Real(v) / Real(n) * constant(d) * free for v, d in ((max(row), da), (-min(row), db))]
        for part, value in zip(found, (scale, zero_point, *slopes), strict=True):
            part.append(value)
    shape = (*groups.shape[:-1], 1)
    return Array("float32", shape, found[0]), Array("int32", shape, found[1]), found[2:]


def _sigmoid(logit):
    """Its value, rounded to float32, and its slope."""
    value = 1 / (1 + mp.exp(-mp.mpf(logit.numerator) / logit.denominator))
    return rounded(Fraction(int(value * 2**160), 2**160)), value * (1 - value)


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
