"""NaN and infinity in the operations: no error, nothing of them in another row, and no row that loses its NaN.

Where no infinity is taken, an integer beyond all floats is refused as one.
"""

import numpy as np
import pytest

from refq.errors import GridError
from tests.support import both, law

ROWS = {  # the arguments whose rows are computed by themselves, and how many results have the same rows
    "linear": (("x",), 1),
    "linear_vjp": (("g",), 1),
    "quantized_matmul": (("x",), 1),
    "quantized_matmul_vjp": (("g",), 1),
    "rms_norm": (("x",), 1),
    "rms_norm_vjp": (("g", "x"), 1),
    "layer_norm": (("x",), 1),
    "layer_norm_vjp": (("g", "x"), 1),
    "rope": (("x",), 1),
    "rope_vjp": (("g",), 1),
    "attention_scores": (("q", "k"), 1),
    "attention_scores_vjp": (("g", "q", "k"), 2),
    "attention": (("q", "k", "v"), 1),
    "attention_vjp": (("g", "q", "k", "v"), 3),
    "causal_attention": (("q", "k", "v"), 1),
    "causal_attention_vjp": (("g", "q", "k", "v"), 3),
    "silu": (("x",), 1),
    "silu_vjp": (("g", "x"), 1),
    "swiglu": (("gate", "up"), 1),
    "swiglu_vjp": (("g", "gate", "up"), 2),
    "gelu": (("x",), 1),
    "gelu_vjp": (("g", "x"), 1),
    "gelu_tanh": (("x",), 1),
    "gelu_tanh_vjp": (("g", "x"), 1),
    "softmax": (("x",), 1),
    "softmax_vjp": (("g", "x"), 1),
    "log_softmax": (("x",), 1),
    "log_softmax_vjp": (("g", "x"), 1),
    "cross_entropy": (("logits",), 1),
    "cross_entropy_vjp": (("g", "logits"), 1),
}


@both
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, which do not stop it
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_non_finite_numbers_stay_in_their_row(engine, name, wrong):
    function, (poisoned, results) = getattr(engine, name), ROWS[name]
    for arguments in law(name).edges():
        if "mask" in arguments:
            arguments["mask"][0] = True  # what is not seen may lose its NaN
        clean = _rows(name, arguments, function(**arguments), results)
        for key in poisoned:
            spoilt = arguments[key].copy()
            spoilt.reshape(-1)[0] = wrong
            found = _rows(name, arguments, function(**arguments | {key: spoilt}), results)
            for one, other in zip(found, clean, strict=True):
                np.testing.assert_array_equal(one[1:], other[1:], key)
            assert not np.isnan(wrong) or any(np.isnan(one[0]).any() for one in found), key


def _rows(name, arguments, found, results):
    """The results that have rows, (rows, numbers); a row of attention is a batch and key/value head."""
    found = found if isinstance(found, tuple) else (found,)
    first = next(arguments[key] for key in ("q", "logits", "gate", "x") if key in arguments)
    count = int(np.prod(first.shape[:2] if "attention" in name else first.shape[:-1]))
    return [part.reshape(count, -1) for part in found[:results]]


X, Q, TABLE = np.float32([0.5, 1]), np.int32([1, 2]), np.float32([0, 1])
BEYOND = {  # calls with a number that is too large
    "quantize": lambda engine, number: engine.quantize(X, number, 0, -8, 7),
    "quantize in float64": lambda engine, number: engine.quantize(X.astype(np.float64), number, 0, -8, 7),
    "dequantize": lambda engine, number: engine.dequantize(Q, number, 0),
    "fake_quantize": lambda engine, number: engine.fake_quantize(X, number, 0, -8, 7),
    "codebook_quantize": lambda engine, number: engine.codebook_quantize(X, number, TABLE),
    "codebook_dequantize": lambda engine, number: engine.codebook_dequantize(Q - 1, number, TABLE),
    "percentile": lambda engine, number: engine.percentile(X, -8, 7, percent=number),
    "sqnr": lambda engine, number: engine.sqnr(X, -8, 7, gamma=number),
    "aimet_sqnr_range": lambda engine, number: engine.aimet_sqnr_range(X, gamma=number),
    "rms_norm": lambda engine, number: engine.rms_norm(X, X, number),
}


@both
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", BEYOND)
def test_an_integer_beyond_all_floats_is_refused(engine, name, sign):
    with pytest.raises(GridError, match="inf"):
        BEYOND[name](engine, sign * 10**400)
