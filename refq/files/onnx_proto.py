"""A graph to the bytes of an ONNX file whose weights lie in a file beside it. Needs the package onnx."""

from refq import __version__
from refq.errors import UsageError
from refq.files.onnx_graph import DOMAIN, INPUTS, OPSET

_IR = 8  # of the version of ONNX that brought OPSET: what an older runtime reads too
_DTYPES = {"F32": 1, "U8": 2}
_FLOAT, _INT64 = 1, 7


def onnx_package():
    """The package onnx.

    Raises
        UsageError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        text = f"an ONNX file needs the package onnx, and {error.name} cannot be imported"
        raise UsageError(f"{text}; pip install 'refq[onnx]' brings it") from None
    return onnx


def onnx_bytes(graph, weights, location, metadata):
    """The bytes of an ONNX file.

    Parameters
        graph: Graph.
        weights: list of (name, dtype as "F32", shape, start, end), where they lie in the file beside.
        location: the name of that file.
        metadata: str -> str.
    """
    helper, make = onnx_package().helper, onnx_package().helper.make_tensor_value_info
    nodes = [
        helper.make_node(one.op, one.inputs, one.outputs, one.outputs[0], domain=one.domain, **one.attributes)
        for one in graph.nodes
    ]
    inputs = [make(name, _INT64, axes) for name, axes in INPUTS.items()]
    inputs += [make(name, _FLOAT, axes) for name, axes in graph.past.items()]
    outputs = [make(name, _FLOAT, axes) for name, axes in graph.outputs.items()]
    tensors = [onnx_package().numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    tensors += [_external(location, *weight) for weight in weights]
    domains = {"": OPSET} | ({DOMAIN: 1} if any(one.domain for one in graph.nodes) else {})
    model = helper.make_model(
        helper.make_graph(nodes, "llama", inputs, outputs, tensors),
        producer_name="refq",
        producer_version=__version__,
        ir_version=_IR,
        opset_imports=[helper.make_opsetid(*entry) for entry in domains.items()],
    )
    helper.set_model_props(model, metadata)
    return model.SerializeToString(deterministic=True)


def _external(location, name, dtype, shape, start, end):
    onnx = onnx_package()
    tensor = onnx.TensorProto(name=name, data_type=_DTYPES[dtype], dims=shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(start)), ("length", str(end - start))):
        tensor.external_data.add(key=key, value=value)
    return tensor
