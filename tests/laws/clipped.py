"""What the laws of learnable weight clipping share."""

import numpy as np
from hypothesis import strategies as st

from tests.support import floats32, half_grid, shapes


@st.composite
def clipping_arguments(draw):
    """Groups on halves and off them, one-sided and constant ones; logits from nothing to the whole range."""
    shape = draw(shapes(4, 9))
    groups = draw(half_grid(shape, 6) | floats32(shape)) + draw(st.sampled_from([0, 0, 8, -30]))
    logit = st.sampled_from([0.0, 4.0, 1.5, -1.0, 12.0, 40.0, -40.0])
    gamma, beta = (np.float32(draw(st.lists(logit, min_size=shape[0], max_size=shape[0])))[:, None] for _ in range(2))
    return {
        "groups": groups.astype(np.float32),
        "gamma": gamma,
        "beta": beta,
        "bits": draw(st.sampled_from([2, 3, 4, 8])),
    }


def clipping_edges(seed=0):
    """Large arguments, of sizes around the tiles of the kernels."""
    random = np.random.default_rng(seed)
    for i, shape in enumerate([(1, 1), (3, 31), (64, 257), (5, 3, 128), (2, 4097), (1, 70001)]):
        groups, ends = random.standard_normal(shape).astype(np.float32), (*shape[:-1], 1)
        gamma, beta = (random.uniform(-1, 5, ends).astype(np.float32) for _ in range(2))
        yield {"groups": groups, "gamma": gamma, "beta": beta, "bits": (4, 2, 8)[i % 3]}


def call(groups, gamma, beta, bits):
    """Arguments for one group."""
    numbers = {"groups": groups, "gamma": [[gamma]], "beta": [[beta]]}
    return {name: np.float32(value) for name, value in numbers.items()} | {"bits": bits}


def sigmoid(logit):
    """In float64."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-logit.astype(np.float64)))


def grid(groups, gamma, beta, bits, **_):
    """Scale and zero point as SPEC has them, in the dtype of the groups, and whether the scale is at no limit."""
    dtype = groups.dtype.type
    a, b = (sigmoid(v).astype(dtype) for v in (gamma, beta))
    low = b * groups.min(axis=-1, keepdims=True)
    width = (a * groups.max(axis=-1, keepdims=True) - low) / dtype(2**bits - 1)
    scale = np.clip(width, dtype(1e-5), dtype(1e4))
    return scale, np.clip(-np.rint(low / scale), -1e4, 1e4).astype(np.int32), width == scale
