"""A Hugging Face model directory: config.json and one or many safetensors files, checked as a whole, read lazily."""

import math
import os
from dataclasses import dataclass

import numpy as np

from refq.errors import CheckpointError, FormatError
from refq.files.compressed_tensors import FLOATS
from refq.files.config import SIZE, read_config
from refq.files.quantization import (
    attention_of,
    packed_tensors,
    parse_quantization_config,
    quantized_embeddings,
    quantized_layers,
    weights_stem,
)
from refq.files.reassembled import stored_shape
from refq.files.safetensors import opened, read_rows, read_tensor
from refq.files.shards import find_tensors, identity
from refq.files.strict import shown

_PIECE = 2**20  # bytes of the pieces in which two tensors are compared


@dataclass(frozen=True)
class Checkpoint:
    """A checked model directory.

    directory: as given.
    config: see read_config; and what attention_of says.
    tensors: tensor name -> (file, TensorInfo), in the order of the model.
    files: the safetensors files, as paths.
    ignored: names of tensors that are there and not needed.
    schemes: layer name -> Scheme or Codebooks of every quantized layer; empty for a float model.
    metadata: file -> the metadata of its header.
    """

    directory: str
    config: dict
    tensors: dict
    files: list
    ignored: list
    schemes: dict
    metadata: dict
    _identities: dict

    def read(self, name):
        """One tensor, as `read_tensor` gives it."""
        return self._read(name, read_tensor)

    def read_rows(self, name, start, stop):
        """Rows start..stop-1 of one tensor."""
        return self._read(name, read_rows, start, stop)

    def _read(self, name, read, *rows):
        file, info = self.tensors[name]
        with opened(file) as descriptor:
            if identity(descriptor) != self._identities[file]:
                raise CheckpointError(f"{file}: the file has changed since its header was read")
            return read(descriptor, info, *rows)


def open_checkpoint(directory):
    """Open a model directory, and check everything that can be checked without reading the weights.

    Every tensor that the config asks for is there, in its shape and as F32, F16 or BF16 (or as its quantization
    scheme says); nothing else is, but `rotary_emb.inv_freq`, a bias of zeros of a quantized layer, and an
    `lm_head.weight` beside tied embeddings that equals them bit for bit. Of these the names are kept in `ignored`.

    Raises
        CheckpointError, FormatError: one sentence with file, tensor and rule.
    """
    directory = os.fspath(directory)
    if not os.path.isdir(directory):
        raise CheckpointError(f"{directory}: it is not a directory; a model directory with config.json is needed")
    path = os.path.join(directory, "config.json")
    config = read_config(path)
    shapes, schemes = llama_tensors(config), {}
    if config["quantization"] is not None:
        heads = [] if config["tie_word_embeddings"] else ["lm_head"]
        names = [*quantized_embeddings(config["quantization"]), *linear_names(config), *heads]
        layers = {name: shapes[f"{name}.weight"] for name in names}
        schemes = parse_quantization_config(config["quantization"], layers, path)
    config |= attention_of(config["quantization"], path)._asdict()
    found, metadata, identities = find_tensors(directory, weights_stem(config["quantization"]))
    schemes, expected = quantized_layers(schemes, found, path), {}
    for name, shape in shapes.items():
        scheme = schemes.get(name.removesuffix(".weight"))
        layer = packed_tensors(name.removesuffix(".weight"), shape, scheme, path) if scheme else {name: (FLOATS, shape)}
        expected |= layer
    ignored = [name for name in found if name.endswith(".rotary_emb.inv_freq")]
    # older programs give every layer of GPTQ a bias, of zeros where the model has none
    extra = [name for name in found if name.endswith(".bias") and name not in shapes and name[:-5] in schemes]
    ignored += [name for name in extra if not _holds_a_number(*found[name])]
    if config["tie_word_embeddings"] and "lm_head.weight" in found:
        ignored.append("lm_head.weight")
    check_tensors({name: entry for name, entry in found.items() if name not in ignored}, expected, directory)
    if "lm_head.weight" in ignored:
        _check_tied(found["lm_head.weight"], found["model.embed_tokens.weight"])
    tensors = {name: found[name] for name in expected}
    checkpoint = Checkpoint(directory, config, tensors, list(metadata), ignored, schemes, metadata, identities)
    for name, scheme in schemes.items():
        if f"{name}.weight_shape" in tensors:
            _check_shape_words(checkpoint, f"{name}.weight_shape", stored_shape(shapes[f"{name}.weight"], scheme))
    return checkpoint


def llama_tensors(config):
    """Names and shapes of all tensors of a float model, by their Hugging Face names, in the order of the layers.

    Parameters
        config: see read_config.
    Returns
        dict, name -> shape.
    """
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, kv_heads = (config[f"num_{k}_heads"] * config["head_dim"] for k in ("attention", "key_value"))
    qkv, o, mlp = (config[key] for key in ("attention_bias", "attention_output_bias", "mlp_bias"))
    linears = {"self_attn.q_proj": (heads, hidden, qkv), "self_attn.k_proj": (kv_heads, hidden, qkv)}
    linears |= {"self_attn.v_proj": (kv_heads, hidden, qkv), "self_attn.o_proj": (hidden, heads, o)}
    linears |= {"mlp.gate_proj": (inner, hidden, mlp), "mlp.up_proj": (inner, hidden, mlp)}
    linears |= {"mlp.down_proj": (hidden, inner, mlp)}
    tensors = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(config["num_hidden_layers"]):
        for name, (outputs, inputs, bias) in linears.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = (outputs, inputs)
            if bias:
                tensors[f"model.layers.{layer}.{name}.bias"] = (outputs,)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = (hidden,)
    tensors["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        tensors["lm_head.weight"] = (vocabulary, hidden)
    return tensors


def linear_names(config):
    """Names of the linear layers of the blocks, q, k, v, o, gate, up and down of each; not lm_head."""
    return [name.removesuffix(".weight") for name in llama_tensors(config) if name.endswith("_proj.weight")]


def check_finite(array, name, file, start=0):
    """Refuse a float array, the rows of a tensor from `start` on, that holds NaN or infinity; names the first place."""
    finite = np.isfinite(array)
    if not finite.all():
        place = np.unravel_index(int(np.argmin(finite)), array.shape)
        where = ", ".join(str(n + (start if axis == 0 else 0)) for axis, n in enumerate(place))
        raise CheckpointError(f"{file}: tensor {name}[{where}] is {array[place]}; every weight must be finite")
    return array


def check_tensors(found, expected, directory):
    """Refuse what lacks a tensor, or has one that is not expected.

    Parameters
        found: name -> (file, TensorInfo).
        expected: name -> (its dtypes, its shape).
    """
    for name, (dtypes, shape) in expected.items():
        if name not in found:
            raise CheckpointError(f"{directory}: tensor {name} of shape {list(shape)} is missing")
        file, info = found[name]
        if info.shape != shape:
            raise CheckpointError(
                f"{file}: tensor {name} has shape {list(info.shape)}; config.json asks for {list(shape)}"
            )
        if info.dtype not in dtypes:
            raise CheckpointError(f"{file}: tensor {name} is {info.dtype}; {' or '.join(dtypes)} is needed")
    for name, (file, _) in found.items():
        if name not in expected:
            raise CheckpointError(f"{file}: tensor {shown(name)} has no place in this model")


def _holds_a_number(file, info):
    return math.prod(info.shape) > SIZE or bool(read_tensor(file, info).any())


def _check_tied(head, embedding):
    (head_file, head_info), (file, info) = head, embedding
    rows = max(1, _PIECE * info.shape[0] // max(1, info.end - info.start))
    same = (head_info.dtype, head_info.shape) == (info.dtype, info.shape)
    for start in range(0, info.shape[0] if same else 0, rows):
        stop = min(start + rows, info.shape[0])
        same = same and (
            read_rows(head_file, head_info, start, stop).tobytes() == read_rows(file, info, start, stop).tobytes()
        )
    if not same:
        raise CheckpointError(
            f"{head_file}: tensor lm_head.weight differs from model.embed_tokens.weight; "
            "with tie_word_embeddings the two must be equal bit for bit"
        )


def _check_shape_words(checkpoint, name, shape):
    words = checkpoint.read(name).tolist()
    if words != list(shape):
        file = checkpoint.tensors[name][0]
        raise FormatError(f"{file}: tensor {name} holds {words}; config.json asks for {list(shape)}")
