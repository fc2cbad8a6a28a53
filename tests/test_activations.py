"""Activations on a grid: static grids of a whole tensor, and the namespace that quantizes what linear multiplies."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refq
import refq_fast
from refq import tape
from refq.errors import GridError, NonFiniteError
from refq.files.tokenizer import open_tokenizer
from refq.jobs.model import load_model
from refq.jobs.perplexity import cut_windows, score
from refq.training import activations
from refq.training.activations import QuantizedInput, input_grids, on_input_grids, quantized_inputs
from tests.laws.models import seeded_model, wide
from tests.support import both, floats32, half_grid

TOKENS = np.array([[1, 5, 3, 3, 9, 0, 2], [4, 4, 10, 8, 1, 6, 7]])
SIZES = {"layers": 3, "K": 2, "R": 2, "d": 4, "D": 16, "F": 24, "V": 19, "biases": "qv"}


@pytest.fixture(scope="module")
def model():
    return seeded_model(4, **SIZES)


@st.composite
def static(draw):
    """A tensor of activations, and the asymmetric min-max grid of one scale for all of it."""
    x = draw(half_grid((2, 3, 5)) | floats32((2, 3, 5))) + draw(st.sampled_from([np.float32(0), np.float32(7)]))
    bits, shape = draw(st.sampled_from([8, 16])), draw(st.sampled_from([(), (1,)]))
    limits = refq.integer_range(bits)
    scale, zero_point = refq.minmax(refq.to_groups(x, axis=None), *limits, symmetric=False)
    return x, scale.reshape(shape), zero_point.reshape(shape), *limits


@both
@given(static())
def test_one_scale_serves_a_tensor(engine, arguments):
    x, scale, zero_point, *limits = arguments
    x_hat = engine.lsq(*arguments)
    np.testing.assert_array_equal(x_hat, engine.fake_quantize(*arguments))
    np.testing.assert_array_equal(x_hat, engine.dynamic_fake_quantize(x.reshape(1, -1), _bits(limits)).reshape(x.shape))
    assert (np.abs(x_hat.astype(np.float64) - x) <= scale * (0.5 + 2.0**-7)).all()
    assert (x_hat[x == 0] == 0).all()


@both
@given(static(), st.integers(0, 9))
def test_its_gradients_are_those_of_a_scale_an_element(engine, arguments, seed):
    x, scale, zero_point, *limits = arguments
    g = np.random.default_rng(seed).standard_normal(x.shape).astype(np.float32)
    gx, gscale = engine.lsq_vjp(g, *arguments)
    own, copies = engine.lsq_vjp(g, x, np.full_like(x, scale), zero_point, *limits)
    np.testing.assert_array_equal(gx, own)
    assert gscale.shape == scale.shape
    assert abs(gscale - copies.sum(dtype=np.float64)) <= 1e-5 * np.abs(copies).sum()


@both
@pytest.mark.parametrize(("bits", "reached"), [(4, 0.5), (8, 0.05), (16, 2e-4)])
def test_a_model_with_dynamic_grids(engine, model, bits, reached):
    """More bits, nearer to the logits of real activations; the input of the head stays as it is."""
    params, config = wide(model[0]), model[1]
    given, ops = on_input_grids(params, bits), quantized_inputs(engine)
    exact = refq.llama_forward(params, TOKENS, config, engine)
    logits = refq.llama_forward(given, TOKENS, config, ops)
    assert reached / 20 < np.linalg.norm(logits - exact) / np.linalg.norm(exact) < reached
    assert given["model.embed_tokens.weight"] is params["model.embed_tokens.weight"]
    x, name = exact[..., :16], "model.layers.0.mlp.up_proj.weight"
    np.testing.assert_array_equal(ops.linear(x, params[name]), engine.linear(x, params[name]))
    x_hat = engine.dynamic_fake_quantize(x, bits)
    np.testing.assert_array_equal(ops.linear(x, given[name]), engine.linear(x_hat, params[name]))


@both
@pytest.mark.parametrize(("bits", "activation_bits"), [(4, 4), (4, 8), (8, 8), (3, 6)])
def test_a_model_of_integers(engine, model, bits, activation_bits):
    """Packed weights meet codes: the same logits but for rounding as dequantized ones with fake-quantized activations.

    A tape sees the latter; of a constant input it needs no gradient.
    """
    params, config = model
    packed, plain = ({name: kind(w, bits, engine) for name, w in params.items()} for kind in (_packed, _dequantized))
    ops, lifted = quantized_inputs(engine), quantized_inputs(tape.lift(engine))
    whole = refq.llama_forward(on_input_grids(packed, activation_bits), TOKENS, config, ops)
    real = refq.llama_forward(on_input_grids(plain, activation_bits), TOKENS, config, ops)
    norm = np.linalg.norm(real)
    assert 0 < np.linalg.norm(whole - real) < 1e-5 * norm
    norms = "model.layers.0.input_layernorm.weight"
    found = []
    for weights in (packed, plain):
        leaf = tape.Tensor(weights[norms])
        given = on_input_grids(weights | {norms: leaf}, activation_bits)
        logits = refq.llama_forward(given, TOKENS, config, lifted)
        found.append(tape.backward([(logits, real)], [leaf])[0])
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-4 * np.abs(found[0]).max())
    x, weight = real[..., :16], QuantizedInput(packed["model.layers.0.mlp.up_proj.weight"], activation_bits)
    np.testing.assert_array_equal(lifted.linear(x, weight), ops.linear(x, weight))
    assert lifted.linear(tape.Tensor(x), weight).shape == ops.linear(x, weight).shape


def _packed(w, bits, engine, groups=2):
    """A projection as PackedWeight; the rest as it is."""
    if w.ndim < 2 or w.shape[0] == SIZES["V"]:
        return w
    limits, grouped = refq.integer_range(bits), w.reshape(len(w), groups, -1)
    scale, zero_point = refq.minmax(grouped, *limits, symmetric=False)
    q = refq.quantize(grouped, scale, zero_point, *limits).reshape(w.shape)
    return engine.PackedWeight(refq.pack_codes(q, bits), scale[..., 0], zero_point[..., 0], bits)


def _dequantized(w, bits, engine):
    weight = _packed(w, bits, refq)
    return w if weight is w else refq.linear(np.eye(w.shape[1], dtype=w.dtype), weight).T


@both
def test_a_token_is_quantized_alone(engine, model):
    """So a decoder with a cache sees the same grids, as no later token moves them."""
    params, config = on_input_grids(wide(model[0]), 8), model[1]
    ops = quantized_inputs(engine)
    whole = refq.llama_forward(params, TOKENS, config, ops)
    first, cache = refq.llama_decode(params, TOKENS[:, :4], None, config, ops)
    rest, _ = refq.llama_decode(params, TOKENS[:, 4:], cache, config, ops)
    np.testing.assert_allclose(np.concatenate([first, rest], axis=1), whole, rtol=1e-9, atol=1e-9)


@both
@pytest.mark.parametrize("packed", [False, True])
def test_a_weight_may_bring_the_static_grid_of_its_input(engine, packed):
    x = np.linspace(-1, 3, 48, dtype=np.float32).reshape(2, 3, 8)
    scale, zero_point = np.float32(0.02), np.int32(-78)
    q = np.arange(-8, 8, dtype=np.int32).repeat(2).reshape(4, 8)
    w = engine.dequantize(q, np.float32(0.5), 0)
    stored = engine.PackedWeight(engine.pack_codes(q, 4), np.full((4, 1), 0.5, np.float32), np.zeros((4, 1), int), 4)
    weight = QuantizedInput(stored if packed else w, 8, scale, zero_point)
    y = quantized_inputs(engine).linear(x, weight, np.ones(4, np.float32))
    x_hat = engine.fake_quantize(x, scale, zero_point, -128, 127)
    assert (x_hat == engine.fake_quantize(np.clip(x, -1, 4.1), scale, zero_point, -128, 127)).all()
    np.testing.assert_allclose(y, x_hat @ w.T + 1, rtol=1e-6, atol=1e-5)


@both
def test_gradients_of_one_layer(engine):
    """The weight meets the quantized input; the input and the static scale get theirs by the rules of the grids."""
    random = np.random.default_rng(3)
    x, w, g = (random.standard_normal(shape) for shape in ((2, 6), (4, 6), (2, 4)))
    scale, zero_point = np.array(0.01), np.int32(5)
    leaves = [tape.Tensor(v) for v in (x, w, scale)]
    ops = quantized_inputs(tape.lift(engine))
    y = ops.linear(leaves[0], QuantizedInput(leaves[1], 8, leaves[2], zero_point))
    gx, gw, gscale = tape.backward([(y, g)], leaves)
    through, of_scale = engine.lsq_vjp(g @ w, x, scale, zero_point, -128, 127)
    np.testing.assert_allclose(gw, g.T @ engine.fake_quantize(x, scale, zero_point, -128, 127))
    np.testing.assert_allclose(gx, through)
    np.testing.assert_allclose(gscale, of_scale)
    gx, gw = tape.backward([(ops.linear(leaves[0], QuantizedInput(leaves[1], 8)), g)], leaves[:2])
    np.testing.assert_allclose(gw, g.T @ engine.dynamic_fake_quantize(x, 8))
    np.testing.assert_allclose(gx, engine.dynamic_fake_quantize_vjp(g @ w, x, 8))


@both
def test_gradients_of_a_model_are_near_those_without_grids(engine, model):
    params, config = wide(model[0]), model[1]
    found = {}
    for bits in (None, 8, 16):
        leaves = {name: tape.Tensor(w) for name, w in params.items()}
        ops = quantized_inputs(tape.lift(engine))
        logits = refq.llama_forward(on_input_grids(leaves, bits), TOKENS, config, ops)
        loss = ops.cross_entropy(logits, np.roll(TOKENS, -1, axis=1))
        found[bits] = tape.backward([(loss, np.ones(loss.shape))], list(leaves.values()))
    norm, *off = (
        np.sqrt(sum((np.square(a - b)).sum() for a, b in zip(found[None], other, strict=True)))
        for other in ([a * 0 for a in found[None]], found[8], found[16])
    )
    assert 1e-6 * norm < off[1] < 2e-3 * norm
    assert off[1] * 20 < off[0] < 0.3 * norm


@both
def test_a_model_with_static_grids(engine, model):
    """Every projection has a grid of its own; the page is not told. A fine one costs little, a coarse one much."""
    params, config = model
    grids = input_grids(params, [TOKENS], 16, config, engine)

    def off(**scales):
        coarse = {f"{name}.input_scale": np.float32([5]) for name in projections(params) if name[-6:] in scales}
        exact = refq.llama_forward(params, TOKENS, config, engine)
        given = on_input_grids(params | grids | coarse, 16)
        return np.linalg.norm(refq.llama_forward(given, TOKENS, config, quantized_inputs(engine)) - exact) / norm(exact)

    norm = np.linalg.norm
    assert 1e-6 < off() < 1e-3
    assert all(off(**{name: True}) > 0.1 for name in ("o_proj", "v_proj"))


@both
def test_calibration_holds_all_that_passes(engine, model):
    """The grids of two batches hold the extremes of both, and are those of minmax over all numbers at once."""
    params, config = model
    batches = [TOKENS[:1], TOKENS[1:]]
    found = input_grids(params, batches, 8, config, engine)
    assert sorted(found) == sorted(
        f"{name}.input_{kind}" for name in projections(params) for kind in ("scale", "zero_point")
    )
    assert all(value.shape == (1,) for value in found.values())
    embedding, norm = (params[f"model.{n}.weight"] for n in ("embed_tokens", "layers.0.input_layernorm"))
    first = engine.rms_norm(engine.embed(TOKENS, embedding), norm, config["rms_norm_eps"])
    scale, zero_point = refq.minmax(first.reshape(-1), -128, 127, False, "float16")
    for name in "qkv":
        layer = f"model.layers.0.self_attn.{name}_proj"
        assert (found[f"{layer}.input_scale"], found[f"{layer}.input_zero_point"]) == (scale, zero_point)
    assert all((refq.float16_scale(found[name]) == found[name]).all() for name in found if name.endswith("scale"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_input_that_is_not_finite_is_refused_by_its_layer(model):
    params, config = model
    name = "model.layers.1.post_attention_layernorm.weight"
    with pytest.raises(NonFiniteError, match=r"inputs of model.layers.1.mlp.gate_proj reach from -inf to inf"):
        input_grids(params | {name: params[name] * np.float32(np.inf)}, [TOKENS], 8, config, refq)


STORIES = {  # perplexity of a story's 19 windows: float 3.7; (bits, static): how much more, at least and at most
    (16, False): (-1e-3, 1e-3),
    (16, True): (-1e-3, 1e-3),
    (8, False): (0, 0.01),
    (8, True): (0, 0.03),
    (4, False): (0.05, 0.3),
    (4, True): (5, 1000),
}


def test_perplexity_of_a_real_model(data):
    """16 bits change almost nothing, 8 little; at 4 a grid a token still speaks, one for all tokens does not."""
    folder = data / "models" / "stories260K"
    config, params = load_model(folder, refq_fast)
    text = (data / "text" / "tinystories" / "valid.txt").read_text(encoding="utf-8")
    windows = cut_windows(open_tokenizer(folder, 512).encode(text[:20_000]), 256)

    def perplexity(given):
        return np.exp(score(refq_fast, [(config, given)], windows)[0] / (windows.size - len(windows)))

    exact = perplexity(params)
    for (bits, static), (low, high) in STORIES.items():
        grids = input_grids(params, [windows[:8]], bits, config, refq_fast) if static else {}
        more = perplexity(on_input_grids(params | grids, bits)) / exact - 1
        assert low <= more <= high, (bits, static, more)


def test_without_bits_nothing_changes(model):
    assert on_input_grids(model[0], None) is model[0]


def test_bits_beyond_their_range_are_refused_at_once(model):
    with pytest.raises(GridError, match="bits=17"):
        on_input_grids(model[0], 17)


def test_the_example_is_right():
    assert doctest.testmod(activations, extraglobs={"np": np}).failed == 0


def projections(params):
    return [name.removesuffix(".weight") for name in params if name.endswith("_proj.weight")]


def _bits(limits):
    return (limits[1] - limits[0]).bit_length()
