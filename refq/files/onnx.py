"""ONNX files: a strict reader of nodes, tensors and metadata; weights may lie in files beside, and stay there."""

import math
import os
import re
from typing import NamedTuple

from refq.errors import FormatError
from refq.files.header import DTYPES, TensorInfo
from refq.files.onnx_graph import DOMAIN, OPSET, Node
from refq.files.onnx_wire import Span, parse_model
from refq.files.shards import identity
from refq.files.strict import open_regular, read_bytes, shown

GRAPH_BYTES = 2**28  # of a graph, with what weights are within
DIMENSIONS = 8
_DTYPES = {1: "F32", 2: "U8", 7: "I64", 11: "F64"}
_EXTERNAL = 1
_PLACE = re.compile(r"\d{1,15}", re.ASCII)
_NAME = re.compile(r"[^/\\\0]{1,255}")


class OnnxFile(NamedTuple):
    """path: as given.
    nodes: list of Node.
    tensors: name -> (file, TensorInfo).
    inputs, outputs: names.
    metadata: str -> str.
    identities: file -> identity, of refq.files.shards.
    """

    path: str
    nodes: list
    tensors: dict
    inputs: list
    outputs: list
    metadata: dict
    identities: dict


def is_onnx(path):
    """Whether a path is that of an ONNX file, by its name."""
    return os.path.isfile(path) and os.fspath(path).lower().endswith(".onnx")


def open_onnx(path):
    """Open an ONNX file, and check that every tensor is where it says.

    Raises
        FormatError: missing, malformed, or with what we do not read: functions, graphs within nodes, other types.
    """
    path = os.fspath(path)
    identities = {path: _identity(path)}
    if identities[path][2] > GRAPH_BYTES:
        size = f"the graph has {identities[path][2]} bytes; at most {GRAPH_BYTES} are read"
        raise FormatError(f"{path}: {size}, and larger weights belong into a file beside it (external data)")
    model = parse_model(read_bytes(path, GRAPH_BYTES, FormatError), path)
    graph = model.get("graph")
    if graph is None or "ir_version" not in model:
        raise FormatError(f"{path}: it has no graph or no ir_version; it is not an ONNX model")
    _check_operators(model["opset_import"], path)
    tensors = {}
    for raw in graph["initializer"]:
        file, info = _tensor(raw, path, identities)
        if info.name in tensors:
            raise FormatError(f"{path}: tensor {shown(info.name)} appears twice")
        tensors[info.name] = file, info
    metadata = {pair.get("key", ""): pair.get("value", "") for pair in model["metadata_props"]}
    if len(metadata) < len(model["metadata_props"]):
        raise FormatError(f"{path}: a key of metadata_props appears twice")
    ends = ([value.get("name", "") for value in graph[side]] for side in ("input", "output"))
    return OnnxFile(path, [_node(raw, path) for raw in graph["node"]], tensors, *ends, metadata, identities)


def _check_operators(found, path):
    versions = {one.get("domain", ""): one.get("version") for one in found}
    wanted = {"": OPSET, "ai.onnx": OPSET, DOMAIN: 1}
    for domain, version in versions.items():
        if version != wanted.get(domain):
            told = f"{wanted[domain]} is read" if domain in wanted else f"only that of ONNX and {DOMAIN} are read"
            raise FormatError(f"{path}: version {version} of the operators {shown(domain)}; {told}")


def _node(raw, path):
    attributes = {}
    for one in raw["attribute"]:
        name = one.get("name", "")
        if name in attributes or ("i" in one) == bool(one["ints"]):
            raise FormatError(
                f"{path}: attribute {shown(name)} appears twice, or is neither an integer nor a list of them"
            )
        attributes[name] = one.get("i", one["ints"])
    texts = raw.get("op_type", ""), tuple(raw["input"]), tuple(raw["output"]), attributes
    return Node(*texts, "" if raw.get("domain") == "ai.onnx" else raw.get("domain", ""))


def _tensor(raw, path, identities):
    """(file, TensorInfo) of an initializer."""
    name, shape = raw.get("name", ""), tuple(raw["dims"])
    where = f"{path}: tensor {shown(name)}"
    dtype = _DTYPES.get(raw.get("data_type"))
    if dtype is None:
        raise FormatError(f"{where} has data_type {raw.get('data_type')}; {', '.join(map(str, _DTYPES))} are read")
    if len(shape) > DIMENSIONS or any(n < 0 for n in shape) or math.prod(shape) > 2**48:
        raise FormatError(f"{where} has shape {shown(shape)}; at most {DIMENSIONS} axes and 2**48 numbers are read")
    size = math.prod(shape) * DTYPES[dtype].itemsize
    external = raw.get("data_location", 0) == _EXTERNAL
    if external == ("raw_data" in raw):
        raise FormatError(f"{where} must have raw_data or an external place, one of the two")
    file, span = _external(raw["external_data"], where, path) if external else (path, raw["raw_data"])
    if file not in identities:
        try:
            identities[file] = _identity(file)
        except FormatError as error:
            raise FormatError(f"{where}: {error}") from None
    length = identities[file][2]
    if span.end - span.start != size or span.end > length:
        raise FormatError(
            f"{where} of shape {list(shape)} has {size} bytes; those at {span.start}..{span.end} of {length} in {file} "
            "are not so many, or not there"
        )
    return file, TensorInfo(name, dtype, shape, *span)


def _external(pairs, where, path):
    """(file, Span) of external data, whose file must lie beside."""
    found = {pair.get("key"): pair.get("value", "") for pair in pairs}
    if len(found) < len(pairs) or found.keys() - {"location", "offset", "length", "checksum"}:
        raise FormatError(f"{where}: external_data has the keys {shown([pair.get('key') for pair in pairs])}")
    location, offset, length = (
        found.get(key, usual) for key, usual in (("location", ""), ("offset", "0"), ("length", ""))
    )
    if not _NAME.fullmatch(location) or location in (".", ".."):
        raise FormatError(f"{where} lies in {shown(location)}; the plain name of a file beside the graph is needed")
    if not _PLACE.fullmatch(offset) or not _PLACE.fullmatch(length):
        raise FormatError(f"{where}: offset {shown(offset)} and length {shown(length)}; decimal numbers are needed")
    start = int(offset)
    return os.path.join(os.path.dirname(path), location), Span(start, start + int(length))


def _identity(file):
    descriptor = open_regular(file, FormatError)
    try:
        return identity(descriptor)
    finally:
        os.close(descriptor)
