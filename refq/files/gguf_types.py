"""The numbers by which a GGUF file names its types."""

from typing import NamedTuple


class TensorType(NamedTuple):
    """number: in the file; block: values that are packed together; size: bytes of them."""

    number: int
    block: int
    size: int


TENSOR_TYPES = {
    "F32": TensorType(0, 1, 4),
    "F16": TensorType(1, 1, 2),
    "Q4_0": TensorType(2, 32, 18),
    "Q4_1": TensorType(3, 32, 20),
    "Q5_0": TensorType(6, 32, 22),
    "Q5_1": TensorType(7, 32, 24),
    "Q8_0": TensorType(8, 32, 34),
    "Q2_K": TensorType(10, 256, 84),
    "Q3_K": TensorType(11, 256, 110),
    "Q4_K": TensorType(12, 256, 144),
    "Q5_K": TensorType(13, 256, 176),
    "Q6_K": TensorType(14, 256, 210),
    "IQ4_NL": TensorType(20, 32, 18),
    "IQ4_XS": TensorType(23, 256, 136),
    "BF16": TensorType(30, 1, 2),
    "MXFP4": TensorType(39, 32, 17),
}
UNREAD = {15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S"}
UNREAD |= {24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0"}
# of a value: its number, and as struct packs it; strings and arrays have forms of their own
SCALARS = {"u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i")}
SCALARS |= {"f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d")}
STRING, ARRAY = 8, 9
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q4_K": 14, "Q6_K": 18}
FILE_TYPES |= {"Q2_K": 10, "Q3_K": 11, "Q5_K": 16, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32, "MXFP4": 38}


class Value(NamedTuple):
    """A value of the metadata. kind: a key of SCALARS or "str"; in brackets, as "[u32]", for an array of it."""

    kind: str
    value: object


def byte_count(kind, shape):
    """Bytes of a tensor.

    >>> byte_count("Q4_0", (2, 64))
    72
    """
    count = 1
    for n in shape:
        count *= n
    return count // TENSOR_TYPES[kind].block * TENSOR_TYPES[kind].size


def padded(position, alignment):
    """The next multiple of `alignment`."""
    return -(-position // alignment) * alignment
