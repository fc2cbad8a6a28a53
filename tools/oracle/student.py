"""A student in training, exactly: its grids, its codes, and the surrogates' formulas."""

from fractions import Fraction
from typing import NamedTuple

from tools.oracle import grids, learned, ranges, surrogates
from tools.oracle.numbers import Array, elementwise, rounded, ulp
from tools.oracle.reals import Real, constant, total

SCALE, ZERO_POINT = "_scale", "_zero_point"
INPUT_SCALE, INPUT_ZERO_POINT = ".input_scale", ".input_zero_point"
CLEAR = Fraction(1, 1000)  # of a step: no number is nearer to a tie
LAYERS = {name: f"self_attn.{name}_proj" for name in "qkvo"} | {
    name: f"mlp.{name}_proj" for name in ("gate", "up", "down")
}


class Grid(NamedTuple):
    """A quantized weight in groups, with the scale as it is stored and the zero point beside them."""

    groups: Array
    scale: Array
    zero_point: Array
    qmin: int
    qmax: int


def ov_freeze(params, qmin, qmax, projections=("o", "v")):
    fixed, frozen = dict(params), []
    for name, array in params.items():
        layer, _, kind = name.rpartition(".")
        if not layer.endswith(tuple(LAYERS[p] for p in projections)):
            continue
        frozen.append(name)
        if kind == "weight":
            grid = grid_of(params, name, qmin, qmax)
            fixed[name] = grids.fake_quantize(*grid)._replace(shape=array.shape)
            fixed[name + SCALE] = grid.scale._replace(shape=params[name + SCALE].shape)
    return [fixed, sorted(frozen)]


def grid_of(params, name, qmin, qmax):
    """The grid of a weight: (out, groups, group_size), (out or 1, groups, 1) twice."""
    w, scale = params[name], ranges.float16_scale(params[name + SCALE])
    shape = (*scale.shape, 1)
    zero_point = params.get(name + ZERO_POINT, Array("int32", shape, [0] * len(scale.data)))
    groups = grids.to_groups(w, w.shape[1] // scale.shape[1])
    return Grid(groups, scale._replace(shape=shape), zero_point._replace(shape=shape), qmin, qmax)


def check_clear(grid, what):
    """No quotient on the grid is near a tie: a program with a little error makes the same codes."""
    t = elementwise(lambda x, s: x / s, "float32", grid.groups, grid.scale)
    u = elementwise(lambda t, z: t + z, "float32", t, grid.zero_point)
    for t in u.data:
        if grid.qmin - 1 < t < grid.qmax + 1 and abs(t - t.__floor__() - Fraction(1, 2)) < CLEAR:
            raise ArithmeticError(f"{what}: {float(t)} steps are too near to a tie")


def check_clear_half(scales):
    """No scale is near a tie of float16."""
    for s in scales:
        t = s / ulp(s, "float16")
        if abs(t - t.__floor__() - Fraction(1, 2)) < CLEAR:
            raise ArithmeticError(f"a scale of {float(s)} is too near to a tie of float16")


def forward_codes(grid, recipe):
    """Codes of the forward pass."""
    if recipe["quantizer"] != "soft":
        return grids.quantize(*grid)
    soft = surrogates.soft_fake_quantize(*grid, recipe["sharpness"], recipe["beta"])
    return grids.quantize(soft, *grid[1:])


def surrogate(grid, g, recipe):
    """Gradients of a weight's elements, and of its scales: lists of Reals; the latter may be None."""
    if recipe["quantizer"] == "straight_through":
        ones = grid.groups._replace(data=[1] * len(grid.groups.data))
        inside = grids.fake_quantize_vjp(ones, *grid).data
        return [v if i else Real(0) for v, i in zip(g, inside, strict=True)], None
    if recipe["quantizer"] == "soft":
        slopes = surrogates.soft_slopes(*grid, recipe["sharpness"], recipe["beta"])
        gx, terms = ([v * s for v, s in zip(g, part, strict=True)] for part in slopes)
        return gx, _shared(grid, terms)
    low = elementwise(lambda z: grid.qmin - z, "int32", grid.zero_point)
    high = elementwise(lambda z: grid.qmax - z, "int32", grid.zero_point)
    t = elementwise(lambda x, s: rounded(x / s), "float32", grid.groups, grid.scale)
    inside = elementwise(lambda t, a, b: a < t < b, "bool", t, low, high).data
    slope = elementwise(learned.step_slope, "float32", t, low, high).data
    gx = [v if i else Real(0) for v, i in zip(g, inside, strict=True)]
    return gx, _shared(grid, [v * Real(s) for v, s in zip(g, slope, strict=True)])


def _shared(grid, terms):
    """Sums over the elements that share a scale, times LSQ's factor."""
    places = grid.scale._replace(data=list(range(len(grid.scale.data))))
    sums = [[] for _ in places.data]
    for place, term in zip(elementwise(lambda _, p: p, "int32", grid.groups, places).data, terms, strict=True):
        sums[place].append(term)
    factor = constant(learned.lsq_gradient_scale(len(terms) // len(sums), grid.qmax))
    return [total(parts) * factor for parts in sums]
