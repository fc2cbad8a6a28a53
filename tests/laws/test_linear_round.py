"""Laws of linear_round."""

import numpy as np
from hypothesis import given

import refq
from tests.laws import fitted
from tests.support import both

arguments, edges = fitted.linear_arguments, fitted.linear_edges


@both
@given(arguments())
def test_both_ends_are_entries(engine, arguments):
    groups = arguments["groups"]
    codebook, index = engine.linear_round(**arguments)
    assert (codebook.dtype, index.dtype) == (np.float32, np.uint8)
    assert codebook.shape == (len(groups), 2 ** arguments["bits"])
    np.testing.assert_array_equal(codebook[:, 0], groups.min(axis=-1))
    np.testing.assert_array_equal(codebook[:, -1], groups.max(axis=-1))
    assert (np.diff(codebook.astype(np.float64)) >= 0).all()
    assert fitted.squared_error(groups, codebook, index).shape == (len(groups),)


@both
@given(arguments())
def test_no_error_is_larger_than_half_a_step(engine, arguments):
    groups = arguments["groups"].astype(np.float64)
    codebook, index = engine.linear_round(**arguments)
    error = np.abs(np.take_along_axis(codebook, index.astype(int), -1) - groups)
    width = groups.max(axis=-1, keepdims=True) - groups.min(axis=-1, keepdims=True)
    rounding = np.abs(groups).max(axis=-1, keepdims=True) * 2.0**-23 + 1e-45
    assert (error <= width / (2 * (2 ** arguments["bits"] - 1)) + rounding).all()


@both
@given(arguments())
def test_a_power_of_two_scales_the_codebook(engine, arguments):
    arguments["groups"] = np.clip(np.where(np.abs(arguments["groups"]) < 1e-30, 0, arguments["groups"]), -1e37, 1e37)
    codebook, index = engine.linear_round(**arguments)
    codebook_8, index_8 = engine.linear_round(arguments["groups"] * np.float32(8), arguments["bits"])
    np.testing.assert_array_equal(index_8, index)
    large = np.abs(codebook) > 1e-30
    np.testing.assert_array_equal(codebook_8[large], codebook[large] * np.float32(8))


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    fitted.assert_float64_is_kept(engine, "linear_round", **arguments)


def _wrong(code=None, entries=None):
    """linear_round with another index or other entries; both take (x or i, lo, hi, steps)."""

    def linear_round(groups, bits):
        codebook, index = refq.linear_round(groups, bits)
        lo, hi = (end(axis=-1, keepdims=True).astype(np.float64) for end in (groups.min, groups.max))
        steps = 2**bits - 1
        with np.errstate(all="ignore"):
            if code:
                found = np.nan_to_num(code(groups, lo, hi, steps))
                index = np.clip(np.where(lo == hi, index, found), 0, steps).astype(np.uint8)
            if entries:
                found = entries(np.arange(2**bits), lo, hi, steps).astype(groups.dtype)
                codebook = np.where(lo == hi, codebook, found)
        return codebook, index

    return linear_round


def _float32(x, lo, hi, steps):
    lo, hi = np.float32(lo), np.float32(hi)
    return np.rint((x - lo) / ((hi - lo) / np.float32(steps)))


WRONG = {
    "ties upwards": _wrong(lambda x, lo, hi, steps: np.floor((x - lo) * steps / (hi - lo) + 0.5)),
    "truncated": _wrong(lambda x, lo, hi, steps: np.floor((x - lo) * steps / (hi - lo))),
    "float32": _wrong(_float32),
    "a product with 1 / step": _wrong(lambda x, lo, hi, steps: np.rint((x - lo) * (1 / ((hi - lo) / steps)))),
    "rounded before the offset": _wrong(
        lambda x, lo, hi, steps: np.rint(x * steps / (hi - lo)) - np.rint(lo * steps / (hi - lo))
    ),
    "2**bits steps": _wrong(lambda x, lo, hi, steps: np.rint((x - lo) * (steps + 1) / (hi - lo))),
    "entries in float32": _wrong(
        entries=lambda i, lo, hi, steps: (
            np.float32(lo) + i.astype(np.float32) * ((np.float32(hi) - np.float32(lo)) / np.float32(steps))
        )
    ),
    "middles of bins": _wrong(entries=lambda i, lo, hi, steps: lo + (hi - lo) * (i + 0.5) / (steps + 1)),
    "symmetric around 0": _wrong(entries=lambda i, lo, hi, steps: np.maximum(-lo, hi) * (2 * i / steps - 1)),
    "one codebook for all groups": fitted.one_for_all("linear_round"),
}
