"""kmeans1d under our names: the optimum of k-means in one dimension, of groups that no bin coarsens."""

import kmeans1d
import numpy as np

NAME, __version__ = "kmeans1d", kmeans1d.__version__
__all__ = ["kmeans_optimal"]


def kmeans_optimal(groups, k, bins=65536):
    entries, index = np.empty((*groups.shape[:-1], k), groups.dtype), np.empty(groups.shape, np.uint8)
    for group in np.ndindex(groups.shape[:-1]):
        values = groups[group].astype(np.float64)
        if not k <= len(np.unique(values)) <= bins:
            raise NotImplementedError("kmeans1d has no bins, and no more clusters than values")
        index[group], entries[group] = kmeans1d.cluster(values, k)
    return entries, index
