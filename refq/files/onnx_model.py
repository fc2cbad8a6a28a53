"""What an ONNX file of a LLaMA says of the model: its config, which layers are quantized, and where each tensor lies.

Whatever the file says of itself, its graph must be the one that we write for that config, node by node.
"""

import numpy as np

from refq.errors import FormatError
from refq.files.checkpoint import Checkpoint, check_tensors, linear_names, llama_tensors
from refq.files.config import CEILING, parse_config
from refq.files.header import DTYPES
from refq.files.matmul_nbits import BITS, SIZES, Nbits, packed_tensors
from refq.files.onnx_graph import DOMAIN, FREQUENCIES, INPUTS, product
from refq.files.reassembled import Attention
from refq.files.safetensors import read_tensor
from refq.files.strict import parse_object, shown

PREFIX = "refq/"  # of the keys of metadata that hold the files beside the weights
_FREE = {"accuracy_level"}  # an attribute by which the runtime may choose its precision


def read_onnx_config(file):
    """The config that the metadata holds, as read_config gives it.

    Raises
        FormatError: there is none. CheckpointError: see read_config.
    """
    text, where = file.metadata.get(f"{PREFIX}config.json"), f"{file.path}: metadata {PREFIX}config.json"
    if text is None or len(text) > CEILING:
        raise FormatError(f"{where} is missing or larger than {CEILING}; refq export writes it, and only that is read")
    return parse_config(parse_object(text, where, FormatError), where)


def onnx_schemes(file, config):
    """Layer name -> Nbits of the layers that MatMulNBits multiplies by, in blocks as they are stored.

    Raises
        FormatError: widths or blocks that do not exist, or another size than the layer has.
    """
    shapes, schemes = llama_tensors(config), {}
    nodes = {node.outputs[0]: node for node in file.nodes if node.outputs}
    for layer in [*linear_names(config), *([] if config["tie_word_embeddings"] else ["lm_head"])]:
        node = nodes.get(product(layer))
        if node is None or (node.op, node.domain) != ("MatMulNBits", DOMAIN):
            continue
        bits, size, K, N = (node.attributes.get(key) for key in ("bits", "block_size", "K", "N"))
        if bits not in BITS or size not in SIZES or (N, K) != shapes[f"{layer}.weight"]:
            asked = f"{list(shapes[f'{layer}.weight'])}, bits of {BITS} and block_size of {SIZES} are read"
            raise FormatError(f"{file.path}: layer {layer}: N={N}, K={K}, bits={bits}, block_size={size}; {asked}")
        schemes[layer] = Nbits(bits, size, len(node.inputs) == 3, size)
    return schemes


def check_graph(file, graph):
    """Refuse a file whose graph is not `graph`: another node, another constant, another input or output.

    Parameters
        file: OnnxFile.
        graph: Graph, of llama_graph.
    """
    found, expected = ({str(_plain(node)): node for node in nodes} for nodes in (file.nodes, graph.nodes))
    for text, node in found.items():
        if text not in expected:
            raise FormatError(
                f"{file.path}: node {shown(node.outputs)} is {shown(node.op)}; it has no place in this graph"
            )
    for text, node in expected.items():
        if text not in found:
            raise FormatError(f"{file.path}: node {shown(node.outputs)}, {node.op}, is missing")
    if len(found) < len(file.nodes):
        raise FormatError(f"{file.path}: a node stands there twice")
    ends = ("inputs", file.inputs, [*INPUTS, *graph.past]), ("outputs", file.outputs, list(graph.outputs))
    for side, names, wanted in ends:
        if sorted(names) != sorted(wanted):
            raise FormatError(f"{file.path}: the {side} are {shown(names)}; {shown(wanted)} are needed")
    for name, value in graph.constants.items():
        if name not in file.tensors or not _same(file, name, np.asarray(value)):
            raise FormatError(f"{file.path}: constant {shown(name)} is not {shown(np.asarray(value).tolist())}")


def onnx_checkpoint(file, config, schemes, constants):
    """Checkpoint of an ONNX file. A linear layer that is float is stored (K, N).

    Parameters
        schemes: of onnx_schemes.
        constants: names of tensors that are no weights.
    Raises
        CheckpointError: a tensor is missing, of another shape or type, or has no place in this model.
    """
    expected = {}
    for name, shape in llama_tensors(config).items():
        layer = name.removesuffix(".weight")
        stored = shape[::-1] if is_transposed(name) else shape
        expected |= packed_tensors(layer, shape, schemes[layer]) if layer in schemes else {name: (("F32",), stored)}
    weights = {name: entry for name, entry in file.tensors.items() if name not in constants}
    check_tensors(weights, expected, file.path)
    config |= Attention()._asdict()
    tensors = {name: weights[name] for name in expected}
    metadata = dict.fromkeys(file.identities, file.metadata)
    return Checkpoint(file.path, config, tensors, list(metadata), [], schemes, metadata, file.identities)


def is_transposed(name):
    """Whether a float tensor is stored as MatMul takes it."""
    return name == "lm_head.weight" or name.endswith("_proj.weight")


def _plain(node):
    attributes = {key: value for key, value in sorted(node.attributes.items()) if key not in _FREE}
    return node._replace(attributes=attributes)


def _same(file, name, value):
    path, info = file.tensors[name]
    if (DTYPES[info.dtype], info.shape) != (value.dtype, value.shape) or info.end - info.start != value.nbytes:
        return False
    found = read_tensor(path, info)
    # another C library has other last bits
    return np.allclose(found, value, rtol=1e-12, atol=0) if name == FREQUENCIES else np.array_equal(found, value)
