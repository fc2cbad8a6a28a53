"""What the laws of the grids that learn share."""

import numpy as np
from hypothesis import strategies as st

from refq.tape import unbroadcast
from tests.laws.operations import cost, tenths
from tests.support import grid_arguments, grid_edges


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
