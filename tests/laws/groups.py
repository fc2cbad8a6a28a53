"""What the laws of block training share: seeded groups of blocks with all that can be trained of them."""

import numpy as np
from hypothesis import strategies as st

import refq
from refq.training.blocks import KINDS, run_blocks, with_trainables
from refq.training.reconstruction_recipe import complete
from tests.laws.models import seeded_model

FORM = refq.assemble(np.int32([1, 2, 1, 1, 1, 1, 1, 1]), np.int32([0, 1, 2, 0, 4, 5, 6, 7, 8]))  # of D = 8 channels
PLACES = {  # of reassemblies and rotations
    "none": {},
    "reassembled": {f"self_attn.{name}_proj": FORM for name in "qkv"} | {"mlp.up_proj": FORM, "mlp.gate_proj": FORM},
    "rotated": {"mlp.down_proj": 1, "self_attn.o_proj": 4},
}


def seeded_group(seed, layers=(0, 1), place="none", **model):
    """(params, config, inputs of a recipe): blocks with biases; D = 8, and the weights fit their altered inputs."""
    params, config = seeded_model(seed, layers=max(layers) + 1, biases="qm", **model)
    inputs = {f"model.layers.{n}.{part}": how for n in layers for part, how in PLACES[place].items()}
    return {name: w for name, w in params.items() if "layers." in name}, config, inputs


def trainable(seed, params, recipe):
    """Factors that correct something, and logits of all sizes."""
    random = np.random.default_rng(seed)
    found = with_trainables(params, recipe, 2, random.random, refq)
    for name in found:
        if name.endswith((".high", ".gamma", ".beta")):
            found[name] = random.uniform(-0.5, 4, found[name].shape).astype(np.float32)
    return found


def seeded_states(seed, D=8, B=2, T=3):
    """inputs and targets."""
    random = np.random.default_rng(seed + 1)
    return {name: random.standard_normal((B, T, D)).astype(np.float32) for name in ("inputs", "targets")}


@st.composite
def group_arguments(draw):
    """Arguments of reconstruction_gradients; activations are on no grid: another order of sums would change codes."""
    seed, layers = draw(st.integers(0, 99)), draw(st.sampled_from([[0], [1], [0, 1]]))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True))
    bits = draw(st.sampled_from([2, 3, 4, 8] + [None] * ("clipping" not in kinds)))
    params, config, inputs = seeded_group(
        seed, layers, draw(st.sampled_from(sorted(PLACES))), K=draw(st.integers(1, 2))
    )
    recipe = {
        "layers": layers,
        "train": kinds,
        "bits": bits,
        "group_size": draw(st.sampled_from([None, 2, 4])),
        "group_sizes": draw(st.sampled_from([{}, {f"model.layers.{layers[0]}.mlp.up_proj": 8}])),
        "kept": draw(st.sampled_from([[], [f"model.layers.{layers[0]}.self_attn.v_proj"]])),
        "symmetric": "clipping" not in kinds and draw(st.booleans()),
        "rotated_queries": draw(st.booleans()),
        "inputs": inputs,
        "official_factors": draw(st.booleans()),
    }
    params = trainable(seed, params, complete(recipe))
    return {"params": params, "batch": seeded_states(seed), "config": config, "recipe": recipe}


def wider(value):
    """The same in float64."""
    if isinstance(value, dict):
        return {name: wider(item) for name, item in value.items()}
    return value.astype(np.float64) if getattr(value, "dtype", None) == np.float32 else value


def outputs(params, x, config, recipe, engine=refq):
    """What the group gives with plain weights."""
    return run_blocks(params, x, config, complete(recipe), engine)[-1]
