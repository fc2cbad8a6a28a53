"""PyTorch's KLDivLoss on logits (B, T, V): its batchmean is ours, and T times a mean over tokens."""

import numpy as np
import pytest

from tests.laws.operations import normal
from tests.support import both

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="torch is not installed")

B, T, V = 4, 7, 11
STUDENT, TEACHER = (normal(seed, B, T, V).astype(np.float64) for seed in (1, 2))
ALL = np.ones((B, T), bool)


def theirs(reduction):
    """The loss, and its gradient with respect to the student's logits."""
    student = torch.from_numpy(STUDENT.copy()).requires_grad_()
    parts = torch.log_softmax(student, dim=-1), torch.softmax(torch.from_numpy(TEACHER), dim=-1)
    loss = torch.nn.functional.kl_div(*parts, reduction=reduction)
    loss.backward()
    return loss.item(), student.grad.numpy()


def ours(engine, reduction):
    losses = engine.kl_divergence(STUDENT, TEACHER)
    slopes = engine.reduce_loss_vjp(1.0, losses, ALL, reduction)
    return engine.reduce_loss(losses, ALL, reduction), engine.kl_divergence_vjp(slopes, STUDENT, TEACHER)


@both
@pytest.mark.parametrize(
    ("reduction", "name", "factor"),
    [("batchmean", "batchmean", 1), ("batchmean", "token_mean", T), ("mean", "token_mean", 1 / V)],
)
@pytest.mark.filterwarnings("ignore:reduction")  # torch's, of its own "mean"
def test_reductions(engine, reduction, name, factor):
    for due, found in zip(theirs(reduction), ours(engine, name), strict=True):
        np.testing.assert_allclose(due, factor * found, rtol=1e-12, atol=1e-15)
