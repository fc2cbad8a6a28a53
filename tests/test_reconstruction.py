"""Does training bring quantized blocks nearer to full precision? The slopes in float64, and blocks of a real model."""

import functools

import numpy as np
import pytest
import threadpoolctl

import refq
import refq_fast
from refq.files.tokenizer import open_tokenizer
from refq.jobs.model import load_model
from refq.jobs.perplexity import cut_windows
from refq.ops.namespace import Replaced
from refq.training.blocks import block_weights, merged, run_blocks, with_trainables
from refq.training.reconstruction_recipe import complete
from refq.transforms.outliers import inject_outliers
from tests.laws.groups import seeded_group, seeded_states, trainable, wider
from tests.support import both

ALLOWED = 1e-8  # relative
SEQUENCES, EPOCHS, BLOCKS = 8, 6, 4
W4A4 = {"bits": 4, "activations": 4, "attention": 4}


def slopes(gradients, loss, params):
    """The gradients along one direction, and a central difference of fourth order."""
    random = np.random.default_rng(11)
    along = {name: random.standard_normal(g.shape) for name, g in gradients.items()}

    def at(step):
        return loss(params | {name: params[name] + step * d for name, d in along.items()})

    h = 1e-4  # blocks are far from linear: at 1e-3 the fifth derivative shows
    numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    return sum((gradients[name] * d).sum() for name, d in along.items()), numeric


@functools.cache
def slope_case(place, official):
    params, config, inputs = seeded_group(5, (0, 1), place, K=2)
    recipe = {"layers": [0, 1], "train": ["low_rank", "weights", "norms", "biases"], "bits": None, "inputs": inputs}
    recipe |= {"official_factors": official, "rotated_queries": True}
    return wider(trainable(5, params, complete(recipe))), wider(seeded_states(5)), config, recipe


@both
@pytest.mark.parametrize(("place", "official"), [("none", False), ("reassembled", False), ("reassembled", True)])
def test_the_whole_gradient(engine, place, official):
    params, *rest = slope_case(place, official)
    gradients = engine.reconstruction_gradients(params, *rest)[1]
    analytic, numeric = slopes(gradients, lambda p: engine.reconstruction_gradients(p, *rest)[0]["loss"], params)
    assert abs(analytic - numeric) <= ALLOWED * abs(numeric)


@pytest.mark.parametrize("end", [".low", ".high", "v_proj.weight", "post_attention_layernorm.weight", "q_proj.bias"])
def test_a_broken_gradient_is_noticed(end):
    params, *rest = slope_case("rotated", False)
    gradients = refq.reconstruction_gradients(params, *rest)[1]
    broken = {name: g * (1 + 1e-4 * name.endswith(end)) for name, g in gradients.items()}
    analytic, numeric = slopes(broken, lambda p: refq.reconstruction_gradients(p, *rest)[0]["loss"], params)
    assert abs(analytic - numeric) > ALLOWED * abs(numeric)


@pytest.fixture(scope="module")
def stories(data):
    """(params with outliers, config, states after the embedding of some sequences)."""
    config, params = load_model(data / "models/stories260K", refq_fast)
    params = inject_outliers(params, config, [3, 17, 41], [8, 4, 4])
    text = (data / "text/tinystories/valid.txt").read_text(encoding="utf-8")[:20_000]
    tokens = np.array(open_tokenizer(data / "models/stories260K", config["vocab_size"]).encode(text))
    windows = cut_windows(tokens[: SEQUENCES * 256], 256)
    return params, config, [refq_fast.embed(w[None], params["model.embed_tokens.weight"]) for w in windows]


@pytest.fixture(autouse=True)
def one_blas_thread():
    """On a busy machine threads of OpenBLAS wait for each other."""
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        yield


def trained(stories, changes, engine=refq_fast):
    """Errors of the first blocks: rounded to nearest, trained, and as they are stored."""
    params, config, inputs = stories
    recipe = complete({"layers": list(range(BLOCKS)), "steps": SEQUENCES * EPOCHS} | changes)
    params = {n: w for n, w in params.items() if n.startswith(tuple(f"model.layers.{i}." for i in recipe["layers"]))}
    plain = {"layers": recipe["layers"], "bits": None}
    targets = [run_blocks(params, x, config, complete(plain), engine)[-1] for x in inputs]

    def error(params, recipe):
        weights = block_weights(params, recipe, engine)[0]
        found = [run_blocks(weights, x, config, recipe, engine)[-1] for x in inputs]
        return np.mean([np.mean((x - y) ** 2) for x, y in zip(found, targets, strict=True)])

    before = error(params, recipe)
    params, state = with_trainables(params, recipe, 4, np.random.default_rng(0).random, engine), {}
    for _ in range(EPOCHS):
        for x, y in zip(inputs, targets, strict=True):
            batch = {"inputs": x, "targets": y}
            params, state, _ = refq.reconstruction_step(params, state, batch, config, recipe, engine)
    return before, error(params, recipe), error(stored(params, recipe), recipe | {"bits": None})


def stored(params, recipe):
    """The weights that a reader of the file has."""
    params, grids = merged(params, recipe, refq_fast)
    for layer, grid in grids.items():
        groups = refq.to_groups(params[f"{layer}.weight"], recipe["group_size"])
        found = refq.fake_quantize(groups, *grid, 0, 2 ** recipe["bits"] - 1)
        params[f"{layer}.weight"] = found.reshape(params[f"{layer}.weight"].shape)
    return params


def test_error_correction_helps_and_all_weights_help_more(stories):
    before, corrected, kept = trained(stories, W4A4 | {"learning_rates": {"low_rank": 5e-3}})
    again, tuned, same = trained(stories, W4A4 | {"train": ["weights"], "learning_rates": {"weights": 1e-3}})
    assert again == before
    assert corrected < 0.8 * before
    assert corrected < kept < 0.9 * before  # what is merged is rounded with the weight
    assert tuned < 0.9 * corrected
    assert abs(same - tuned) <= 1e-6 * tuned


def test_norms_help_too(stories):
    rates = {"low_rank": 5e-3, "norms": 5e-3}
    _, corrected, _ = trained(stories, W4A4 | {"learning_rates": rates})
    _, more, _ = trained(stories, W4A4 | {"learning_rates": rates, "train": ["low_rank", "norms"]})
    assert more < corrected


@pytest.mark.parametrize(("bits", "share"), [(2, 0.9), (3, 0.97)])
def test_clipping_is_better_than_the_whole_range(stories, bits, share):
    own = {"layers": [0], "bits": bits, "schedule": "constant", "learning_rates": {"clipping": 0.1}}
    before, clipped, kept = trained(stories, own | {"train": ["clipping"]})
    assert clipped < share * before
    assert kept < share * before


def test_turned_round_the_gradient_does_not_help(stories):
    """The checks above can fail."""

    def linear_vjp(*args):
        gx, gweight, gbias = refq_fast.linear_vjp(*args)
        return gx, -gweight, gbias

    turned = Replaced(refq_fast, linear_vjp=linear_vjp)
    before, corrected, _ = trained(stories, W4A4 | {"learning_rates": {"low_rank": 5e-3}}, turned)
    assert corrected > before
