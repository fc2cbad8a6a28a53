"""What the teacher says of a batch: computed online, or read from a cache on disk so that it runs once a window."""

import os
import weakref
import zlib

import numpy as np

from refq.errors import CheckpointError, NonFiniteError
from refq.files.safetensors import header_bytes, plan_offsets, read_header
from refq.jobs import output
from refq.jobs.journal import canonical, fingerprint
from refq.training.trace import scores, states, traced

CACHED = {"kl", "ce", "reverse_kl", "js", "top_k_kl", "logit_mse", "logit_cosine"}  # what logits are enough for


def taught(engine, teacher, tokens, recipe, top_k=0):
    """What the losses of a recipe ask for, computed.

    Parameters
        teacher: (config, params).
        tokens: int (B, T).
        top_k: how many logits of each position "top_k_kl" is given.
    Returns
        dict: a part of the batch that kd_step takes.
    """
    config, weights = teacher
    losses = set(recipe["losses"])
    if losses == {"ce"}:
        return {}
    ops, trace = traced(engine)
    logits = engine.llama_forward(weights, tokens, config, ops)
    found = {} if losses <= {"ce", "top_k_kl"} else {"teacher_logits": logits}
    if "top_k_kl" in losses:
        found |= _named(engine.top_k_log_probs(logits, top_k, recipe["temperature"]))
    if "hidden" in losses:
        found["teacher_hidden"] = states(trace)
    if "attention" in losses:
        found["teacher_attention"] = scores(trace, engine)
    return found


class Cache:
    """Logits of every window of a text in float16, or the largest of them, in a safetensors file that fills with use.

    A window counts as there if its checksum is right, so a process may be killed at any time.
    """

    def __init__(self, directory, identity, shape, top_k):
        """Open the cache of one teacher, text, context and temperature in a directory, or begin it.

        Parameters
            directory: made if it is not there.
            identity: dict: what the values are a function of.
            shape: (windows, context, vocabulary).
            top_k: logits to keep of each position; 0 for all.
        Raises
            CheckpointError: a file of that name that is no such cache.
        """
        windows, context, vocabulary = shape
        self.kept, self.rows = top_k or vocabulary, context
        identity = identity | {"top_k": top_k, "windows": windows, "context": context}
        entries = [("crc32", "U32", (windows,)), ("values", "F16", (windows, context, self.kept))]
        if top_k:
            entries.append(("indices", "I32", (windows, context, top_k)))
        header = header_bytes(entries, {"refq": canonical(identity)})
        self.path = os.path.join(directory, f"teacher-{fingerprint(identity)[:16]}.safetensors")
        self.size = len(header) + plan_offsets(entries)[-1][1]
        if not os.path.exists(self.path):
            with output.disk_errors(self.path, self.size):
                os.makedirs(directory, exist_ok=True)
                self._begin(header, windows)
        found = read_header(self.path)
        if [(info.name, info.dtype, info.shape) for info in found.tensors.values()] != entries:
            raise CheckpointError(f"{self.path}: it is not the cache of this teacher and text; remove it")
        with open(self.path, "r+b") as file:  # once: another run may put another file in its place
            self.crc, self.values, *rest = (_mapped(file, info) for info in found.tensors.values())
            self.file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.file)
        self.indices = rest[0] if rest else None

    def taught(self, numbers, compute):
        """What the teacher says of the windows `numbers`.

        Parameters
            numbers: int (B,).
            compute: function of a place in `numbers` that gives `taught` of that window alone: what is kept must not
                depend on the batch that first asked for it.
        Returns
            dict, as `taught` gives it, with values as float16 holds them.
        """
        for at, number in enumerate(numbers):
            if self.crc[number] == 0 or self.crc[number] != self._checksum(number):
                self._fill(number, compute(at))
        values = self.values[numbers].astype(np.float32)
        return {"teacher_logits": values} if self.indices is None else _named((values, self.indices[numbers]))

    def _fill(self, number, found):
        values = found["teacher_logits" if self.indices is None else "teacher_log_probs"]
        with np.errstate(over="ignore"):
            rounded = values.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise NonFiniteError("a logit of the teacher is too large for the float16 of the cache; train without it")
        self._put(self.values, number, rounded[0])
        if self.indices is not None:
            self._put(self.indices, number, found["teacher_indices"][0])
        self._put(self.crc, number, self._checksum(number))

    def _put(self, mapped, number, part):
        """Written, not stored through the map: on a full disk that would end the process without a word."""
        part = np.ascontiguousarray(part, mapped.dtype).reshape(-1).view(np.uint8)
        with output.disk_errors(self.path, self.size):
            output.write(self.file, part, mapped.offset + int(number) * part.nbytes)

    def _checksum(self, number):
        crc = zlib.crc32(np.ascontiguousarray(self.values[number]))
        return crc if self.indices is None else zlib.crc32(np.ascontiguousarray(self.indices[number]), crc)

    def _begin(self, header, windows):
        new = f"{self.path}.{os.getpid()}"  # two runs may begin one cache at once; either file will do
        with open(new, "wb") as file:
            file.write(header + bytes(4 * windows))  # the checksums: reading a hole may need room as well
            file.truncate(self.size)
        os.replace(new, self.path)


def cache_size(shape, top_k, asked):
    """Bytes of disk that a cache of this shape takes, roughly, once `asked` windows or all have been asked for."""
    windows, context, vocabulary = shape
    return 2**10 + 4 * windows + min(asked, windows) * context * (6 * top_k or 2 * vocabulary)


def _mapped(file, info):
    kind = {"U32": np.uint32, "F16": np.float16, "I32": np.int32}[info.dtype]
    return np.memmap(file, kind, "r", info.start, info.shape)


def _named(pair):
    return {"teacher_log_probs": pair[0], "teacher_indices": pair[1]}
