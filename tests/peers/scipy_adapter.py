"""scipy under our names: one step of Lloyd's algorithm, and the means of even bins, in float64, rounded once."""

import numpy as np
import scipy
from scipy.cluster.vq import kmeans2
from scipy.stats import binned_statistic

NAME, __version__ = "scipy", scipy.__version__
__all__ = ["linear_mean", "lloyd_step"]


def lloyd_step(groups, codebook):
    entries, index = np.empty_like(codebook), np.empty(groups.shape, np.uint8)
    for group in np.ndindex(groups.shape[:-1]):
        start, values = codebook[group].astype(np.float64), groups[group].astype(np.float64)
        entries[group], index[group] = kmeans2(values, start, iter=1, minit="matrix")
    return entries, index


def linear_mean(groups, bits):
    entries, index = np.empty((*groups.shape[:-1], 2**bits), groups.dtype), np.empty(groups.shape, np.uint8)
    for group in np.ndindex(groups.shape[:-1]):
        values = groups[group].astype(np.float64)
        means, _, bins = binned_statistic(values, values, "mean", 2**bits)
        if np.isnan(means).any() and np.isfinite(values).all():
            raise NotImplementedError("a bin without values has no number")
        entries[group], index[group] = means, bins - 1
    return entries, index
