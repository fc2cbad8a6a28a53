"""scikit-learn under our names: Lloyd's algorithm from given entries, in float64, rounded once."""

import numpy as np
import sklearn
from sklearn.cluster import KMeans

NAME, __version__ = "scikit-learn", sklearn.__version__
__all__ = ["lloyd"]


def lloyd(groups, codebook, iterations=3):
    n, k = groups.shape[-1], codebook.shape[-1]
    if n < k or iterations < 1:
        raise NotImplementedError("KMeans needs as many values as entries, and one iteration")
    entries, index = np.empty_like(codebook), np.empty(groups.shape, np.uint8)
    for group in np.ndindex(groups.shape[:-1]):
        start = codebook[group][:, None].astype(np.float64)
        fitted = KMeans(k, init=start, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd")
        fitted.fit(groups[group][:, None].astype(np.float64))
        entries[group], index[group] = fitted.cluster_centers_[:, 0], fitted.labels_
    return entries, index
