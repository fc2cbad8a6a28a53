"""A LLaMA as a graph of ONNX's plain operators, with ONNX Runtime's MatMulNBits for quantized layers.

Inputs and outputs have the names that optimum and onnxruntime-genai look for: input_ids (B, T), attention_mask
(B, S), position_ids (B, T), past_key_values.N.key and .value (B, K, P, d); logits (B, T, V), present.N.key and .value
(B, K, S, d); P positions before, S = P + T. In the graph a weight has its name of Hugging Face, and what is done with
it that of its module, with a slash behind it.
"""

from typing import NamedTuple

import numpy as np

from refq.files.checkpoint import llama_tensors
from refq.files.matmul_nbits import packed_tensors, settings

DOMAIN, OPSET = "com.microsoft", 18
TOKENS = ("batch_size", "sequence_length")
INPUTS = {"input_ids": TOKENS, "attention_mask": ("batch_size", "total_sequence_length"), "position_ids": TOKENS}
FREQUENCIES = "rotary/frequencies"
_FLOAT, _BOOL, _DOUBLE = 1, 9, 11  # as Cast numbers them


class Node(NamedTuple):
    """One node; attributes are integers and lists of them."""

    op: str
    inputs: tuple
    outputs: tuple
    attributes: dict
    domain: str = ""


class Graph(NamedTuple):
    """nodes: in their order; constants: name -> array; past, outputs: name -> axes, of float32 each."""

    nodes: list
    constants: dict
    past: dict
    outputs: dict


def llama_graph(config, frequencies, schemes):
    """The graph of llama_decode.

    Parameters
        config: see read_config.
        frequencies: float64 (head_dim / 2,), see rope_frequencies.
        schemes: layer name -> Nbits, of the quantized layers.
    """
    page = _Page(llama_tensors(config), schemes)
    rotation, seen = _rotation(page, frequencies), _seen(page)
    page.constants["norm/eps"] = np.float32(config["rms_norm_eps"])
    page.constants["attention/scale"] = np.float32(config["head_dim"] ** -0.5)
    page.constants["attention/unseen"] = np.finfo(np.float32).min  # finite: a query that is padding may see nothing
    x = page.add("model.embed_tokens/Gather", "Gather", "model.embed_tokens.weight", "input_ids")
    for n in range(config["num_hidden_layers"]):
        layer = f"model.layers.{n}"
        h = _attention(page, n, _norm(page, f"{layer}.input_layernorm", x), config, rotation, seen)
        x = page.add(f"{layer}.self_attn/Add", "Add", x, page.linear(f"{layer}.self_attn.o_proj", h))
        h = _norm(page, f"{layer}.post_attention_layernorm", x)
        x = page.add(f"{layer}.mlp/Add", "Add", x, _mlp(page, f"{layer}.mlp", h))
    x = _norm(page, "model.norm", x)
    if config["tie_word_embeddings"]:
        page.add("logits", "MatMul", x, page.add("lm_head/T", "Transpose", "model.embed_tokens.weight", perm=[1, 0]))
    else:
        page.linear("lm_head", x)
    logits = {"logits": (*TOKENS, config["vocab_size"])}
    return Graph(
        page.nodes,
        page.constants,
        _caches("past_key_values", "past", config),
        logits | _caches("present", "total", config),
    )


def product(layer):
    """What the product of a linear layer, without its bias, is called."""
    return "logits" if layer == "lm_head" else f"{layer}/MatMul"


class _Page:
    """The nodes and constants so far. tensors: names of what the model has."""

    def __init__(self, tensors, schemes):
        self.tensors, self.schemes, self.nodes, self.constants = tensors, schemes, [], {}

    def add(self, name, op, *inputs, **attributes):
        """A node with one output, of this name."""
        self.nodes.append(Node(op, inputs, (name,), attributes))
        return name

    def int64(self, value):
        """A constant that is called what it holds."""
        name = str(value).replace(" ", "")
        self.constants[name] = np.array(value, np.int64)
        return name

    def reshape(self, name, x, *shape):
        return self.add(f"{name}/Reshape", "Reshape", x, self.int64(list(shape)))

    def linear(self, layer, x):
        """x W^T, and the bias if there is one."""
        name, weight, scheme = product(layer), f"{layer}.weight", self.schemes.get(layer)
        if scheme is None:
            self.add(name, "MatMul", x, weight)
        else:
            inputs = (x, *packed_tensors(layer, self.tensors[weight], scheme))
            self.nodes.append(Node("MatMulNBits", inputs, (name,), settings(self.tensors[weight], scheme), DOMAIN))
        bias = f"{layer}.bias"
        return self.add(f"{layer}/Add", "Add", name, bias) if bias in self.tensors else name


def _norm(page, name, x):
    square = page.add(f"{name}/Square", "Mul", x, x)
    mean = page.add(f"{name}/Mean", "ReduceMean", square, page.int64([-1]), keepdims=1)
    root = page.add(f"{name}/Sqrt", "Sqrt", page.add(f"{name}/Eps", "Add", mean, "norm/eps"))
    return page.add(f"{name}/Mul", "Mul", page.add(f"{name}/Div", "Div", x, root), f"{name}.weight")


def _mlp(page, name, h):
    gate, up = (page.linear(f"{name}.{part}_proj", h) for part in ("gate", "up"))
    silu = page.add(f"{name}/Silu", "Mul", gate, page.add(f"{name}/Sigmoid", "Sigmoid", gate))
    return page.linear(f"{name}.down_proj", page.add(f"{name}/Mul", "Mul", silu, up))


def _attention(page, n, h, config, rotation, seen):
    """What o_proj sees, (B, T, H * d): R queries share each of the K heads of keys and values."""
    name, K, d = f"model.layers.{n}.self_attn", config["num_key_value_heads"], config["head_dim"]
    heads = {"q": config["num_attention_heads"], "k": K, "v": K}
    x = {}
    for part, count in heads.items():
        linear = f"{name}.{part}_proj"
        x[part] = page.reshape(linear, page.linear(linear, h), 0, 0, count, d)
        x[part] = page.add(f"{linear}/T", "Transpose", x[part], perm=[0, 2, 1, 3])  # (B, heads, T, d)
    q, k = (_turned(page, f"{name}.{part}_proj", x[part], rotation) for part in "qk")
    grown = []  # (B, K, 1, S, d)
    for kind, new in (("key", k), ("value", x["v"])):
        cache = page.add(f"present.{n}.{kind}", "Concat", f"past_key_values.{n}.{kind}", new, axis=2)
        grown.append(page.add(f"{name}/{kind}", "Unsqueeze", cache, page.int64([2])))
    q = page.reshape(name, q, 0, K, heads["q"] // K, -1, d)  # (B, K, R, T, d)
    scores = page.add(f"{name}/QK", "MatMul", q, page.add(f"{name}/T", "Transpose", grown[0], perm=[0, 1, 2, 4, 3]))
    scores = page.add(f"{name}/Scores", "Mul", scores, "attention/scale")
    scores = page.add(f"{name}/Seen", "Where", seen, scores, "attention/unseen")
    mixed = page.add(f"{name}/V", "MatMul", page.add(f"{name}/Softmax", "Softmax", scores, axis=-1), grown[1])
    mixed = page.add(f"{name}/Heads", "Transpose", mixed, perm=[0, 3, 1, 2, 4])
    return page.reshape(f"{name}/Heads", mixed, 0, 0, heads["q"] * d)


def _rotation(page, frequencies):
    """Cosines and sines of positions times frequencies, in float64 and rounded once: (B, 1, T, d / 2)."""
    page.constants[FREQUENCIES] = frequencies
    positions = page.add("rotary/Positions", "Unsqueeze", "position_ids", page.int64([1, 3]))
    angles = page.add("rotary/Double", "Cast", positions, to=_DOUBLE)
    angles = page.add("rotary/Angles", "Mul", angles, FREQUENCIES)
    return [
        page.add(f"rotary/{op}32", "Cast", page.add(f"rotary/{op}", op, angles), to=_FLOAT) for op in ("Cos", "Sin")
    ]


def _turned(page, name, x, rotation):
    """Each pair, of the two halves of a head, by its angle."""
    a, b = f"{name}/first", f"{name}/second"
    page.nodes.append(Node("Split", (x,), (a, b), {"axis": -1, "num_outputs": 2}))
    products = [
        page.add(f"{half}/{op}", "Mul", half, part)
        for half in (a, b)
        for op, part in zip(("Cos", "Sin"), rotation, strict=True)
    ]
    halves = (
        page.add(f"{name}/Sub", "Sub", products[0], products[3]),
        page.add(f"{name}/Rotated", "Add", products[2], products[1]),
    )
    return page.add(f"{name}/Concat", "Concat", *halves, axis=-1)


def _seen(page):
    """Which keys each query sees, bool (B, 1, 1, T, S): no padding, and none that comes later."""
    one, keys = page.int64(1), page.add("attention/Keys", "Shape", "past_key_values.0.key")
    before = page.add("attention/P", "Gather", keys, page.int64(2))
    new = page.add("attention/T", "Gather", page.add("attention/Tokens", "Shape", "input_ids"), one)
    total = page.add("attention/S", "Add", before, new)
    keys = page.add("attention/Columns", "Range", page.int64(0), total, one)
    queries = page.add("attention/Queries", "Range", before, total, one)
    queries = page.add("attention/Rows", "Unsqueeze", queries, page.int64([1]))
    causal = page.add("attention/Causal", "LessOrEqual", keys, queries)
    mask = page.add("attention/Bool", "Cast", "attention_mask", to=_BOOL)
    mask = page.add("attention/Mask", "Unsqueeze", mask, page.int64([1, 2, 3]))
    return page.add("attention/And", "And", causal, mask)


def _caches(name, when, config):
    sizes = ("batch_size", config["num_key_value_heads"], f"{when}_sequence_length", config["head_dim"])
    layers = range(config["num_hidden_layers"])
    return {f"{name}.{n}.{kind}": sizes for n in layers for kind in ("key", "value")}
