"""Laws of reduce_loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.operations import assert_float64_is_kept, cost, tenths
from tests.support import both, int_arrays


@st.composite
def arguments(draw):
    shape = draw(st.sampled_from([(1,), (5,), (2, 3), (3, 2), (2, 2, 2)]))
    mask = draw(int_arrays(shape, 0, 1)).astype(bool)
    mask.flat[draw(st.integers(0, mask.size - 1))] = True
    return {
        "losses": draw(tenths(shape, 60)),
        "mask": mask,
        "reduction": draw(st.sampled_from(["token_mean", "batchmean"])),
    }


def bound(arguments, expected):
    losses = arguments["losses"]
    return cost(np.abs(losses).sum(), losses.size + 1)


@both
@given(arguments())
def test_batchmean_is_length_times_token_mean(engine, arguments):
    losses = arguments["losses"]
    mask = np.ones(losses.shape, bool)
    mean, batchmean = (engine.reduce_loss(losses, mask, reduction) for reduction in ("token_mean", "batchmean"))
    assert abs(batchmean - mean * (losses.size // len(losses))) <= losses.size * bound(arguments, mean)


@both
@given(arguments(), st.sampled_from([np.inf, np.nan, 1e30]))
def test_padding_does_not_count(engine, arguments, value):
    losses = np.where(arguments["mask"], arguments["losses"], np.float32(value))
    assert engine.reduce_loss(**(arguments | {"losses": losses})) == engine.reduce_loss(**arguments)


@both
@given(arguments())
def test_more_padding_changes_a_token_mean_not_at_all(engine, arguments):
    losses, mask, _ = arguments.values()
    padded = np.concatenate([losses, losses]), np.concatenate([mask, mask & False])
    mean = engine.reduce_loss(losses, mask)
    assert abs(engine.reduce_loss(*padded) - mean) <= bound(arguments, mean)
    with pytest.raises(refq.errors.ShapeError, match="nothing to average"):
        engine.reduce_loss(losses, mask & False)


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    assert_float64_is_kept(engine.reduce_loss, arguments)


def _wrong(divide, masked=True):
    def reduce(losses, mask, reduction="token_mean"):
        refq.reduce_loss(losses, mask, reduction)
        total = np.where(mask, losses, 0).sum() if masked else losses.sum()
        return np.float32(total / divide(losses, mask, reduction))

    return reduce


WRONG = {
    "the other one": _wrong(lambda losses, mask, how: np.sum(mask) if how == "batchmean" else len(losses)),
    "always batchmean": _wrong(lambda losses, mask, how: len(losses) if losses.ndim else 1),
    "always token mean": _wrong(lambda losses, mask, how: np.sum(mask)),
    "padding counted in the mean": _wrong(
        lambda losses, mask, how: losses.size if how == "token_mean" else len(losses)
    ),
    "padding summed": _wrong(
        lambda losses, mask, how: np.sum(mask) if how == "token_mean" else len(losses), masked=False
    ),
    "multiplied by the mask": lambda losses, mask, reduction="token_mean": np.float32(
        (losses * mask).sum() / (mask.sum() if reduction == "token_mean" else len(losses))
    ),
    "mean of the means of sequences": lambda losses, mask, reduction="token_mean": (
        refq.reduce_loss(losses, mask, reduction)
        if reduction == "batchmean" or losses.ndim < 2
        else np.mean([refq.reduce_loss(*row) for row in zip(losses, mask, strict=True)], dtype=np.float32)
    ),
}
