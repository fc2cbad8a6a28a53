"""numpy under our names: its percentiles (the grid of them is min-max's formula), its quantiles, and its float16."""

import numpy as np

NAME, __version__ = "numpy", np.__version__
__all__ = ["float16_scale", "percentile", "quantile_codebook"]


def float16_scale(scale):
    with np.errstate(over="ignore"):
        return scale.astype(np.float16).astype(scale.dtype)


def percentile(groups, qmin, qmax, symmetric=True, scale_dtype="float32", percent=99.9):
    if scale_dtype != "float32":
        raise NotImplementedError("only the percentiles are numpy's, and they are not rounded to float16")
    x = np.abs(groups) if symmetric else groups
    ends = np.percentile(x.astype(np.float64), [100 - percent, percent], axis=-1, keepdims=True).astype(x.dtype)
    lo, hi = np.minimum(ends[0], 0), np.maximum(ends[1], 0)
    if (lo == hi).any():
        raise NotImplementedError("a group without a range is no matter of percentiles")
    if symmetric:
        return hi / x.dtype.type(qmax), np.zeros(hi.shape, np.int32)
    scale = (hi - lo) / x.dtype.type(qmax - qmin)
    return scale, np.clip(qmin - np.rint(lo / scale), qmin, qmax).astype(np.int32)


def quantile_codebook(groups, bits):
    wide, places = groups.astype(np.float64), (np.arange(2**bits) + 0.5) / 2**bits
    codebook = np.moveaxis(np.quantile(wide, places, axis=-1), 0, -1).astype(groups.dtype)
    return codebook, np.abs(wide[..., None] - codebook[..., None, :]).argmin(axis=-1).astype(np.uint8)
