"""ONNX Runtime runs our graphs, with the same logits, tokens and weights; and we read what its quantizer made."""

import json
import pathlib

import numpy as np
import pytest

import refq
import refq_fast
from refq.files.onnx_graph import INPUTS
from refq.files.tokenizer import open_tokenizer
from refq.jobs.generate import Sampling, generate
from refq.jobs.model import load_model
from refq.jobs.onnx_import import import_onnx
from refq.jobs.onnx_write import write_onnx
from refq.jobs.perplexity import cut_windows, perplexity
from refq.jobs.plan import Options
from refq.jobs.quantize import quantize_model
from refq.jobs.text import cut_documents, read_documents
from tests.app.commands import decoded
from tests.files.models import model

pytestmark = pytest.mark.peers
WORLD = pathlib.Path(refq.__file__).parent / "world" / "model"
CACHES = {"past": "past_key_values", "present": "present"}
# of stories260K 172 is no multiple of 32: those layers have a scale a row, in a block of 256 that is filled up
GRIDS = {
    "float": None,
    "4 bits": Options(group_size=32, fallback="channel"),
    "4 bits, zero points": Options(group_size=16, symmetric=False, fallback="channel"),
    "8 bits, a row": Options(bits=8, group_size="channel", symmetric=False),
    "2 bits": Options(bits=2, group_size=64, symmetric=False, fallback="channel"),
}
SMALL = {
    "llama3": {
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    },
    "tied": {"tie_word_embeddings": True},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "qwen2": {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"},
    "one head": {"num_attention_heads": 1, "num_key_value_heads": 1},
    "wide heads": {"head_dim": 8},
}


class Runner:
    """A session of ONNX Runtime on the CPU."""

    def __init__(self, path):
        runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.past = {one.name: one.shape for one in self.session.get_inputs() if one.name.startswith("past")}

    def __call__(self, tokens, past=None, mask=None, positions=None):
        """Logits, and the past of the next call."""
        B, T = np.shape(tokens)
        past = past or {name: np.zeros((B, K, 0, d), np.float32) for name, (_, K, _, d) in self.past.items()}
        start = next(iter(past.values())).shape[2]
        mask = np.ones((B, start + T), np.int64) if mask is None else mask
        positions = np.broadcast_to(np.arange(start, start + T), (B, T)) if positions is None else positions
        feeds = {"input_ids": np.asarray(tokens, np.int64), "attention_mask": mask, "position_ids": positions}
        logits, *present = self.session.run(None, feeds | past)
        return logits, dict(zip(past, present, strict=True))


@pytest.fixture(
    scope="module", params=[(name, grid) for name in ("stories260K", "world") for grid in GRIDS], ids="-".join
)
def exported(request, tmp_path_factory):
    """The directory of a model, and its ONNX file."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    name, grid = request.param
    folder = tmp_path_factory.mktemp("onnx")
    source = WORLD if name == "world" else request.getfixturevalue("data") / "models" / name
    if GRIDS[grid]:
        quantize_model(source, folder / "model", refq_fast, GRIDS[grid])
        source = folder / "model"
    write_onnx(source, folder / "it.onnx", refq_fast)
    return source, folder / "it.onnx"


def check_logits(found, expected):
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def some_tokens(config, *shape):
    return np.random.default_rng(0).integers(0, config["vocab_size"], shape)


def test_logits_at_once_and_step_by_step(exported):
    directory, path = exported
    config, params = load_model(directory, refq_fast)
    run, tokens = Runner(path), some_tokens(config, 2, 24)
    expected = refq_fast.llama_forward(params, tokens, config)
    check_logits(run(tokens)[0], expected)
    past, steps = None, []
    for first, last in ((0, 10), (10, 11), (11, 12), (12, 24)):
        logits, past = run(tokens[:, first:last], past)
        steps.append(logits)
    check_logits(np.concatenate(steps, axis=1), expected)


def test_padding_on_the_left_changes_nothing(exported):
    directory, path = exported
    config, params = load_model(directory, refq_fast)
    run, tokens = Runner(path), some_tokens(config, 2, 12)
    mask = np.ones((2, 12), np.int64)
    mask[1, :5] = 0
    positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    logits, past = run(tokens, None, mask, positions)
    check_logits(logits[1:, 5:], refq_fast.llama_forward(params, tokens[1:, 5:], config))
    more = some_tokens(config, 2, 3)
    logits, _ = run(more, past, np.pad(mask, [(0, 0), (0, 3)], constant_values=1), positions[:, -1:] + [1, 2, 3])
    whole = np.concatenate([tokens, more], axis=1)
    check_logits(logits[1:], refq_fast.llama_forward(params, whole[1:, 5:], config)[:, -3:])


def test_the_same_64_tokens(exported):
    directory, path = exported
    loaded, run = load_model(directory, refq_fast), Runner(path)
    start = loaded[0]["bos_token_id"]
    ours = generate(refq_fast, loaded, [start], [], Sampling(max_tokens=64), lambda token: None).tokens
    theirs, past, token = [], None, start
    while len(theirs) < 64:
        logits, past = run([[token]], past)
        token = int(logits[0, -1].argmax())
        theirs.append(token)
    assert theirs == ours


def genai_config(config):
    """What onnxruntime-genai wants to know of a graph."""
    cache = {f"{side}_{kind}_names": f"{name}.%d.{kind}" for side, name in CACHES.items() for kind in ("key", "value")}
    decoder = {"session_options": {"provider_options": []}, "filename": "it.onnx", "head_size": config["head_dim"]}
    keys = ("hidden_size", "num_attention_heads", "num_hidden_layers", "num_key_value_heads")
    decoder |= {key: config[key] for key in keys}
    decoder["inputs"] = {name: name for name in INPUTS} | {key: cache[key] for key in cache if key.startswith("past")}
    decoder["outputs"] = {"logits": "logits"} | {key: cache[key] for key in cache if key.startswith("present")}
    tokens = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["vocab_size"] - 1, "pad_token_id": 0}
    size = config["max_position_embeddings"]
    found = {"type": "llama", "context_length": size, "vocab_size": config["vocab_size"], "decoder": decoder, **tokens}
    return {"model": found, "search": {"max_length": size, "past_present_share_buffer": False}}


def test_genai_gives_the_same_tokens(exported):
    genai = pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed")
    directory, path = exported
    loaded = load_model(directory, refq_fast)
    (path.parent / "genai_config.json").write_text(json.dumps(genai_config(loaded[0])))
    start = loaded[0]["bos_token_id"]
    ours = generate(refq_fast, loaded, [start], [], Sampling(max_tokens=64), lambda token: None).tokens
    whole = genai.Model(str(path.parent))
    asked = genai.GeneratorParams(whole)
    asked.set_search_options(max_length=65, do_sample=False)
    generator = genai.Generator(whole, asked)
    generator.append_tokens(np.array([[start]], np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    assert generator.get_sequence(0).tolist() == [start, *ours]


def test_perplexity(exported, data):
    directory, path = exported
    text = data / "text" / "tinystories" / "valid.txt"
    ours = perplexity(directory, text, refq_fast, context=250, limit=2000)
    config = load_model(directory, refq_fast)[0]
    tokens = cut_documents(read_documents(text)[1], open_tokenizer(directory, config["vocab_size"]))
    windows = cut_windows(tokens[:2000], 250)
    logits = Runner(path)(windows)[0][:, :-1].astype(np.float64)
    nats = np.log(np.exp(logits - logits.max(axis=-1, keepdims=True)).sum(axis=-1)) + logits.max(axis=-1)
    nats -= np.take_along_axis(logits, windows[:, 1:, None], axis=-1)[..., 0]
    assert nats.size == ours["tokens_scored"]
    assert abs(np.exp(nats.mean()) / ours["perplexity"] - 1) < 1e-3


def test_the_weights_are_equal_bit_for_bit(exported):
    directory, path = exported
    found, expected = weights(path), dict(decoded(directory)) if directory != WORLD else {}
    assert found.keys() >= expected.keys()
    for layer, weight in expected.items():
        np.testing.assert_array_equal(found[layer], weight, layer)
    assert all(not name.endswith("_proj") for name in found.keys() - expected.keys() if expected)


def weights(path):
    """Layer -> what MatMulNBits or MatMul of ONNX Runtime makes of ones in one place, float32 (N, K)."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    whole, found = onnx.load(path), {}
    tensors = {tensor.name: tensor for tensor in whole.graph.initializer}
    for node in whole.graph.node:
        layer = node.output[0].removesuffix("/MatMul")
        if node.op_type not in ("MatMul", "MatMulNBits") or f"{layer}.weight" not in "".join(node.input[1:]):
            continue
        node.input[0], node.output[0] = "x", "y"
        ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xy"]
        graph = onnx.helper.make_graph([node], "one", ends[:1], ends[1:], [tensors[name] for name in node.input[1:]])
        one = onnx.helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)
        sizes = {attribute.name: attribute.i for attribute in node.attribute}
        inputs = sizes.get("K") or tensors[node.input[1]].dims[0]
        session = runtime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"])
        found[layer] = session.run(None, {"x": np.eye(inputs, dtype=np.float32)})[0].T
    return found


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("bits", [None, 4], ids=["float", "4 bits"])
def test_every_kind_of_model(tmp_path, name, bits):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    source = model(tmp_path / "model", **SMALL[name])
    if bits:
        quantize_model(source, tmp_path / "q", refq, Options(group_size=16))
        source = tmp_path / "q"
    write_onnx(source, tmp_path / "it.onnx", refq)
    onnx.checker.check_model(tmp_path / "it.onnx", full_check=True)
    config, params = load_model(source, refq)
    tokens = some_tokens(config, 3, 40)
    check_logits(Runner(tmp_path / "it.onnx")(tokens)[0], refq.llama_forward(params, tokens, config))


@pytest.mark.parametrize("settings", [(4, 32, True), (4, 128, False), (8, 16, False)], ids=str)
def test_what_their_quantizer_writes(tmp_path, settings):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnx_ir", reason="onnxruntime's quantizer needs onnx_ir")
    quantizer = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    bits, size, symmetric = settings
    write_onnx(WORLD, tmp_path / "float.onnx", refq_fast)
    chosen = quantizer.DefaultWeightOnlyQuantConfig(size, symmetric, bits=bits)
    work = quantizer.MatMulNBitsQuantizer(onnx.load(tmp_path / "float.onnx"), algo_config=chosen)
    work.process()
    work.model.save_model_to_file(str(tmp_path / "theirs.onnx"), use_external_data_format=symmetric)
    report = import_onnx(tmp_path / "theirs.onnx", tmp_path / "back", refq_fast)
    assert report["layers"] == 21
    found = weights(tmp_path / "theirs.onnx")
    for layer, weight in decoded(tmp_path / "back"):
        np.testing.assert_array_equal(found[layer], weight, layer)
