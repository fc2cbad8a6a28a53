"""The matrices that compressed-tensors has: Sylvester's are equal, those of other orders as orthogonal as ours."""

import numpy as np
import pytest

import refq

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]  # its warnings are its own
peer = pytest.importorskip("compressed_tensors.transform.utils.hadamard", reason="compressed-tensors is not installed")


@pytest.mark.parametrize("n", [1, 2, 4, 64, 2048])
def test_powers_of_two_are_equal(n):
    np.testing.assert_array_equal(refq.hadamard(n), peer.deterministic_hadamard_matrix(n).double().numpy())


@pytest.mark.parametrize("n", [12, 20, 28, 36, 44, 60, 76, 108, 140, 172])
def test_orders_that_both_know(n):
    torch = pytest.importorskip("torch")
    other = peer.random_hadamard_matrix(n, dtype=torch.float64).numpy()
    for h in (other, refq.hadamard(n)):
        np.testing.assert_array_equal(h @ h.T, n * np.eye(n))
