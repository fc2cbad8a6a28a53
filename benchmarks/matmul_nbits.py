"""Random weights of few bits, for refq and for ONNX Runtime's MatMulNBits."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import refq_fast

APART = 100e6  # bytes of weights that one token meets, so that none is in a cache


def stored(side, group, symmetric, bits=4):
    """Arguments of PackedWeight: random codes, float16-exact scales, zero points 0 or random."""
    random = np.random.default_rng(0)
    q = random.integers(*refq_fast.integer_range(bits), (side, side), dtype=np.int32, endpoint=True)
    scale = random.uniform(0.01, 0.1, (side, side // group)).astype(np.float16).astype(np.float32)
    zero_point = random.integers(*((0, 1) if symmetric else (-8, 8)), scale.shape, dtype=np.int32)
    return refq_fast.pack_codes(q, bits), scale, zero_point, bits


def foreign(weight, level, threads, copies=1):
    """A function of x: its products with so many copies of a weight, each by a MatMulNBits of one session.

    The weight has 2, 4 or 8 bits; zero points only with 4. Between two calls no thread of the session is awake, which
    would hinder whoever is measured next; between two products of a call they stay so. Its threads have the cores that
    refq's have, or they would meet on one (refq_fast/cores.py).
    """
    packed, scale, zero_point, bits = weight
    out, groups = scale.shape
    size = packed.shape[1] * 8 // bits // groups
    codes = (packed ^ np.uint8({2: 0xAA, 4: 0x88, 8: 0x80}[bits])).reshape(out, groups, -1)  # code + 2**(bits - 1)
    constants = {"codes": codes, "scale": scale.reshape(-1)}
    if zero_point.any():
        constants["zeros"] = refq_fast.pack_codes(zero_point, 4).reshape(-1) ^ np.uint8(0x88)
    settings = {"K": groups * size, "N": out, "bits": bits, "block_size": size, "accuracy_level": level}
    nodes, arrays, ends = [], [], [_end("x", groups * size)]
    for copy in range(copies):
        names = [f"{name}{copy}" for name in constants]
        arrays += [
            numpy_helper.from_array(np.roll(array, copy, axis=0), name)  # no two are equal, which would be made one
            for name, array in zip(names, constants.values(), strict=True)
        ]
        nodes.append(helper.make_node("MatMulNBits", ["x", *names], [f"y{copy}"], domain="com.microsoft", **settings))
        ends.append(_end(f"y{copy}", out))
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], arrays)
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=8).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if refq_fast.cores.others():
        others = (str(core + 1) for core in refq_fast.cores.others())
        options.add_session_config_entry("session.intra_op_thread_affinities", ";".join(others))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})


def _end(name, width):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", width])
