"""What each tensor of a GGUF file will be, known before anything is read or written."""

from typing import NamedTuple

from refq.errors import UsageError
from refq.files.checkpoint import llama_tensors
from refq.files.codebook import Codebooks
from refq.files.gguf_model import FACTORS, gguf_name
from refq.files.gguf_types import TENSOR_TYPES
from refq.jobs.gguf import FLOATS
from refq.jobs.gguf_grid import fault
from refq.jobs.stored_grid import read_grid

TYPES = ("f32", "f16", "q4_0", "q4_1", "q5_0", "q8_0", "q4_k", "q6_k")
# what llama.cpp takes where a row holds no whole blocks
_FALLBACKS = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}


class Planned(NamedTuple):
    """One tensor: its Hugging Face name (None: rotary factors), its name, type and shape there, whether it was meant
    to have another type, and whether it is a quantized layer that keeps its codes."""

    source: str | None
    name: str
    kind: str
    shape: tuple
    fallback: bool
    kept: bool

    @property
    def layer(self):
        return (self.source or "").removesuffix(".weight")


def plan_gguf(checkpoint, kind, engine, requantize):
    """Every tensor of the file, in the order of the model.

    Linear layers of the blocks take the type that is asked for, or what llama.cpp falls back to where their rows hold
    no whole blocks: Q5_0 for Q4_K, Q8_0 for Q6_K, then F16. Norms and biases are F32; the embedding and the head stay
    as they are, unless all is to be F32 or F16.

    Parameters
        checkpoint: see open_checkpoint.
        kind: one of TYPES.
        engine: refq or refq_fast.
        requantize: bool; a quantized layer whose grid its type does not hold is rounded once more.
    Returns
        list of Planned.
    Raises
        UsageError: an unknown type, or a quantized layer whose grid its type does not hold.
    """
    if kind not in TYPES:
        raise UsageError(f"type {kind!r}; one of {', '.join(TYPES)} is written")
    plan, config = [], checkpoint.config
    for name, shape in llama_tensors(config).items():
        chosen, fallback = "F32", False
        if name.endswith("_proj.weight"):
            chosen = fitting(kind.upper(), shape[1])
            fallback = chosen != kind.upper()
        elif len(shape) == 2:
            chosen = kind.upper() if kind.upper() in FLOATS else _embedding(checkpoint)
        one = Planned(name, gguf_name(name), chosen, shape, fallback, False)
        plan.append(one._replace(kept=_is_kept(checkpoint, one, engine, requantize)))
    if config["rope_scaling"]:
        plan.append(Planned(None, FACTORS, "F32", (config["head_dim"] // 2,), False, False))
    return plan


def fitting(kind, columns):
    """The type itself, or the first fallback of which a row holds whole blocks.

    >>> [fitting("Q4_K", columns) for columns in (512, 64, 172)]
    ['Q4_K', 'Q5_0', 'F16']
    """
    while columns % TENSOR_TYPES[kind].block:
        kind = _FALLBACKS.get(kind, "F16")
    return kind


def _embedding(checkpoint):
    """The type of the embedding and the head; F32 where their numbers are made of codes."""
    found = checkpoint.tensors.get("model.embed_tokens.weight")
    return found[1].dtype if found else "F32"


def _is_kept(checkpoint, one, engine, requantize):
    if one.layer not in checkpoint.schemes or not one.source.endswith(".weight") or one.kind in (*FLOATS, "BF16"):
        return False
    if isinstance(checkpoint.schemes[one.layer], Codebooks):
        found = f"it has codebooks, which {one.kind} does not hold"
    else:
        found = fault(read_grid(checkpoint, one.layer, one.shape, engine), one.kind)
    if found and not requantize:
        remedy = "--requantize rounds it anew, and prints the error"
        raise UsageError(f"{checkpoint.directory}: layer {one.layer}: {found}; {remedy}")
    return found is None
