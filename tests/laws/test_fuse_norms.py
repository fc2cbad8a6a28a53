"""Laws of fuse_norms."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from tests.laws.models import seeded_model, wide
from tests.support import both

TOKENS = np.array([[1, 3, 2, 0]])


@st.composite
def arguments(draw):
    params, config = seeded_model(
        draw(st.integers(0, 99)),
        layers=draw(st.integers(0, 2)),
        tied=draw(st.booleans()),
        biases=draw(st.sampled_from(["", "qkvom"])),
    )
    return {"params": params, "config": config}


@both
@given(arguments())
def test_logits_stay(engine, arguments):
    params, config = wide(arguments["params"]), arguments["config"]
    expected = refq.llama_forward(params, TOKENS, config)
    found = refq.llama_forward(engine.fuse_norms(params, config), TOKENS, config)
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@both
@given(arguments())
def test_every_gain_is_1(engine, arguments):
    fused = engine.fuse_norms(**arguments)
    assert set(fused) == set(arguments["params"]) | {"lm_head.weight"}
    for name, array in fused.items():
        assert array.dtype == np.float32
        if "norm" in name:
            assert (array == 1).all()


@both
@given(arguments())
def test_again_changes_nothing(engine, arguments):
    fused = engine.fuse_norms(**arguments)
    np.testing.assert_equal(engine.fuse_norms(fused, arguments["config"]), fused)


@both
@given(arguments())
def test_the_input_is_not_changed(engine, arguments):
    before = {name: array.copy() for name, array in arguments["params"].items()}
    engine.fuse_norms(**arguments)
    np.testing.assert_equal(arguments["params"], before)


def _wrong(change):
    def fuse_norms(params, config):
        return change(refq.fuse_norms(params, config), params)

    return fuse_norms


def _restored(part):
    return _wrong(lambda fused, params: fused | {name: w for name, w in params.items() if part in name})


def _rows(fused, params):
    """The gain on the rows of square weights."""
    found = dict(fused)
    for name, w in params.items():
        if name.endswith("q_proj.weight") and w.shape[0] == w.shape[1]:
            found[name] = w * params[name.replace("self_attn.q_proj", "input_layernorm")][:, None]
    return found


def _tied(fused, params):
    return {name: w for name, w in fused.items() if name in params}


WRONG = {
    "gains kept": _restored("norm.weight"),
    "the last norm left out": _wrong(
        lambda fused, params: (
            fused
            | {"model.norm.weight": params["model.norm.weight"]}
            | {"lm_head.weight": params.get("lm_head.weight", params["model.embed_tokens.weight"])}
        )
    ),
    "k_proj left out": _restored("k_proj"),
    "gate_proj left out": _restored("gate_proj"),
    "the embedding scaled too": _wrong(
        lambda fused, params: fused | {"model.embed_tokens.weight": fused["lm_head.weight"]}
    ),
    "still tied": _wrong(_tied),
    "rows for columns": _wrong(_rows),
    "down_proj scaled too": _wrong(
        lambda fused, params: {name: w * 2 if "down" in name else w for name, w in fused.items()}
    ),
}
