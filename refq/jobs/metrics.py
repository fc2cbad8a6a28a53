"""The figures of GLUE: of predicted labels against right ones, and of numbers against numbers."""

import math

import numpy as np


def accuracy(predicted, labels):
    """Share of right labels.

    Parameters
        predicted, labels: integers, (n,), n of 1 or more.
    Returns
        share: float, 0..1.

    >>> accuracy([1, 0, 1, 1], [1, 0, 0, 1])
    0.75
    """
    return float(np.mean(np.equal(predicted, labels)))


def f1(predicted, labels):
    """Harmonic mean of precision and recall of label 1.

    2 tp / (2 tp + fp + fn);  0 where nothing is 1, predicted or right

    >>> f1([1, 1, 0, 0], [1, 0, 1, 0])
    0.5
    """
    predicted, labels = np.equal(predicted, 1), np.equal(labels, 1)
    ones = int(predicted.sum() + labels.sum())
    return 2 * int((predicted & labels).sum()) / ones if ones else 0.0


def matthews(predicted, labels):
    """Correlation of two labellings of any number of classes; with two it is Matthews' coefficient.

    (n c - sum p t) / sqrt((n**2 - sum p**2) (n**2 - sum t**2)),  c = right ones, p and t = how often each label is
    predicted and right;  0 where one of the two knows a single label

    >>> matthews([1, 1, 0, 0], [1, 1, 0, 1])
    0.5773502691896258

    Source: Gorodkin 2004, the R_K statistic.
    """
    n, c = len(labels), int(np.equal(predicted, labels).sum())
    classes = 1 + max(np.max(predicted), np.max(labels))
    p, t = (np.bincount(values, minlength=classes) for values in (predicted, labels))
    spread = float(n * n - p @ p) * float(n * n - t @ t)
    return float(n * c - p @ t) / math.sqrt(spread) if spread else 0.0


def pearson(x, y):
    """Correlation of two series; NaN where one of them is constant.

    >>> pearson([1, 2, 3], [2, 4, 6])
    1.0
    """
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    x, y = (values - np.mean(values, dtype=np.float64) for values in (x, y))
    found = float(x @ y) / math.sqrt((x @ x) * (y @ y))
    return max(-1.0, min(1.0, found))


def spearman(x, y):
    """Correlation of the ranks of two series; NaN where one of them is constant.

    >>> spearman([1, 2, 3], [1, 10, 100])
    1.0
    """
    return pearson(ranks(x), ranks(y))


def ranks(x):
    """Ranks from 1; equal values share the mean of theirs.

    >>> ranks([10, 20, 20, 5])
    array([2. , 3.5, 3.5, 1. ])
    """
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
