"""Is the rule the derivative? Each f_vjp against the slope of f along a random direction, in float64, both engines."""

import numpy as np
import pytest

import refq
from tests.support import both

# specified, not derived: golden cases check them
SURROGATES = {"fake_quantize", "lsq", "lsq_plus", "learned_range", "lwc"}
SURROGATES |= {
    "codebook_lookup",
    "ste_requantize",
    "dynamic_fake_quantize",
    "normalized_lsq",
    "sigmoid_ste",
    "soft_fake_quantize",
}
ALLOWED = 1e-8  # relative
MASK = np.array([[True, False, True, True], [True, True, False, False]])
REASSEMBLY = np.array([0, 3, 4, 1, 1, 2]), np.array([3, 1, 1, 1]), np.array([3, 2, 2, 1])


def _cases():
    """Arguments of every f that has a gradient, and which of them are differentiable."""
    random = np.random.default_rng(7)

    def real(*shape):
        return random.standard_normal(shape)

    tokens, targets = np.array([[1, 3, 1], [0, 2, 2]]), np.array([[4, 0, 2], [1, 1, 3]])
    codes = random.integers(-8, 8, (5, 6)).astype(np.int32)
    packed = (refq.pack_codes(codes, 4), np.abs(real(5, 2)) + 0.1, np.int32([[1, -2]] * 5), 4)
    indices = (refq.pack_codes(codes, 4), real(5, 2, 16), 4)
    rotary = (np.arange(3, 6), refq.rope_frequencies(4, 100.0))
    return {
        "embed": ((tokens, real(4, 5)), (1,)),
        "linear": ((real(2, 3, 6), real(5, 6), real(5)), (0, 1, 2)),
        "quantized_matmul": ((real(2, 3, 6), *packed), (0,)),
        "codebook_matmul": ((real(2, 3, 6), *indices), (0,)),
        "rms_norm": ((real(2, 3, 6), real(6), 0.1), (0, 1)),
        "layer_norm": ((real(2, 3, 6), real(6), real(6), 0.1), (0, 1, 2)),
        "rope": ((real(2, 3, 4), *rotary), (0,)),
        "attention_scores": ((real(2, 2, 3, 1, 2), real(2, 2, 6, 2)), (0, 1)),  # the last query sees all keys
        "causal_attention": ((real(2, 2, 3, 4, 2), real(2, 2, 6, 2), real(2, 2, 6, 2)), (0, 1, 2)),
        "attention": ((real(2, 2, 3, 2), real(2, 2, 4, 2), real(2, 2, 4, 2), MASK), (0, 1, 2)),
        "silu": ((real(2, 7) * 3,), (0,)),
        "swiglu": ((real(2, 7) * 3, real(2, 7)), (0, 1)),
        "gelu": ((real(2, 7) * 3,), (0,)),
        "gelu_tanh": ((real(2, 7) * 3,), (0,)),
        "tanh": ((real(2, 7) * 2,), (0,)),
        "softmax": ((real(2, 3, 5) * 2,), (0,)),
        "log_softmax": ((real(2, 3, 5) * 2,), (0,)),
        "cross_entropy": ((real(2, 3, 5) * 2, targets), (0,)),
        "soft_clamp": ((real(2, 7) * 2, -1 - np.abs(real(2, 1)), np.abs(real(7)), 1.5), (0, 1, 2)),
        "kl_divergence": ((real(2, 3, 5) * 2, real(2, 3, 5) * 2, 1.5), (0,)),
        "reverse_kl_divergence": ((real(2, 3, 5) * 2, real(2, 3, 5) * 2, 1.5), (0,)),
        "jensen_shannon_divergence": ((real(2, 3, 5) * 2, real(2, 3, 5) * 2, 1.5), (0,)),
        "reduce_loss": ((real(2, 3), targets > 0), (0,)),
        "top_k_kl": ((real(2, 3, 5) * 2, *refq.top_k_log_probs(real(2, 3, 5) * 2, 3, 1.5), 1.5, True, False), (0,)),
        "squared_error": ((real(2, 3, 5), real(2, 3, 5)), (0,)),
        "cosine_distance": ((real(2, 3, 5), real(2, 3, 5)), (0,)),
        "attention_map_error": ((real(2, 3, 5), real(2, 3, 5)), (0,)),
        "reassemble_input": ((real(2, 3, 5), REASSEMBLY), (0,)),
        "reassemble_weight": ((real(4, 5), REASSEMBLY), (0,)),
        "hadamard_transform": ((real(2, 3, 12),), (0,)),
    }


CASES = _cases()


def check(function, vjp, arguments, differentiable):
    """The gradients along one direction against a central difference of fourth order."""
    random = np.random.default_rng(11)
    g = random.standard_normal(np.shape(function(*arguments)))
    along = [random.standard_normal(arguments[i].shape) for i in differentiable]
    found = vjp(g, *arguments)
    found = found if isinstance(found, (tuple, list)) else [found]
    analytic = sum((gradient * d).sum() for gradient, d in zip(found, along, strict=True))

    def at(step):
        moved = list(arguments)
        for i, d in zip(differentiable, along, strict=True):
            moved[i] = moved[i] + step * d
        return (g * function(*moved)).sum()

    h = 1e-3
    numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    assert abs(analytic - numeric) <= ALLOWED * abs(numeric), f"the rule gives {analytic}, the slope is {numeric}"


@both
@pytest.mark.parametrize("name", CASES)
def test_the_rule_is_the_derivative(engine, name):
    check(getattr(engine, name), getattr(engine, f"{name}_vjp"), *CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_a_broken_rule_is_noticed(name):
    arguments, differentiable = CASES[name]
    for broken in range(len(differentiable)):

        def vjp(*arguments, broken=broken):
            found = getattr(refq, f"{name}_vjp")(*arguments)
            found = list(found) if isinstance(found, tuple) else [found]
            found[broken] = found[broken] * (1 + 1e-5)
            return found

        with pytest.raises(AssertionError, match="the slope is"):
            check(getattr(refq, name), vjp, arguments, differentiable)


def test_every_gradient_is_checked():
    pairs = {name.removesuffix("_vjp") for name in refq.__all__ if name.endswith("_vjp")}
    assert pairs - SURROGATES == set(CASES)
