"""A tiny LLaMA in refq-reassembled, with everything that the format knows, and the same model put together by hand."""

import dataclasses
import os

import numpy as np
from safetensors.numpy import load_file

import refq
from refq.files.checkpoint import open_checkpoint
from refq.files.compressed_tensors import Scheme
from refq.files.input_activations import Inputs
from refq.files.reassembled import Attention, Outliers, Reassembled, Rotated
from refq.jobs.beside import write_small_files
from refq.jobs.inputs import check_inputs
from refq.jobs.layer import Source
from refq.jobs.plan import Options, plan_files
from refq.jobs.quantize import run_record
from refq.jobs.room import begin
from refq.jobs.shards import plan_shards, write_shards
from refq.jobs.trained import Trained
from refq.training.activations import QuantizedInput, quantized_attention, quantized_inputs
from refq.transforms.inputs import MixedWeight, ReassembledInput, RotatedInput, rotated_queries, transformed_inputs
from tests.app.commands import decode
from tests.app.tiny import CONFIG, write_model

FILE = "refq-reassembled.safetensors"
BITS = 4
THRESHOLD = 2.5
ATTENTION = Attention(4, True)
WIDE = refq.assemble(np.r_[3, 2, np.ones(62, np.int32)], np.arange(67))  # channels 0 and 1 in parts, none is merged
_INTO = np.arange(67)
_INTO[[66, 65, 64]] = 40, 41, 41  # three are merged into others
SAME = refq.assemble(np.r_[3, 2, np.ones(62, np.int32)], _INTO)  # as many channels as before
FORMS = dict.fromkeys(("q_proj", "k_proj", "v_proj"), WIDE) | dict.fromkeys(("gate_proj", "up_proj"), SAME)
STRIDES = {"o_proj": CONFIG["head_dim"], "down_proj": 1}


def transform_of(layer):
    """Block 0 is reassembled, block 1 has outliers; outputs of attention and hidden channels are rotated in both."""
    kind = layer.rpartition(".")[2]
    if kind in STRIDES:
        return Rotated(STRIDES[kind])
    return Outliers(THRESHOLD) if ".1." in layer else Reassembled(*map(len, FORMS[kind][:2]))


def scheme_of(layer):
    transform = transform_of(layer)
    if isinstance(transform, Outliers):
        return Scheme(8, True, "channel", None, None, transform)
    return Scheme(BITS, False, "channel", None, Inputs(BITS, "token"), transform)


def write_altered(directory, engine=refq):
    """Write `directory`/float and `directory`/altered; the second with the functions that jobs have for it."""
    write_model(directory / "float")
    checkpoint = open_checkpoint(directory / "float")
    names = [name.removesuffix(".weight") for name in checkpoint.tensors if name.endswith("_proj.weight")]
    schemes = {name: scheme_of(name) for name in names}
    arrays, grids, forms = {name: checkpoint.read(name) for name in checkpoint.tensors}, {}, {}
    for name, scheme in schemes.items():
        w = arrays[f"{name}.weight"]
        if isinstance(scheme.transform, Reassembled):
            forms[name] = FORMS[name.rpartition(".")[2]]
            arrays[f"{name}.weight"] = refq.reassemble_weight(w, forms[name])
        if isinstance(scheme.transform, Outliers):
            scale = np.abs(w).max(axis=1).reshape(-1, 1, 1) / np.float32(127)
            grids[name] = scale, np.zeros(scale.shape, np.int32)
    known = {field.name: getattr(checkpoint, field.name) for field in dataclasses.fields(checkpoint)}
    student = Trained(**known, arrays=arrays, grids=grids, inputs={})
    digests, _ = check_inputs(checkpoint)
    record = run_record(Options(BITS, "channel", False), digests)
    shards = plan_shards(plan_files(checkpoint, schemes, ATTENTION), record)
    room = os.fspath(directory / "room")
    os.makedirs(room)
    done = begin(room, record, False)
    source = Source(student, engine, Options(BITS, "channel", False), grids, reassemblies=forms)
    write_shards(room, shards, source, record, done)
    write_small_files(checkpoint, schemes, shards, os.path.join(room, "model"), digests, ATTENTION)
    os.rename(os.path.join(room, "model"), directory / "altered")


def by_hand(directory, engine=refq, activations=True, dtype=np.float32):
    """(params, ops) of the written model, of its tensors alone; in float64 weights are arrays."""
    stored, params = load_file(directory / FILE), {}
    for name in [name.removesuffix(".weight_packed") for name in stored if name.endswith(".weight_packed")]:
        transform, kind = transform_of(name), name.rpartition(".")[2]
        q, scale, zero_point = decode({part: stored.get(f"{name}.weight_{part}") for part in PARTS}, scheme_of(name))
        if isinstance(transform, Outliers) and activations:
            params[f"{name}.weight"] = MixedWeight(q.astype(np.int8), scale.astype(dtype), THRESHOLD)
            continue
        weight = ((q - zero_point) * scale).astype(dtype)
        if dtype == np.float32:
            packed = engine.pack_codes(q.astype(np.int32), scheme_of(name).bits)
            weight = engine.PackedWeight(packed, scale, zero_point.astype(np.int32), scheme_of(name).bits)
        if not isinstance(transform, Outliers):
            weight = QuantizedInput(weight, BITS) if activations else weight
            form = STRIDES.get(kind) or FORMS[kind]
            weight = (RotatedInput if kind in STRIDES else ReassembledInput)(weight, form)
        params[f"{name}.weight"] = weight
    params |= {name: value.astype(dtype) for name, value in stored.items() if name.endswith(".weight")}
    attention = quantized_attention(engine, ATTENTION.attention_activations if activations else None)
    return params, transformed_inputs(quantized_inputs(rotated_queries(attention)))


PARTS = ("packed", "scale", "shape", "zero_point")
