"""An ONNX file as a checkpoint: its graph must be the one that we would write, and its weights are read lazily."""

import numpy as np

from refq.errors import FormatError
from refq.files.checkpoint import llama_tensors
from refq.files.onnx import open_onnx
from refq.files.onnx_graph import llama_graph
from refq.files.onnx_model import check_graph, is_transposed, onnx_checkpoint, onnx_schemes, read_onnx_config
from refq.jobs.inspect import float_rows
from refq.jobs.plan import row_chunks
from refq.jobs.stored_grid import read_grid
from refq.ops.rope import rope_frequencies


def open_model(path, engine, schemes=None):
    """Checkpoint of an ONNX file, whose linear float layers are stored turned around, and its metadata.

    Parameters
        path: the file.
        engine: refq or refq_fast.
        schemes: layer name -> Nbits, if they are known; None to find them: where all blocks of every row of a layer
            have one scale and zero point, it has them a row.
    Raises
        FileError: a malformed file, or another graph than refq export writes.
    """
    file = open_onnx(path)
    config = read_onnx_config(file)
    found = onnx_schemes(file, config)
    graph = graph_of(config, found)
    check_graph(file, graph)
    checkpoint = onnx_checkpoint(file, config, schemes or found, graph.constants)
    for layer, scheme in found.items() if schemes is None else ():
        shape = llama_tensors(config)[f"{layer}.weight"]
        checkpoint.schemes[layer] = _with_groups(checkpoint, layer, shape, scheme, engine)
    return checkpoint, file.metadata


def graph_of(config, schemes):
    """Graph of a LLaMA with these quantized layers."""
    frequencies = rope_frequencies(config["head_dim"], config["rope_theta"], config["rope_scaling"])
    return llama_graph(config, frequencies, schemes)


def turned_rows(checkpoint, name, shape, engine):
    """float_rows of a tensor between a directory and an ONNX file, which stores the weights of linear layers (K, N).

    Parameters
        shape: of the tensor in `checkpoint`.
    """
    if not is_transposed(name):
        yield from float_rows(checkpoint, name, shape, engine)
        return
    whole, start = np.empty(shape, np.float32), 0
    for rows in float_rows(checkpoint, name, shape, engine):
        whole[start : start + len(rows)] = rows
        start += len(rows)
    for start, stop in row_chunks(shape[::-1]):
        yield np.ascontiguousarray(whole[:, start:stop].T)


def _with_groups(checkpoint, layer, shape, scheme, engine):
    grid = read_grid(checkpoint, layer, shape, engine)
    if all((part == part[:, :1]).all() for part in (grid.scale, grid.zero_point)):
        return scheme._replace(group_size=None)
    if shape[1] % scheme.block_size:
        raise FormatError(
            f"{checkpoint.directory}: layer {layer}: {shape[1]} inputs are no whole blocks of {scheme.block_size}, "
            "and the blocks of a row have several scales; groups of one size are needed"
        )
    return scheme
