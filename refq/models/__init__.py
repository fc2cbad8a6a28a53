"""One forward page a model."""

from refq.models.bert import bert_forward
from refq.models.decoder import LlamaDecoder as LlamaDecoder
from refq.models.llama import llama_decode, llama_forward

__all__ = [
    "llama_forward",
    "llama_decode",
    "bert_forward",
]
