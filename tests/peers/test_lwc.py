"""Are the gradients of lwc those of torch, from OmniQuant's formula with a straight-through rounding?"""

import numpy as np
import pytest

from tests.laws.clipped import clipping_edges
from tests.support import both

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="torch is not installed")


def omniquant(groups, gamma, beta, bits):
    """In torch; the zero point has no gradient."""
    n = 2**bits - 1
    high, low = (
        torch.sigmoid(gamma) * groups.amax(-1, keepdim=True),
        torch.sigmoid(beta) * groups.amin(-1, keepdim=True),
    )
    scale = ((high - low) / n).clamp(1e-5, 1e4)
    zero_point = (-low / scale).clamp(-1e4, 1e4).round().detach()
    t = groups / scale
    code = (t + (t.round() - t).detach() + zero_point).clamp(0, n)
    return (code - zero_point) * scale


@both
@pytest.mark.parametrize("arguments", list(clipping_edges())[:5], ids=lambda a: str(a["groups"].shape))
def test_lwc(engine, arguments):
    arrays = [arguments[name].astype(np.float64) for name in ("groups", "gamma", "beta")]
    g = np.random.default_rng(1).standard_normal(arrays[0].shape)
    groups, gamma, beta = (torch.from_numpy(x.copy()) for x in arrays)
    theirs = omniquant(groups, gamma.requires_grad_(), beta.requires_grad_(), arguments["bits"])
    np.testing.assert_allclose(engine.lwc(*arrays, arguments["bits"]), theirs.detach().numpy(), rtol=0, atol=1e-12)
    theirs.backward(torch.from_numpy(g))
    ours = engine.lwc_vjp(g, *arrays, arguments["bits"])[1:]
    for mine, logit in zip(ours, (gamma, beta), strict=True):
        np.testing.assert_allclose(mine, logit.grad.numpy(), rtol=1e-9, atol=1e-9)
