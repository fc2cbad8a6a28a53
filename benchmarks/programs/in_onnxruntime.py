"""ONNX Runtime on the CPU: the whole graph, and each MatMulNBits alone, which gives the weight for the identity."""

import numpy as np
from answers import serve


def load(job):
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1

    def session(model):
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    model, whole = onnx.load(job["model"]), session(job["model"])
    constants = {one.name: one for one in model.graph.initializer}
    nodes = {node.name.rpartition("/")[0]: node for node in model.graph.node if node.op_type == "MatMulNBits"}
    past = {one.name: one.shape for one in whole.get_inputs() if one.name.startswith("past")}

    def weight(layer):
        node, columns = nodes[layer], job["columns"][layer]
        ends = [onnx.helper.make_tensor_value_info(name, 1, None) for name in (node.input[0], node.output[0])]
        inside = [constants[name] for name in node.input[1:] if name]
        graph = onnx.helper.make_graph([node], "layer", ends[:1], ends[1:], inside)
        alone = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        x = {node.input[0]: np.eye(columns, dtype=np.float32)}
        return session(alone.SerializeToString()).run(None, x)[0].T

    def logits(windows):
        B, T = windows.shape
        feeds = {"input_ids": windows.astype(np.int64), "attention_mask": np.ones((B, T), np.int64)}
        feeds["position_ids"] = np.broadcast_to(np.arange(T), (B, T))
        feeds |= {name: np.zeros((B, heads, 0, width), np.float32) for name, (_, heads, _, width) in past.items()}
        return whole.run(["logits"], feeds)[0]

    how = {attribute.name: attribute.i for node in nodes.values() for attribute in node.attribute}
    return f"MatMulNBits, accuracy_level {how.get('accuracy_level', 0)}" if nodes else "MatMul", weight, logits


if __name__ == "__main__":
    serve(["onnxruntime", "onnx"], load)
