"""The figures of GLUE beside SciPy and scikit-learn."""

import math

import numpy as np
import pytest

from refq.jobs import metrics

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default")]  # their warnings are theirs
stats = pytest.importorskip("scipy.stats", reason="SciPy is not installed")
theirs = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")

LABELS = [(2, 1), (2, 2), (2, 7), (2, 400), (3, 50), (5, 900)]  # classes, items


@pytest.mark.parametrize(("classes", "n"), LABELS)
@pytest.mark.parametrize("seed", range(20))
def test_labels(classes, n, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    predicted = np.where(random.random(n) < random.random(), labels, random.integers(0, classes, n))
    assert metrics.accuracy(predicted, labels) == theirs.accuracy_score(labels, predicted)
    assert metrics.matthews(predicted, labels) == pytest.approx(theirs.matthews_corrcoef(labels, predicted), abs=1e-12)
    ones = np.equal(labels, 1), np.equal(predicted, 1)
    assert metrics.f1(predicted, labels) == pytest.approx(theirs.f1_score(*ones, zero_division=0), abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 10, 1500])
@pytest.mark.parametrize("levels", [2, 5, None])  # few of them: many ties
@pytest.mark.parametrize("seed", range(10))
def test_numbers(n, levels, seed):
    random = np.random.default_rng(seed)
    x, y = random.standard_normal((2, n)) if levels is None else random.integers(0, levels, (2, n)) / 7
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(metrics.pearson(x, y))
        assert math.isnan(metrics.spearman(x, y))
        return
    np.testing.assert_array_equal(metrics.ranks(x), stats.rankdata(x))
    assert metrics.pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert metrics.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_series_of_one_number_have_no_correlation():
    for one in ([0.1] * 3, [7] * 3):
        assert math.isnan(metrics.pearson(one, [1, 2, 3]))
        assert math.isnan(metrics.spearman([1, 2, 3], one))
