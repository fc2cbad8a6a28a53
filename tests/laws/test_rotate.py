"""Laws of rotate."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import refq
from refq.transforms.inputs import transformed_inputs
from tests.laws import test_fuse_norms
from tests.laws.models import seeded_model, wide
from tests.support import both

TOKENS = test_fuse_norms.TOKENS


@st.composite
def arguments(draw):
    params, config = seeded_model(
        draw(st.integers(0, 99)),
        layers=draw(st.integers(0, 2)),
        K=draw(st.integers(1, 2)),
        D=draw(st.sampled_from([8, 12])),
        tied=draw(st.booleans()),
        biases=draw(st.sampled_from(["", "qkvom"])),
    )
    signs = draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=12, max_size=12))
    D = params["model.norm.weight"].size
    return {"params": params, "config": config, "signs": np.float32(signs[:D]), "online": draw(st.booleans())}


def _wide(arguments):
    return arguments | {"params": wide(arguments["params"]), "signs": arguments["signs"].astype(np.float64)}


@both
@given(arguments())
def test_logits_stay(engine, arguments):
    arguments = _wide(arguments)
    expected = refq.llama_forward(arguments["params"], TOKENS, arguments["config"])
    found = refq.llama_forward(engine.rotate(**arguments), TOKENS, arguments["config"], transformed_inputs(refq))
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@both
@given(arguments())
def test_embeddings_turn_back(engine, arguments):
    arguments = _wide(arguments)
    rotated, signs = engine.rotate(**arguments)["model.embed_tokens.weight"], arguments["signs"]
    back = engine.hadamard_transform_vjp(rotated, rotated) * signs
    np.testing.assert_allclose(back, arguments["params"]["model.embed_tokens.weight"], atol=1e-12)


@both
@given(arguments())
def test_online_changes_two_layers_of_a_block(engine, arguments):
    off = engine.rotate(**(arguments | {"online": False}))
    on = engine.rotate(**(arguments | {"online": True}))
    changed = {
        name.split(".")[-2] for name in on if not np.array_equal(getattr(on[name], "weight", on[name]), off[name])
    }
    assert changed == ({"o_proj", "down_proj"} if arguments["config"]["num_hidden_layers"] else set())


@both
@given(arguments())
def test_the_input_is_not_changed(engine, arguments):
    before = {name: array.copy() for name, array in arguments["params"].items()}
    engine.rotate(**arguments)
    np.testing.assert_equal(arguments["params"], before)


def _parts(config, part):
    return [f"model.layers.{layer}.{part}" for layer in range(config["num_hidden_layers"])]


def _wrong(change):
    """rotate with its result changed by change(rotated, fused, config, turn, online)."""

    def rotate(params, config, signs, online=False):
        fused = refq.fuse_norms(params, config)
        rotated = refq.rotate(params, config, signs, online)

        def turn(w):
            return refq.hadamard_transform(w * signs)

        return rotated | change(rotated, fused, config, turn, online)

    return rotate


def _signs_after(params, config, signs, online=False):
    rotated = refq.rotate(params, config, np.ones_like(signs), online)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        rotated[name] = rotated[name] * signs
    return rotated


def _unfused(params, config, signs, online=False):
    gains = {name: np.ones_like(w) for name, w in params.items() if "norm" in name}
    return refq.rotate(params | gains, config, signs, online) | {name: params[name] for name in gains}


def _values_alone(rotated, fused, config, turn, online):
    """o_proj without the heads' rotation."""
    return {} if online else {f"{n}.weight": turn(fused[f"{n}.weight"].T).T for n in _parts(config, "self_attn.o_proj")}


def _output_columns(rotated, fused, config, turn, online):
    """Columns of square weights in place of rows."""
    names = [f"{n}.weight" for n in _parts(config, "mlp.down_proj")]
    return {} if online else {n: turn(fused[n]) for n in names if fused[n].shape[0] == fused[n].shape[1]}


def _plain_bias(rotated, fused, config, turn, online):
    return {name: fused[name] for name in fused if name.endswith(("o_proj.bias", "v_proj.bias"))}


def _head_columns(rotated, fused, config, turn, online):
    """All of o_proj's input rotated at once, as its stride says it is not."""
    if not online:
        return {}
    names = [f"{n}.weight" for n in _parts(config, "self_attn.o_proj")]
    return {n: (refq.hadamard_transform(turn(fused[n].T).T), 1) for n in names}


WRONG = {
    "signs after the transform": _signs_after,
    "norms not fused": _unfused,
    "o_proj without the heads": _wrong(_values_alone),
    "columns for rows": _wrong(_output_columns),
    "biases kept": _wrong(_plain_bias),
    "the head not rotated": _wrong(lambda r, fused, *_: {"lm_head.weight": fused["lm_head.weight"]}),
    "the embedding not rotated": _wrong(lambda r, f, *_: {k: f[k] for k in ["model.embed_tokens.weight"]}),
    "online ignored": lambda params, config, signs, online: refq.rotate(params, config, signs),
    "o_proj's input rotated whole": _wrong(_head_columns),
    "q_proj's heads rotated too": _wrong(
        lambda r, f, config, *_: {
            f"{n}.weight": refq.hadamard_transform(
                r[f"{n}.weight"].T.reshape(r[f"{n}.weight"].shape[1], -1, config["head_dim"])
            )
            .reshape(r[f"{n}.weight"].T.shape)
            .T
            for n in _parts(config, "self_attn.q_proj")
        }
    ),
}
