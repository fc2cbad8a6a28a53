"""What each tensor of a GGUF file will be, known before anything is read or written."""

from typing import NamedTuple

from refq.errors import UsageError
from refq.files.gguf_model import FACTORS, gguf_name
from refq.files.gguf_types import TENSOR_TYPES, byte_count

TYPES = ("f32", "f16", "q4_0", "q4_1", "q8_0", "q4_k", "q6_k")
# what llama.cpp takes where a row holds no whole blocks
_FALLBACKS = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}


class Planned(NamedTuple):
    """One tensor: its Hugging Face name (None: rotary factors), its name, type and shape there, and whether it was
    meant to have another type."""

    source: str | None
    name: str
    kind: str
    shape: tuple
    fallback: bool

    @property
    def size(self):
        return byte_count(self.kind, self.shape)


def plan_gguf(shapes, kind, config, floats):
    """Every tensor of the file, in the order of the model.

    Linear layers of the blocks take the type that is asked for, or what llama.cpp falls back to where their rows hold
    no whole blocks: Q5_0 for Q4_K, Q8_0 for Q6_K, then F16. Norms and biases are F32; the embedding and the head stay
    as they are, unless all is to be F32 or F16.

    Parameters
        shapes: Hugging Face name -> shape.
        kind: one of TYPES.
        config: see read_config.
        floats: the type of the embedding and the head: "F32", "F16" or "BF16".
    Returns
        list of Planned.
    """
    if kind not in TYPES:
        raise UsageError(f"type {kind!r}; one of {', '.join(TYPES)} is written")
    asked, plan = kind.upper(), []
    for name, shape in shapes.items():
        chosen = "F32"
        if name.endswith("_proj.weight"):
            chosen = _fitting(asked, shape[1])
        elif len(shape) == 2:
            chosen = asked if asked in ("F32", "F16") else floats
        fallback = name.endswith("_proj.weight") and chosen != asked
        plan.append(Planned(name, gguf_name(name), chosen, shape, fallback))
    if config["rope_scaling"]:
        plan.append(Planned(None, FACTORS, "F32", (config["head_dim"] // 2,), False))
    return plan


def _fitting(kind, columns):
    """The type itself, or the first fallback of which a row holds whole blocks.

    >>> [_fitting("Q4_K", columns) for columns in (512, 64, 172)]
    ['Q4_K', 'Q5_0', 'F16']
    """
    while columns % TENSOR_TYPES[kind].block:
        kind = _FALLBACKS.get(kind, "F16")
    return kind
