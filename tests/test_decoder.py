"""The decoder with its cache inside: the logits of the whole forward pass, whatever its weights are."""

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

import refq
import refq_fast
from refq.errors import GridError, ShapeError
from refq.jobs.model import operations
from refq.training.activations import QuantizedInput
from refq_fast import decoder_state
from refq_fast.decoder_crew import THREADS
from refq_fast.decoder_products import multiply, prepare
from refq_fast.decoder_step import step
from refq_fast.decoder_table import room_of, table_of
from tests.laws.models import SCALING, seeded_model, wide
from tests.laws.operations import UNIT
from tests.support import both

SIZES = {"layers": 2, "K": 2, "R": 2, "d": 8, "D": 32, "F": 48, "V": 97}
MODELS = {
    "grouped": {"tied": False, "biases": "qkv"},
    "biases everywhere": {"biases": "qkvom", "scaling": SCALING},
    "widths of no vector": {"K": 3, "R": 1, "d": 6, "D": 20, "F": 27, "V": 33},
    "one head of many queries": {"K": 1, "R": 7, "d": 2, "D": 18, "F": 5},
}
FED = [5, 1, 1, 2, 9, 1]  # tokens at once
GRIDS = [(4, 8, False), (4, 32, True), (2, 8, True), (3, 4, False), (3, 16, True), (8, 32, False), (6, 8, True)]


def packed(engine, w, bits, size, symmetric):
    """A PackedWeight of w, and the real numbers it stands for."""
    limits, groups = refq.integer_range(bits), refq.to_groups(w, size if w.shape[1] % size == 0 else w.shape[1])
    scale, zero_point = refq.minmax(groups, *limits, symmetric, "float16" if bits > 3 else "float32")
    q = refq.quantize(groups, scale, zero_point, *limits)
    real = refq.dequantize(q, scale, zero_point).reshape(w.shape)
    return engine.PackedWeight(refq.pack_codes(q.reshape(w.shape), bits), scale[..., 0], zero_point[..., 0], bits), real


def packed_model(engine, bits, size, symmetric, **sizes):
    """A model whose projections and head are packed; with the same weights as arrays, and its config."""
    params, config = seeded_model(5, **SIZES | {"tied": False} | sizes)
    both = {n: packed(engine, w, bits, size, symmetric) for n, w in params.items() if "proj" in n or "head" in n}
    low, real = ({name: pair[n] for name, pair in both.items()} for n in (0, 1))
    return params | low, params | real, config


def fed(engine, params, config, tokens, sizes=FED, **settings):
    """A decoder, and its logits after each run of tokens."""
    decoder = engine.LlamaDecoder(params, config, operations(engine, config), **settings)
    ends = np.cumsum(sizes)
    return decoder, np.array([decoder.feed(part.tolist()) for part in np.split(tokens[: ends[-1]], ends[:-1])])


def exact(params, config, tokens, sizes=FED):
    """The logits of the forward pass in float64, after each run."""
    return refq.llama_forward(wide(params), tokens[None, : sum(sizes)], config)[0, np.cumsum(sizes) - 1]


def near(found, expected):
    return np.abs(found - expected).max() <= 1000 * UNIT * np.abs(expected).max()


@both
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_the_forward_pass(engine, name):
    params, config = seeded_model(3, **SIZES | MODELS[name])
    tokens = np.random.default_rng(1).integers(0, len(params["model.embed_tokens.weight"]), 19)
    decoder, logits = fed(engine, params, config, tokens)
    assert logits.dtype == np.float32
    assert near(logits, exact(params, config, tokens))
    assert compiled(decoder) == (engine is refq_fast)


@both
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_packed_weights_are_what_they_stand_for(engine, grid):
    params, real, config = packed_model(engine, *grid)
    tokens = np.random.default_rng(2).integers(0, 97, 19)
    decoder, logits = fed(engine, params, config, tokens)
    assert near(logits, exact(real, config, tokens))
    assert compiled(decoder) == (engine is refq_fast)


@pytest.mark.parametrize("activations", [4, 8, 15, 16])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_products_with_inputs_on_a_grid(grid, activations):
    """Those of quantized_linear, to the bit where both are codes."""
    random = np.random.default_rng(activations)
    x, w = random.standard_normal(64).astype(np.float32), random.standard_normal((37, 64)).astype(np.float32)
    stored, real = packed(refq, w, *grid)
    params = {"model.norm.weight": x, "head.weight": QuantizedInput(refq_fast.PackedWeight(*stored), activations)}
    config = {"num_hidden_layers": 0, "num_attention_heads": 1, "head_dim": 2}
    table = table_of(params, config, "head")
    y = np.empty(48, np.float32)
    room = room_of(table.sizes)
    tiles, _ = prepare(table.rows, x, room)
    multiply(table.rows, table.biases, room, y, 0, tiles)
    expected = refq.quantized_linear(x[None], *stored, activations)[0]
    assert np.abs(y[:37] - expected).max() <= 100 * UNIT * (np.abs(real) @ np.abs(x)).max()
    assert activations == 16 or (y[:37] == expected).all()


@both
@pytest.mark.parametrize("activations", [8, 15, 16])
@pytest.mark.parametrize("grid", GRIDS[::2], ids=str)
def test_a_model_with_inputs_on_a_grid(engine, grid, activations):
    """A code near a tie may go either way, and changes all that follow: as far off as codes are, and no more."""
    tokens, (params, real, config) = np.random.default_rng(4).integers(0, 97, 19), packed_model(engine, *grid)
    low = {name: QuantizedInput(w, activations) for name, w in params.items() if w is not real[name]}
    decoder, logits = fed(engine, params | low, config, tokens)
    assert compiled(decoder) == (engine is refq_fast)
    away = np.linalg.norm(logits - exact(real, config, tokens)) / np.linalg.norm(logits)
    assert 2.0**-activations / 8 < away < 2.0**-activations * 32


@both
def test_a_cache_of_codes(engine):
    """Each key and value on its own grid of 255 steps, which the order of the calls does not change."""
    params, config = seeded_model(3, **SIZES)
    tokens = np.random.default_rng(1).integers(0, 97, 19)
    decoder, logits = fed(engine, params, config, tokens, cache_bits=8)
    _, other = fed(refq, wide(params), config, tokens, [1] * 19, cache_bits=8)
    assert near(logits, other[np.cumsum(FED) - 1])
    assert 1e-4 < np.abs(logits - exact(params, config, tokens)).max() / np.abs(logits).max() < 0.1
    if engine is refq_fast:
        numbers, _ = fed(engine, params, config, tokens)
        sizes = [sum(part.nbytes for part in d.state.cache) for d in (decoder, numbers)]
        assert sizes[0] < 0.5 * sizes[1]  # heads of 8 numbers in vectors of 16
    with pytest.raises(GridError, match="cache_bits=4; None or 8 is needed"):
        engine.LlamaDecoder(params, config, cache_bits=4)


def test_room_grows(monkeypatch):
    monkeypatch.setattr("refq_fast.decoder_state.FIRST", 32)
    params, config = seeded_model(3, **SIZES)
    tokens = np.random.default_rng(1).integers(0, 97, 250)
    sizes = [3, 1, 27, 1, 1, 1, 1, 40, *[1] * 60, 100, 1]
    for cache_bits in (None, 8):
        _, logits = fed(refq_fast, params, config, tokens, sizes, cache_bits=cache_bits)
        _, expected = fed(refq, params, config, tokens, sizes, cache_bits=cache_bits)
        assert near(logits, expected)


@pytest.mark.parametrize("cache_bits", [None, 8])
def test_a_token_that_found_no_memory_may_be_given_again(monkeypatch, cache_bits):
    params, config = seeded_model(3, **SIZES)
    decoder, logits = fed(refq_fast, params, config, np.arange(10), [8, 1, 1], cache_bits=cache_bits)
    again, _ = fed(refq_fast, params, config, np.arange(10), [8], cache_bits=cache_bits)

    def none(*_):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(decoder_state.State, "_make_room", none)
        with pytest.raises(MemoryError):
            again.feed([8])
    np.testing.assert_array_equal([again.feed([8]), again.feed([9])], logits[1:])


def shared(monkeypatch):
    """A model whose products and attention are cut into pieces, some tokens, and threads that are called for them."""
    monkeypatch.setattr(decoder_state, "ALONE", 0)
    sizes = {"K": 16, "R": 1, "d": 32, "D": 512, "F": 512, "V": 1024, "layers": 1}
    params, _, config = packed_model(refq_fast, 4, 32, True, **sizes)
    return params, config, np.random.default_rng(3).integers(0, 1024, 261)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    params, config, tokens = shared(monkeypatch)
    threads, found = numba.get_num_threads(), []
    for count in {1, threads}:
        try:
            numba.set_num_threads(count)
            found.append(fed(refq_fast, params, config, tokens, [258, 1, 1, 1])[1])
        finally:
            numba.set_num_threads(threads)
    np.testing.assert_array_equal(found[0], found[-1])


@pytest.mark.parametrize("at_once", [1, 5])
def test_a_token_waits_for_nobody_who_has_not_come(monkeypatch, at_once):
    """Threads of its own kind, more than cores: all at once; or one after the other, so that the first is alone."""
    params, config, tokens = shared(monkeypatch)
    decoder, logits = fed(refq_fast, params, config, tokens, [258, 1])
    state = decoder.state
    at, y = (int(tokens[258]), 258), np.empty(1024, np.float32)
    given = state.eps, state.weights, state.table.rows, state.room, (*state.rows, y), state.angles[258], state.cache
    for _ in range(20):
        state.crew[:], y[:] = 0, 0
        state.crew[THREADS] = 5
        with ThreadPoolExecutor(at_once) as pool:
            for done in [pool.submit(step, at, *given, state.crew) for _ in range(5)]:
                done.result(timeout=60)
        np.testing.assert_array_equal(y, logits[-1])


def test_what_is_not_compiled_takes_the_page():
    tokens = np.random.default_rng(1).integers(0, 97, 19)
    params, config = seeded_model(3, **SIZES)
    book = np.zeros((32, 16), np.uint8), np.ones((1, 1, 16), np.float32), 4
    name = "model.layers.1.self_attn.o_proj.weight"
    static = QuantizedInput(params[name], 8, np.float32([0.1]), np.int32([0]))
    given = [
        lambda engine: (wide(params), config),
        lambda engine: (params | {name: engine.CodebookWeight(*book)}, config),
        lambda engine: (params | {name: static}, config),
        lambda engine: (params, config | {"attention_activations": 8}),
    ]
    for model in given:
        results = [fed(engine, *model(engine), tokens) for engine in (refq_fast, refq)]
        assert not compiled(results[0][0])
        assert near(results[0][1], results[1][1])
    nothing, config = seeded_model(3, **SIZES | {"layers": 0})
    decoder, logits = fed(refq_fast, nothing, config, tokens)
    assert near(logits, exact(nothing, config, tokens))


@pytest.mark.parametrize("activations", [None, 8, 16])
def test_what_is_not_finite_is_seen_in_the_logits(activations):
    params, _, config = packed_model(refq_fast, 4, 32, True)
    params["model.embed_tokens.weight"][7, 3] = np.nan
    if activations:
        params = {name: QuantizedInput(w, activations) if "head" in name else w for name, w in params.items()}
    decoder, _ = fed(refq_fast, params, config, np.arange(4), [3, 1])
    assert compiled(decoder)
    assert not np.isfinite(decoder.feed([7])).any()


@both
def test_tokens_that_are_none_are_refused(engine):
    decoder, _ = fed(engine, *seeded_model(3, **SIZES), np.arange(4), [3, 1])
    for tokens, words in (([], "at least one token"), ([[1]], r"the axis \(T,\)"), ([97], "97"), ([-1], "-1")):
        with pytest.raises(ShapeError, match=words):
            decoder.feed(tokens)
    assert np.isfinite(decoder.feed([96])).all()


def compiled(decoder):
    return getattr(decoder, "state", None) is not None
