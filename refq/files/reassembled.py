"""refq-reassembled: layers as compressed-tensors has them, their inputs altered at run time, and attention on a grid.

config.json says what it says for compressed-tensors, and beside that what is done with the input of a layer X before
its own grid is laid:

    reassembled  new channels are parts or means of old ones; the weight has `channels` columns, and there are
                 X.input_members int32 (members,), X.input_sizes and X.input_divisors int32 (channels,)
    rotated      a Hadamard transform, over all channels with stride 1, over the heads with their width
    outliers     LLM.int8(): a grid a token of 8 bits, without the inputs that reach the threshold

No public format knows these. It has a name and weight files of its own, like refq-codebook and for its reason.
"""

from typing import NamedTuple

from refq.errors import FormatError
from refq.files import compressed_tensors
from refq.files.input_activations import Inputs, input_args, parse_input_args
from refq.files.strict import shown

METHOD = "refq-reassembled"
STEM = METHOD
VERSION = 1
MOST = 2**20  # members
_ROTATED = 2**16  # channels that a Hadamard transform takes
_SHARED = {"format", "quantization_status", "config_groups", "ignore"}
_KEYS = _SHARED | {"quant_method", "format_version", "attention_activations", "rotated_queries", "inputs"}


class Reassembled(NamedTuple):
    """`channels` new channels of `members` old ones, counted as often as they are used."""

    members: int
    channels: int


class Rotated(NamedTuple):
    """hadamard_transform of the input: stride 1, over all channels; stride d, over the heads (heads, d)."""

    stride: int = 1


class Outliers(NamedTuple):
    """llm_int8_matmul with this threshold; of a weight of 8 bits, symmetric, with a scale a row."""

    threshold: float = 6.0


class Attention(NamedTuple):
    """What is done with queries and keys (rotated by their positions) and values; the keys of config have these names.

    attention_activations: bits of a grid for each head of a token; None for no grid.
    rotated_queries: bool; before that, hadamard_transform of queries and keys over the head.
    """

    attention_activations: int | None = None
    rotated_queries: bool = False


_KINDS = {"reassembled": Reassembled, "rotated": Rotated, "outliers": Outliers}


def quantization_config(raw, transforms, attention):
    """The `quantization_config` of config.json; `parse_quantization_config` reads it back.

    Parameters
        raw: what compressed_tensors.quantization_config gave.
        transforms: layer -> Reassembled, Rotated or Outliers.
        attention: Attention.
    """
    bits, rotated = attention
    names = {kind: name for name, kind in _KINDS.items()}
    inputs = {layer: {"kind": names[type(how)]} | how._asdict() for layer, how in transforms.items()}
    grid = None if bits is None else input_args(Inputs(bits, "token"))
    raw = raw | {"quant_method": METHOD, "format_version": VERSION, "attention_activations": grid}
    return raw | {"rotated_queries": rotated, "inputs": inputs}


def parse_quantization_config(raw, shapes, path="quantization_config"):
    """Which linear layers are quantized, and how.

    Parameters
        raw: the `quantization_config` of config.json.
        shapes: linear layer -> (N, K) of the weight of the float model, lm_head among them unless it is tied.
        path: how messages call the file.
    Returns
        dict, layer name -> Scheme, in the order of shapes; its `transform` says what is done with the input.
    Raises
        FormatError: what compressed_tensors refuses; another version or key; a transform that we do not know, that
            does not fit its layer, or is none of a quantized layer.
    """
    for key, needed in (("quant_method", METHOD), ("format_version", VERSION)):
        if type(raw.get(key)) is not type(needed) or raw[key] != needed:
            raise FormatError(f"{path}: {key} is {shown(raw.get(key))}; {needed!r} is needed")
    if raw.keys() != _KEYS:
        raise FormatError(f"{path}: the keys are {shown(sorted(raw))}; {', '.join(sorted(_KEYS))} are needed")
    parse_attention(raw, path)
    shared = {key: raw[key] for key in _SHARED} | {"quant_method": "compressed-tensors"}
    schemes = compressed_tensors.parse_quantization_config(shared, list(shapes), path)
    if not isinstance(raw["inputs"], dict):
        raise FormatError(f"{path}: inputs is {shown(raw['inputs'])}; an object of layers is needed")
    for layer, entry in raw["inputs"].items():
        if layer not in schemes:
            raise FormatError(f"{path}: inputs has {shown(layer)}, which is no quantized layer of this model")
        transform = _transform(entry, shapes[layer][1], schemes[layer], f"{path}: inputs of {layer}")
        schemes[layer] = schemes[layer]._replace(transform=transform)
    return schemes


def parse_attention(raw, path="quantization_config"):
    """Attention, of the `quantization_config` of config.json.

    Raises
        FormatError: another grid than one a token; rotated_queries that is neither true nor false.
    """
    grid = parse_input_args(raw["attention_activations"], path, "attention_activations")
    if grid and grid.strategy != "token":
        raise FormatError(f"{path} has attention_activations with strategy {shown(grid.strategy)}; 'token' is needed")
    if type(raw["rotated_queries"]) is not bool:
        raise FormatError(f"{path}: rotated_queries is {shown(raw['rotated_queries'])}; true or false is needed")
    return Attention(grid and grid.bits, raw["rotated_queries"])


def stored_shape(shape, scheme):
    """The shape of the weight that is stored for one of `shape` in the float model.

    >>> from refq.files.compressed_tensors import Scheme
    >>> stored_shape((5, 16), Scheme(4, True, "channel", None, None, Reassembled(17, 15)))
    (5, 15)
    """
    transform = scheme and scheme.transform
    return (shape[0], transform.channels) if isinstance(transform, Reassembled) else shape


def packed_tensors(name, shape, scheme, path="quantization_config"):
    """The tensors that stand for `name`.weight, as compressed_tensors has them, and those of its reassembly.

    >>> from refq.files.compressed_tensors import Scheme
    >>> list(packed_tensors("x", (5, 16), Scheme(4, True, "channel", None, None, Reassembled(17, 15))))[3:]
    ['x.input_members', 'x.input_sizes', 'x.input_divisors']
    """
    tensors = compressed_tensors.packed_tensors(name, stored_shape(shape, scheme), scheme, path)
    if isinstance(scheme.transform, Reassembled):
        members, channels = scheme.transform
        lengths = {"members": members, "sizes": channels, "divisors": channels}
        tensors |= {f"{name}.input_{part}": (("I32",), (length,)) for part, length in lengths.items()}
    return tensors


def _transform(entry, columns, scheme, where):
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FormatError(f"{where} has {shown(entry)}; a kind of {', '.join(_KINDS)} is needed")
    fields = _KINDS[kind]._fields
    if entry.keys() != {"kind", *fields}:
        raise FormatError(f"{where} has the keys {shown(sorted(entry))}; kind, {', '.join(fields)} are needed")
    _CHECKS[kind](*(entry[field] for field in fields), columns, scheme, where)
    return _KINDS[kind](*(entry[field] for field in fields))


def _check_reassembled(members, channels, _, scheme, where):
    if not type(members) is type(channels) is int or not 1 <= channels <= members <= MOST:
        raise FormatError(
            f"{where} has members {shown(members)}, channels {shown(channels)}; 1 <= channels <= members <= {MOST}"
        )


def _check_rotated(stride, columns, _, where):
    if type(stride) is not int or stride < 1 or columns % stride or columns // stride > _ROTATED:
        raise FormatError(
            f"{where} has stride {shown(stride)}; a divisor of its {columns} channels that leaves at most {_ROTATED}"
        )


def _check_outliers(threshold, _, scheme, where):
    if type(threshold) not in (int, float) or not 2.0**-100 <= threshold <= 2.0**100:
        raise FormatError(f"{where} has threshold {shown(threshold)}; a number of 2**-100 .. 2**100 is needed")
    if scheme[:5] != (8, True, "channel", None, None):
        raise FormatError(
            f"{where} has outliers beside {scheme.bits} bits, {scheme.strategy}, symmetric {scheme.symmetric}, inputs "
            f"{'that have' if scheme.inputs else 'without'} a grid; 8, channel, true, without are needed"
        )


_CHECKS = {"reassembled": _check_reassembled, "rotated": _check_rotated, "outliers": _check_outliers}
