"""What the laws of the grids that learn share."""

import numpy as np
from hypothesis import strategies as st

from refq.tape import unbroadcast
from tests.laws.operations import cost, tenths
from tests.support import floats32, grid_arguments, grid_edges, half_grid, int_arrays, shapes


@st.composite
def step_arguments(draw):
    """Arguments of lsq: those of quantize with steps above 0, one a row, one for all, or one a column."""
    arguments = draw(grid_arguments())
    shape = draw(st.sampled_from([(), (1,), (1, 1), "row", "column"]))
    scale = np.abs(arguments["scale"])
    if shape == "column":
        scale = np.resize(scale, arguments["x"].shape[1])
    return arguments | {"scale": scale if isinstance(shape, str) else scale.reshape(-1)[:1].reshape(shape)}


def step_edges(seed=0):
    """Large arguments of lsq, with steps a row, one for all, and one a column."""
    for i, arguments in enumerate(grid_edges(seed)):
        scale = np.abs(arguments["scale"])
        yield arguments | {"scale": scale}
        yield arguments | {"scale": scale[0, 0]} | ({} if i % 2 else {"zero_point": 1})
    yield arguments | {"x": arguments["x"][:, 1:].reshape(-1, 7), "scale": np.float32([0.1, 0.2, 0.3, 0.25, 1, 2, 3])}


@st.composite
def with_gradient(draw, strategy):
    """Arguments of a vjp."""
    arguments = draw(strategy)
    return {"g": draw(tenths(arguments["x"].shape))} | arguments


def edges_with_gradient(edges, seed=5):
    random = np.random.default_rng(seed)
    for arguments in edges:
        yield {"g": random.standard_normal(arguments["x"].shape).astype(np.float32)} | arguments


def sum_cost(g, slope, shape):
    """How far two float32 sums of g * slope may lie apart."""
    count = g.size // max(int(np.prod(shape)), 1)
    return cost(unbroadcast(np.abs(g * slope).astype(np.float64), shape), count + 2)


@st.composite
def offset_arguments(draw):
    """Arguments of lsq_plus: an offset a row, one for all, or one a column; on and off the halves of a step."""
    arguments = draw(step_arguments())
    rows, columns = arguments["x"].shape
    shape = draw(st.sampled_from([(), (1, 1), (rows, 1), (columns,)]))
    offset = draw(tenths(shape)) * draw(st.sampled_from([1, 5, 0.25]))
    x = arguments["x"] + draw(st.sampled_from([0, 1])) * offset
    kept = {name: arguments[name] for name in ("scale", "qmin", "qmax")}
    return kept | {"x": x.astype(np.float32), "offset": np.asarray(offset, np.float32)}


def offset_edges(seed=0):
    for arguments in step_edges(seed):
        offset = (np.asarray(arguments.pop("zero_point")) * np.float32(0.3)).astype(np.float32)
        yield arguments | {"offset": offset[: len(arguments["x"])]} if offset.ndim else arguments | {"offset": offset}


@st.composite
def range_arguments(draw):
    """Arguments of learned_range: ends a row, for all or a column; 0 inside, on an end, or outside."""
    shape = draw(shapes())
    rows, columns = shape
    low = draw(half_grid(draw(st.sampled_from([(), (1, 1), (rows, 1), (columns,)])), 6))
    width = draw(int_arrays(draw(st.sampled_from([low.shape, (rows, 1)])), 1, 40)) * np.float32(0.5)
    high = (low + width if low.shape == width.shape else low.max() + width).astype(np.float32)
    return {
        "x": draw(half_grid(shape) | floats32(shape, 30.0)),
        "minimum": low,
        "maximum": high,
        "bits": draw(st.sampled_from([2, 3, 4, 8, 16])),
        "symmetric": draw(st.booleans()),
    }


def range_edges(seed=0):
    """Large arguments of learned_range, of sizes around the tiles of the kernels."""
    random = np.random.default_rng(seed)
    for i, (rows, columns) in enumerate(((1, 1), (3, 31), (64, 257), (1023, 65), (2, 2048), (3, 4097), (1, 70001))):
        low = random.uniform(-3, 1, (rows, 1)).astype(np.float32)
        high = low + random.uniform(0.5, 4, (rows, 1)).astype(np.float32)
        x = random.standard_normal((rows, columns)).astype(np.float32) * 2
        for ends in ((low, high), (low.min(), high), (low.min(), high.max())):
            yield {"x": x, "minimum": ends[0], "maximum": ends[1], "bits": (4, 2, 8)[i % 3], "symmetric": i % 2 == 0}
