"""A LLaMA in the arrays of `decoder_step`, and the keys and values of what it has read."""

import numba
import numpy as np

from refq_fast.decoder_cache import put_all
from refq_fast.decoder_crew import FAILED, SIZE, THREADS
from refq_fast.decoder_products import LENGTH, OUT
from refq_fast.decoder_step import step, together
from refq_fast.decoder_table import room_of, whole
from refq_fast.simd import LANES

NORMS = "input_layernorm", "post_attention_layernorm"
ALONE = 2**21  # codes of all weights below which calling threads together costs more than they save
FIRST = 256  # positions that there is room for at first; then twice as many, again and again


class State:
    """One call of `feed` a token.

    Parameters
        params, config: of a model that llama_forward takes, all float32.
        table: decoder_table.Table of it.
        kind: dtype of the cache, float32, or int8 for codes.
        frequencies: float64 (head_dim / 2,), of rope.
    """

    def __init__(self, params, config, table, kind, frequencies):
        self.table, self.kind, self.frequencies, self.length = table, kind, frequencies, 0
        self.shape = tuple(config[key] for key in ("num_hidden_layers", "num_key_value_heads", "head_dim"))
        names = [f"layers.{n}.{name}" for n in range(self.shape[0]) for name in NORMS]
        norms = np.stack([params[f"model.{name}.weight"] for name in (*names, "norm")])
        self.weights = np.ascontiguousarray(params["model.embed_tokens.weight"]), norms, table.biases
        self.eps, self.out = np.float32(config["rms_norm_eps"]), int(table.rows[-1, OUT])
        self.few = (table.rows[:, OUT] * table.rows[:, LENGTH]).sum() < ALONE
        heads = table.rows[0, OUT] // self.shape[2] if self.shape[0] else 0
        self.room, lengths = room_of(table.sizes), (heads * whole(self.shape[2]), table.sizes[3], table.sizes[1])
        self.rows, self.crew = tuple(np.zeros(n, np.float32) for n in lengths), np.zeros(SIZE, np.int64)
        self.cache, self.angles = self._cache(0), np.empty((0, 2, len(frequencies)), np.float32)

    def feed(self, token):
        """Logits (V,) after one more token."""
        self._make_room(self.length + 1)
        y, threads = np.empty(whole(self.out), np.float32), 1 if self.few else numba.get_num_threads()
        self.crew[:], self.crew[THREADS] = 0, threads
        at, rows, angles = (token, self.length), (*self.rows, y), self.angles[self.length]
        run = step if threads == 1 else together
        run(at, self.eps, self.weights, self.table.rows, self.room, rows, angles, self.cache, self.crew)
        if self.crew[FAILED]:
            raise MemoryError(f"no memory for what a token at position {self.length} needs")
        self.length += 1
        return y[: self.out]

    def take(self, cache):
        """Go on from where llama_decode came, whose cache holds all that this one does."""
        first, length = self.length, cache[0][0].shape[2]
        self._make_room(length)
        for layer, (k, v) in enumerate(cache):
            put_all(k[0, :, first:], v[0, :, first:], first, tuple(part[layer] for part in self.cache))
        self.length = length

    def given(self):
        """The cache as llama_decode takes it."""
        keys, values, *scales = self.cache
        both = keys.swapaxes(3, 4).reshape(values.shape), values
        layers = zip(*(x * scale[..., None] for x, scale in zip(both, scales, strict=True)), strict=True)
        return [tuple(x[None, :, : self.length, : self.shape[2]] for x in pair) for pair in layers]

    def _make_room(self, positions):
        capacity = len(self.angles)
        if positions <= capacity:
            return
        while capacity < positions:
            capacity = max(FIRST, 2 * capacity)
        old, self.cache = self.cache, self._cache(capacity)
        for part, before in zip(self.cache, old, strict=True):
            part[:, :, : before.shape[2]] = before
        angles = np.arange(capacity)[:, None] * self.frequencies
        self.angles = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def _cache(self, positions):
        """With an axis of layers in front."""
        layers, K, d = self.shape
        keys, values = (layers, K, positions // LANES, whole(d), LANES), (layers, K, positions, whole(d))
        scales = (np.zeros(keys[:2] + (positions,), np.float32) for _ in range(2))
        return np.zeros(keys, self.kind), np.zeros(values, self.kind), *scales
