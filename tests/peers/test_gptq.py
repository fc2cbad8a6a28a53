"""Do other programs give the same codes for the same Hessian? Where not, is the first of a row all but a tie?

PyTorch in the paper's form, and llmcompressor 0.14 where it is installed (it asks for an older transformers, and runs
beside the current one). Both compute in float32; in float64 no code differs.
"""

import functools

import numpy as np
import pytest

import refq_fast
from tests.laws import solved

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]  # their warnings are theirs
torch = pytest.importorskip("torch", reason="torch is not installed")
torch.set_num_threads(1)  # spinning threads take minutes on a busy machine

SHAPES = {"a scale a row": (1024, 1024, 1), "groups": (1024, 1536, 12)}
NEAR = 1e-3  # steps: so far from a tie is the first code of a row that float32 decides otherwise


def plain(w, hessian, scale, real, act_order):
    from benchmarks.torch_gptq import torch_gptq

    dead = hessian.diagonal() == 0
    w, hessian = np.where(dead, 0, w), hessian + np.diag(dead)
    order = np.argsort(-hessian.diagonal(), kind="stable") if act_order else np.arange(len(hessian))
    spread = np.repeat(scale, w.shape[1] // scale.shape[1], axis=1)[:, order]
    tensors = (torch.from_numpy(x.astype(real)) for x in (w[:, order], hessian[np.ix_(order, order)], spread))
    return torch_gptq(*tensors).numpy()[:, np.argsort(order)]


def llmcompressor(w, hessian, scale, real, act_order):
    tool = pytest.importorskip("llmcompressor.modifiers.gptq.gptq_quantize", exc_type=ImportError)
    helpers = pytest.importorskip("llmcompressor.modifiers.gptq.helpers", exc_type=ImportError)
    arguments = pytest.importorskip("compressed_tensors.quantization").QuantizationArgs
    size = w.shape[1] // scale.shape[1]
    kind = {"strategy": "channel"} if scale.shape[1] == 1 else {"strategy": "group", "group_size": size}
    kind |= {"actorder": "weight"} if act_order and scale.shape[1] > 1 else {}
    w, hessian, scale = (torch.from_numpy(x.astype(real)[None].copy()) for x in (w, hessian, scale))
    kept = tool.GPTQ_PRECISION, helpers.GPTQ_PRECISION
    tool.GPTQ_PRECISION = helpers.GPTQ_PRECISION = torch.from_numpy(np.empty(0, real)).dtype
    try:
        args = arguments(num_bits=4, symmetric=True, **kind)
        return tool.quantize_weight(w, hessian, scale, torch.zeros_like(scale), None, args)[0][0].numpy()
    finally:
        tool.GPTQ_PRECISION, helpers.GPTQ_PRECISION = kept


@functools.cache
def layer(shape):
    [found] = solved.large_weights([SHAPES[shape]])
    return found["w"], found["hessian"], found["scale"]


def codes(peer, shape, real, act_order):
    """Codes of the program, and of refq."""
    w, hessian, scale = layer(shape)
    reals = peer(w, hessian, scale, real, act_order)
    theirs = np.rint(reals / np.repeat(scale, w.shape[1] // scale.shape[1], axis=1).astype(real)).astype(np.int32)
    return theirs, refq_fast.gptq(w, hessian, scale, np.zeros(scale.shape, np.int32), -8, 7, act_order)[0]


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("peer", [plain, llmcompressor])
def test_codes_in_float64(peer, shape, act_order):
    if peer is llmcompressor and act_order and shape != "groups":
        pytest.skip("llmcompressor has act-order for groups alone")
    theirs, ours = codes(peer, shape, np.float64, act_order)
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("peer", [plain, llmcompressor])
def test_codes_in_float32_differ_first_where_there_is_all_but_a_tie(peer, shape):
    theirs, ours = codes(peer, shape, np.float32, False)
    rows = np.flatnonzero((theirs != ours).any(axis=1))
    assert len(rows) <= 0.1 * len(ours)
    first = (theirs != ours).argmax(axis=1)[rows]
    t = _moved(*layer(shape))[rows, first]
    distance = np.abs(np.abs(t - np.trunc(t)) - 0.5)
    print(f"{peer.__name__}, {shape}: {(theirs != ours).sum()} of {ours.size} codes differ, in {len(rows)} rows;")
    print(f"the first of a row is at most {distance.max(initial=0):.1e} steps from a tie")
    assert (distance < NEAR).all()
    assert (np.abs(theirs - ours)[rows, first] == 1).all()


def _moved(w, hessian, scale):
    """What is rounded, in steps: v = w_hat + error / sqrt(pivots)."""
    _, w_hat, error = refq_fast.gptq(w, hessian, scale, np.zeros(scale.shape, np.int32), -8, 7)
    _, pivots = refq_fast.hessian_factor(hessian)
    return (w_hat + error / np.sqrt(pivots)) / np.repeat(scale, w.shape[1] // scale.shape[1], axis=1)
