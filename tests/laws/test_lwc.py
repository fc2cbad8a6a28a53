"""Laws of lwc."""

import numpy as np
from hypothesis import example, given

import refq
from tests.laws import clipped
from tests.laws.clipped import clipping_arguments as arguments
from tests.laws.clipped import clipping_edges as edges
from tests.support import both

__all__ = ["arguments", "edges"]


@both
@given(arguments())
def test_is_fake_quantize_on_the_clipped_grid(engine, arguments):
    scale, zero_point, _ = clipped.grid(**arguments)
    expected = refq.fake_quantize(arguments["groups"], scale, zero_point, 0, 2 ** arguments["bits"] - 1)
    np.testing.assert_array_equal(engine.lwc(**arguments), expected)


@both
@given(arguments())
def test_large_logits_cover_the_range(engine, arguments):
    arguments |= {name: np.full_like(arguments[name], 60) for name in ("gamma", "beta")}
    groups = arguments["groups"]
    scale = np.maximum(np.ptp(groups, axis=-1, keepdims=True) / (2 ** arguments["bits"] - 1), 1e-5)
    near = np.abs(groups).max(axis=-1, keepdims=True) < 9000 * scale  # the zero point is at no limit
    error = np.abs(engine.lwc(**arguments) - groups)
    assert (error <= scale * 1.001 + np.abs(groups).max() * 1e-6)[np.broadcast_to(near, groups.shape)].all()


@both
@given(arguments())
@example(clipped.call([[1 / 16]], 0, 0, 2))
def test_turned_round_the_ends_change_places(engine, arguments):
    """Within a step, as the zero point may be a tie; a step at its limit makes the grid longer than the range."""
    scale, _, at_no_limit = clipped.grid(**arguments)
    turned = arguments | {"groups": -arguments["groups"], "gamma": arguments["beta"], "beta": arguments["gamma"]}
    error = np.abs(engine.lwc(**turned) + engine.lwc(**arguments))
    np.testing.assert_array_equal(clipped.grid(**turned)[0], scale)
    near = np.abs(arguments["groups"]).max(axis=-1, keepdims=True) < 9000 * scale  # the zero point is at no limit
    near &= at_no_limit
    assert (error <= scale * 1.001 + np.abs(arguments["groups"]).max() * 1e-5)[np.broadcast_to(near, error.shape)].all()


@both
@given(arguments())
def test_groups_do_not_know_of_each_other(engine, arguments):
    whole = engine.lwc(**arguments)
    for i in range(len(whole)):
        alone = arguments | {name: arguments[name][i : i + 1] for name in ("groups", "gamma", "beta")}
        np.testing.assert_array_equal(engine.lwc(**alone)[0], whole[i])


@both
@given(arguments())
def test_float64_is_kept(engine, arguments):
    arguments |= {name: arguments[name].astype(np.float64) for name in ("groups", "gamma", "beta")}
    found = engine.lwc(**arguments)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, refq.lwc(**arguments))


def _wrong(
    logits=lambda gamma, beta: (gamma, beta), share=clipped.sigmoid, ends=None, limits=(1e-5, 1e4, 1e4), code=np.rint
):
    def lwc(groups, gamma, beta, bits):
        refq.lwc(groups, gamma, beta, bits)  # what it refuses
        a, b = (np.asarray(share(v), np.float32) for v in logits(gamma, beta))
        smallest, largest = (ends or _ends)(groups)
        low, n = b * smallest, np.float32(2**bits - 1)
        scale = np.clip((a * largest - low) / n, np.float32(limits[0]), np.float32(limits[1]))
        zero_point = np.clip(-code(low / scale), -limits[2], limits[2]).astype(np.int32)
        return refq.fake_quantize(groups, scale, zero_point, 0, 2**bits - 1)

    return lwc


def _ends(groups):
    return groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)


WRONG = {
    "logits the wrong way round": _wrong(lambda gamma, beta: (beta, gamma)),
    "one logit for both": _wrong(lambda gamma, beta: (gamma, gamma)),
    "shares, not logits": _wrong(share=lambda v: np.clip(v, 0, 1)),
    "tanh": _wrong(share=lambda v: (1 + np.tanh(v.astype(np.float64))) / 2),
    "0 put into the range": _wrong(
        ends=lambda groups: tuple(f(e, 0) for f, e in zip((np.minimum, np.maximum), _ends(groups), strict=True))
    ),
    "symmetric": _wrong(
        ends=lambda groups: (-np.abs(groups).max(axis=-1, keepdims=True), np.abs(groups).max(axis=-1, keepdims=True))
    ),
    "one range for all": _wrong(
        ends=lambda groups: (np.full_like(groups[..., :1], groups.min()), np.full_like(groups[..., :1], groups.max()))
    ),
    "no largest step": _wrong(limits=(1e-5, 1e30, 1e4)),
    "another smallest step": _wrong(limits=(1e-3, 1e4, 1e4)),
    "a zero point on the grid": lambda groups, gamma, beta, bits: _on_grid(groups, gamma, beta, bits),
    "zero points without a limit": _wrong(limits=(1e-5, 1e4, 2**20)),
    "zero points truncated": _wrong(code=np.trunc),
    "clipped weights on the old grid": lambda groups, gamma, beta, bits: _clamped(groups, gamma, beta, bits),
}


def _on_grid(groups, gamma, beta, bits):
    refq.lwc(groups, gamma, beta, bits)
    scale, zero_point, _ = clipped.grid(groups, gamma, beta, bits)
    return refq.fake_quantize(groups, scale, zero_point.clip(0, 2**bits - 1), 0, 2**bits - 1)


def _clamped(groups, gamma, beta, bits):
    whole = np.full_like(gamma, 60)
    x = refq.lwc(groups, whole, whole, bits)
    smallest, largest = _ends(groups)
    return np.clip(x, clipped.sigmoid(beta) * smallest, clipped.sigmoid(gamma) * largest).astype(np.float32)
