"""Twin of refq.models.decoder: one compiled call a token."""

import numpy as np

import refq_fast
from refq.models import decoder
from refq.ops.arguments import indices
from refq.ops.namespace import Replaced
from refq_fast.decoder_state import State
from refq_fast.decoder_table import table_of

FEW = 4  # tokens that are fed one by one


class LlamaDecoder:
    """Twin of refq.models.decoder.LlamaDecoder.

    Tokens that come alone take one compiled call each, which keeps keys and values where there is room for the next,
    if weights are float32, arrays or PackedWeight, perhaps in a QuantizedInput with a grid a token. Whatever else there
    is, and the first tokens and any prompt, takes the page of llama_decode.
    """

    def __init__(self, params, config, ops=None, cache_bits=None):
        self.page = decoder.LlamaDecoder(params, config, ops or refq_fast, cache_bits)
        self.possible, self.state = _replaces_linear_alone(ops), None
        self.kind = np.float32 if cache_bits is None else np.int8

    def feed(self, tokens):
        """As that of refq."""
        tokens = decoder.check_tokens(tokens)
        if len(tokens) > FEW or not self._compiled():
            if self.state and self.page.cache is None:
                self.page.cache = self.state.given()
            return self.page.feed(tokens)
        if self.page.cache is not None:
            self.state.take(self.page.cache)
            self.page.cache = None
        for token in indices("tokens", tokens, len(self.page.params["model.embed_tokens.weight"])).tolist():
            logits = self.state.feed(token)
        return logits

    def _compiled(self):
        """Whether there is a State, which is made once the page saw some tokens, and refused what does not fit."""
        if self.possible and self.state is None and self.page.cache:
            params, config = self.page.params, self.page.config
            head = "lm_head" if "lm_head.weight" in params else "model.embed_tokens"
            table = table_of(params, config, head)
            if table:
                scaling = config["rope_scaling"]
                frequencies = refq_fast.rope_frequencies(config["head_dim"], config["rope_theta"], scaling)
                self.state = State(params, config, table, self.kind, frequencies)
            self.possible = table is not None
        return self.state is not None


def _replaces_linear_alone(ops):
    """Whether the operations are those of this package, but for what they make of weights of other kinds."""
    while isinstance(ops, Replaced):
        if vars(ops).keys() - {"ops", "linear"}:
            return False
        ops = ops.ops
    return ops in (None, refq_fast)
