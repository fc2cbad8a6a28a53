"""The weights of a LLaMA as rows of a table for `decoder_products`."""

from typing import NamedTuple

import numpy as np

from refq.training.activations import QuantizedInput
from refq_fast import integers
from refq_fast.decoder_products import BYTES, CODES, COLUMNS, REAL, TILES
from refq_fast.grids.pack import unpack_codes
from refq_fast.packed_weight import PackedWeight
from refq_fast.simd import LANES

GROUPS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("self_attn.o_proj",)
GROUPS += ("mlp.gate_proj", "mlp.up_proj"), ("mlp.down_proj",)  # each shares an input


class Table(NamedTuple):
    """What `products` reads of the weights of a model.

    rows: int64 (7 a layer and the head's, COLUMNS).
    biases: of all weights, one after the other.
    sizes: forms of an input, its numbers and groups, and numbers of the results that share it: the most of each.
    held: the arrays whose addresses stand in the rows.
    """

    rows: np.ndarray
    biases: np.ndarray
    sizes: tuple
    held: list


def table_of(params, config, head):
    """The Table of a model that llama_forward takes, whose head is called so; None where a weight is of no kind."""
    names = [
        [f"model.layers.{n}.{name}" for name in group] for n in range(config["num_hidden_layers"]) for group in GROUPS
    ]
    rows, biases, held = [], [np.zeros(1, np.float32)], []
    room, widths = 0, {"o_proj": config["num_attention_heads"] * config["head_dim"]}
    for group in [*names, [head]]:
        forms, place = [], 0
        for name in group:
            width = widths.get(name.rpartition(".")[2], params["model.norm.weight"].size)
            bias = params.get(f"{name}.bias") if group != [head] else None
            found = _described(params[f"{name}.weight"], width)
            if found is None or getattr(bias, "dtype", np.float32) != np.float32:
                return None
            row, arrays = found
            form = row["kind"], row["width"], row["groups"], row["input_bits"]
            forms += [] if form in forms else [form]
            row |= {"slot": forms.index(form), "place": place, "bias": -1 if bias is None else sum(map(len, biases))}
            biases += [] if bias is None else [bias]
            place += whole(row["out"])
            widths["down_proj"] = row["out"]  # of gate and up before it
            rows.append(row)
            held.append(arrays)
        room = max(room, place * (group != [head]))
    most = {key: max(row[key] for row in rows) for key in ("slot", "width", "groups")}
    sizes = most["slot"] + 1, whole(most["width"]), most["groups"], room
    return Table(np.array([[row[key] for key in COLUMNS] for row in rows]), np.concatenate(biases), sizes, held)


def room_of(sizes):
    """What `prepare` makes of an input: floats, words, sums, steps and zeros, a row for each slot."""
    slots, width, groups, _ = sizes
    floats, words = np.empty((slots, width), np.float32), np.empty((slots, width // 2), np.int32)
    return floats, words, np.empty((slots, groups), np.int32), np.empty(slots, np.float32), np.empty(slots, np.int32)


def whole(width):
    """A width in whole vectors."""
    return -(-width // LANES) * LANES


def _described(weight, length):
    """A row of the table for a weight (out, length), and the arrays it points at; None for another kind."""
    bits = 0
    if isinstance(weight, QuantizedInput):
        weight, bits, scale, _ = weight
        if scale is not None:
            return None
    if isinstance(weight, PackedWeight) and weight.dtype == np.float32:
        return _packed(weight, length, bits)
    if type(weight) is not np.ndarray or weight.dtype != np.float32:
        return None
    w = np.ascontiguousarray(weight)
    return _row(REAL, bits, w.shape, (length, 1), (w, w, w))


def _packed(weight, length, bits):
    fast = weight.fast
    whole = bits and (integers.of(fast, length) if fast else integers.weight(*weight.stored, length))
    if whole and integers.exact(whole, bits):
        arrays = whole.codes, whole.scale, whole.zero_point.astype(np.int16)
        width = whole.codes.shape[1] // LANES * 32 // whole.bits
        return _row(CODES, bits, (whole.out, length), (width, weight.groups), arrays, whole.bits)
    if fast is None:
        packed, scale, zero_point, stored_bits = weight.stored
        codes = packed.view(np.int8) if stored_bits == 8 else unpack_codes(packed, stored_bits, length)
        arrays = codes.astype(np.int8, copy=False), scale, zero_point.astype(np.float32)
        return _row(BYTES, bits, codes.shape, (length, weight.groups), arrays)
    width = fast.codes.shape[1] // LANES * 8
    return _row(TILES, bits, (fast.out, length), (width, weight.groups), fast[1:])


def _row(kind, input_bits, shape, inputs, arrays, bits=4):
    (out, length), (width, groups), (codes, scale, zero_point) = shape, inputs, arrays
    row = {"kind": kind, "out": out, "length": length, "width": width, "groups": groups, "input_bits": input_bits}
    row |= {"bits": bits, "half": int(scale.dtype == np.uint16), "zeros": len(zero_point)}
    row |= {"codes": codes.ctypes.data, "scale": scale.ctypes.data, "zero_point": zero_point.ctypes.data}
    return row, arrays
