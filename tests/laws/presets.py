"""What the laws of the presets share: groups with every kind of range, and mistakes made from the right answer."""

import numpy as np
from hypothesis import strategies as st

import refq
from tests.support import floats32, half_grid, shapes

KINDS = {
    "as it is": lambda x: x,
    "positive": np.abs,
    "negative": lambda x: -np.abs(x),
    "zeros": np.zeros_like,
    "constant": lambda x: np.full_like(x, x.flat[0]),
    "narrow": lambda x: x.flat[0] + x * np.float32(1e-5),
    "tiny": lambda x: x * np.float32(2.0**-30),
}


@st.composite
def group_arguments(draw):
    """Groups of a preset without other arguments."""
    shape = draw(shapes())
    x = draw(half_grid(shape) | floats32(shape))
    return {"groups": KINDS[draw(st.sampled_from(sorted(KINDS)))](x)}


@st.composite
def preset_arguments(draw):
    """Groups, width and symmetry of a preset."""
    return draw(group_arguments()) | {"bits": draw(st.integers(2, 8)), "symmetric": draw(st.booleans())}


def check_form(preset, arguments, limits):
    """Types, shapes and code limits; each group alone, in any order of its values, gives the same grid."""
    groups = arguments["groups"]
    scale, point, *found = preset(**arguments)
    assert tuple(found) == limits
    assert scale.dtype == np.float32
    assert scale.shape == point.shape == (len(groups), 1)
    for i in range(len(groups)):
        alone = preset(**arguments | {"groups": np.sort(groups[i])})
        np.testing.assert_array_equal(alone[0], scale[i])
        np.testing.assert_array_equal(alone[1], point[i])


def check_nothing_is_clipped(engine, groups, grid):
    """Every value is at most half a step, and a few units in the last place, from its code."""
    scale, zero_point, qmin, qmax = grid
    error = np.abs(engine.fake_quantize(groups, scale, zero_point, qmin, qmax) - groups)
    assert (error <= scale * 0.5001 + np.abs(groups) * 1e-6).all()


def check_powers_of_two(preset, arguments):
    """Eight times the values is eight times the scale and the same zero point, unless it is all zeros or subnormal."""
    scale, zero_point, *_ = preset(**arguments)
    large, same, *_ = preset(**arguments | {"groups": arguments["groups"] * np.float32(8)})
    some = arguments["groups"].any(axis=-1, keepdims=True) & (np.abs(scale) >= 2.0**-100)
    np.testing.assert_array_equal(large[some], scale[some] * 8)
    np.testing.assert_array_equal(same, zero_point)


def wrong(name, scale=None, point=None):
    """The right preset with another scale(groups, scale, qmax) or point(groups, scale, point)."""

    def preset(groups, **options):
        s, p, qmin, qmax = getattr(refq, name)(groups, **options)
        if scale:
            s = np.float32(scale(groups, s, qmax))
        if point:
            p = point(groups, s, p).astype(p.dtype)
        return s, p, qmin, qmax

    return preset


def absmax(groups):
    """Largest magnitude of each group."""
    return np.abs(groups).max(axis=-1, keepdims=True)


def width(groups):
    """Largest minus smallest of each group, 0 not forced inside."""
    return groups.max(axis=-1, keepdims=True) - groups.min(axis=-1, keepdims=True)
