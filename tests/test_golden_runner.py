"""The comparison itself must be able to fail."""

import numpy as np
import pytest

from refq.errors import GridError, RefqError
from refq.jobs import golden

CASE = {"args": {}, "compare": "exact", "returns": {"dtype": "float32", "shape": [2], "data": [1.0, "NaN"]}}
RIGHT = np.float32([1, np.nan])


@pytest.mark.parametrize(
    "wrong",
    [
        np.float32([1, 2]),
        np.float64([1, np.nan]),
        np.float32([[1, np.nan]]),
        np.float32([1.0000001, np.nan]),
        None,
        [1.0, np.nan],
        np.int32([1, 0]),
    ],
    ids=str,
)
def test_a_wrong_result_is_reported(wrong):
    assert golden.run(CASE, lambda: RIGHT) is None
    assert golden.run(CASE, lambda: wrong) is not None


def test_within():
    case = CASE | {"compare": {"within": {"dtype": "float32", "shape": [2], "data": [0.5, 0]}}}
    assert golden.run(case, lambda: np.float32([1.5, np.nan])) is None
    assert golden.run(case, lambda: np.float32([1.6, np.nan])) is not None
    assert golden.run(case, lambda: np.float32([np.nan, np.nan])) is not None


def test_an_error_is_matched_by_ancestry():
    def grid():
        raise GridError("rule, numbers, what would do")

    def plain():
        raise TypeError

    case = {"args": {}, "raises": "RefqError"}
    assert issubclass(GridError, RefqError)
    assert golden.run(case, grid) is None
    assert "TypeError" in golden.run(case, plain)
    assert "due" in golden.run(case, lambda: 1)
    assert "GridError" in golden.run(CASE, grid)


def test_several_results_and_names():
    case = {"args": {}, "compare": "exact", "returns": [1, {"dtype": "int32", "shape": [1], "data": [2]}]}
    assert golden.run(case, lambda: (1, np.int32([2]))) is None
    assert "result 1" in golden.run(case, lambda: (1, np.int32([3])))
    assert golden.run(case, lambda: 1) is not None
    assert golden.difference({"a": np.int32([1])}, {"a": np.int32([1])}) is None
    assert golden.difference({"a": np.int32([1])}, {"b": np.int32([1])}) is not None


@pytest.mark.parametrize(
    "value",
    [np.float32([1, -0.0, np.inf, np.nan]), np.uint8([[1, 255]]), np.zeros((0, 3), np.int32), 3, None, [1, 2]],
    ids=str,
)
def test_json_and_back(value):
    back = golden.decode(golden.encode(value))
    np.testing.assert_array_equal(back, value)
    assert getattr(back, "dtype", None) == getattr(value, "dtype", None)
