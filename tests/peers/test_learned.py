"""Grids that learn beside torch and AIMET: where they agree, and by which rule they differ."""

import numpy as np
import pytest

import refq
from refq.jobs import golden
from refq.tape import unbroadcast

pytestmark = pytest.mark.peers
STEP, OFFSET, BITS = np.float32(0.25), np.float32(0.75), (2, 4, 8)


def numbers(bits):
    """g and x on sixteenths of a step (its ends and ties too), none further than two steps outside the grid."""
    qmin, qmax = refq.integer_range(bits)
    x = np.arange(16 * qmin - 32, 16 * qmax + 33, dtype=np.float32) / 16 * STEP
    return np.random.default_rng(bits).standard_normal(x.shape).astype(np.float32), x, qmin, qmax


def torch_learnable(g, x, scale, zero_point, qmin, qmax):
    """The learnable fake quantizers of torch, an element a channel: x_hat, gx, and gscale of each element."""
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(x[:, None].copy()).requires_grad_(True)
    scale = torch.full((len(g),), float(scale)).requires_grad_(True)
    point = torch.full((len(g),), float(zero_point)).requires_grad_(True)
    x_hat = torch._fake_quantize_learnable_per_channel_affine(x, scale, point, 0, qmin, qmax, 1.0)
    x_hat.backward(torch.from_numpy(g[:, None].copy()))
    whole = torch._fake_quantize_learnable_per_tensor_affine(x, scale[:1], point[:1], qmin, qmax, 1.0)
    np.testing.assert_array_equal(whole.detach().numpy(), x_hat.detach().numpy())
    return x_hat.detach().numpy()[:, 0], x.grad.numpy()[:, 0], scale.grad.numpy()


def clamp_and_round(g, x, scale, offset, qmin, qmax):
    """LSQ and LSQ+ as programs write them: clamp, a rounding that passes gradients, and torch's differentiation."""
    torch = pytest.importorskip("torch")
    x, scale, offset = (
        torch.from_numpy(np.broadcast_to(v, x.shape).copy()).requires_grad_(True) for v in (x, scale, offset)
    )
    t = torch.clamp((x - offset) / scale, qmin, qmax)
    x_hat = (t + (torch.round(t) - t).detach()) * scale + offset
    x_hat.backward(torch.from_numpy(g))
    return x_hat.detach().numpy(), x.grad.numpy(), scale.grad.numpy(), offset.grad.numpy()


@pytest.mark.parametrize("bits", BITS)
def test_torch_learnable_differs_from_lsq_by_the_mask_alone(bits):
    """torch looks at the rounded code, as fake_quantize_vjp does: on an end and half a step beyond it."""
    g, x, qmin, qmax = numbers(bits)
    steps = np.full_like(x, STEP)
    x_hat, gx, gscale = torch_learnable(g, x, STEP, 0, qmin, qmax)
    ours_gx, ours_gscale = refq.lsq_vjp(g, x, steps, 0, qmin, qmax)
    t = x / STEP
    differ = ((qmin - 0.5 <= t) & (t <= qmin)) | ((qmax <= t) & (t < qmax + 0.5))
    np.testing.assert_array_equal(x_hat, refq.lsq(x, STEP, 0, qmin, qmax))
    np.testing.assert_array_equal(gx, refq.fake_quantize_vjp(g, x, STEP, 0, qmin, qmax))
    np.testing.assert_array_equal(gx != ours_gx, differ)
    np.testing.assert_array_equal(gscale[~differ], ours_gscale[~differ])
    np.testing.assert_allclose(gscale[differ], (g * (np.rint(t) - t))[differ], rtol=1e-6)


@pytest.mark.parametrize("bits", BITS)
def test_torch_learnable_is_range_learning(bits):
    """The same mask: the gradient of a symmetric range is that of torch's step over n."""
    g, x, qmin, qmax = numbers(bits)
    low, high = np.full_like(x, qmin * STEP), np.full_like(x, qmax * STEP)
    _, gx, gscale = torch_learnable(g, x, STEP, 0, qmin, qmax)
    ours_gx, gminimum, gmaximum = refq.learned_range_vjp(g, x, low, high, bits, True)
    np.testing.assert_array_equal(gx, ours_gx)
    np.testing.assert_allclose(gmaximum * (2**bits - 1), gscale, rtol=1e-6)
    np.testing.assert_array_equal(gminimum, -gmaximum)


def test_torch_learnable_multiplies_by_one_over_the_step():
    """A tie in x / scale that x * (1 / scale) does not see: torch's own rounding, whatever the gradient rule."""
    x, step = (np.arange(-15, 16) * 0.005).astype(np.float32), np.float32(0.01)
    x_hat = torch_learnable(np.ones_like(x), x, step, 0, -8, 7)[0]
    reciprocal = np.clip(np.rint(x * (1 / step)), -8, 7) * step
    np.testing.assert_array_equal(x_hat, reciprocal)
    assert (x_hat != refq.lsq(x, step, 0, -8, 7)).any()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("offset", [np.float32(0), OFFSET])
def test_clamp_and_round_differs_on_the_ends_alone(bits, offset):
    g, x, qmin, qmax = numbers(bits)
    x = x + offset
    steps, offsets = np.full_like(x, STEP), np.full_like(x, offset)
    x_hat, *gradients = clamp_and_round(g, x, STEP, offset, qmin, qmax)
    np.testing.assert_allclose(x_hat, refq.lsq_plus(x, STEP, offset, qmin, qmax), rtol=1e-6, atol=1e-6)
    end = np.isin((x - offset) / STEP, (qmin, qmax))
    for ours, theirs in zip(refq.lsq_plus_vjp(g, x, steps, offsets, qmin, qmax), gradients, strict=True):
        np.testing.assert_allclose(theirs[~end], ours[~end], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(gradients[0][end], g[end])


def aimet(g, x, minimum, maximum, bits, symmetric):
    """x_hat and the three gradients of AIMET's quantizer with the ends as parameters."""
    torch = pytest.importorskip("torch")
    affine = pytest.importorskip("aimet_torch.quantization.affine", exc_type=ImportError)
    shape = np.broadcast_shapes(np.shape(minimum), np.shape(maximum))
    quantizer = affine.QuantizeDequantize(shape, bitwidth=bits, symmetric=symmetric)
    ends = (torch.from_numpy(np.broadcast_to(end, shape).copy()) for end in (minimum, maximum))
    quantizer.set_range(*ends)
    x = torch.from_numpy(x).requires_grad_(True)
    x_hat = quantizer(x)
    x_hat.backward(torch.from_numpy(g))
    low, high = (
        unbroadcast(end.grad.numpy(), np.shape(own))
        for end, own in ((quantizer.min, minimum), (quantizer.max, maximum))
    )
    return x_hat.detach().numpy(), x.grad.numpy(), np.asarray(low), np.asarray(high)


CASES = [
    pytest.param(case, id=case["id"])
    for name in ("learned_range", "learned_range_vjp")
    for case in golden.load(name)
    if "returns" in case
]


@pytest.mark.parametrize("case", CASES)
def test_aimet_learns_these_ranges(case):
    arguments = golden.decode(case["args"])
    alone = "g" not in arguments
    found = aimet(**({"g": np.ones_like(arguments["x"])} | arguments))
    if alone:
        np.testing.assert_array_equal(found[0], golden.decode(case["returns"]))
        return
    assert found[0].dtype == np.float32
    for theirs, ours in zip(found[1:], golden.decode(case["returns"]), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=2e-6, atol=1e-6)
