"""A training text as one stream of tokens, and the batches that are cut from it: a function of text, seed and step."""

import hashlib
from typing import NamedTuple

import numpy as np

from refq.errors import UsageError
from refq.files.tokenizer import open_tokenizer
from refq.jobs.text import read_documents


class Texts(NamedTuple):
    """Texts as they were read, before they are cut into tokens.

    paths: of the text to train on, and of the one to validate on, or None.
    documents: of the first.
    held_out: those of the second, or None.
    digests: sha256 of both files, in hex.
    tokenizer: see open_tokenizer.
    """

    paths: tuple
    documents: list
    held_out: list | None
    digests: dict
    tokenizer: object


def open_texts(checkpoint, paths):
    """Read a text to train on, and perhaps one to validate on.

    Parameters
        checkpoint: of the model whose tokenizer will cut them.
        paths: (path, path or None) of files, see refq.jobs.text.
    Returns
        Texts.
    Raises
        FileError: not UTF-8, or without a document.
    """
    digests, documents = {}, [None, None]
    for number, (name, path) in enumerate(zip(("text", "validation"), paths, strict=True)):
        if path is not None:
            text, documents[number] = read_documents(path)
            digests[name] = hashlib.sha256(text.encode()).hexdigest()
    tokenizer = open_tokenizer(checkpoint.directory, checkpoint.config["vocab_size"])
    return Texts(paths, *documents, digests, tokenizer)


def batch_at(tokens, step, batch, context, seed, shift=True):
    """The tokens and targets of one step: windows in a new random order each time the text has been seen.

    Each time the text is seen it is cut anew, from a random offset on (the first time from 0); with shift=False always
    from 0, so that a window is known by its number.

    Parameters
        tokens: int32 (N,).
        step: int, from 0.
        batch, context: int, windows a step and tokens a window.
        seed: int.
    Returns
        tokens, targets: int32 (batch, context); a target is the token that follows.
        windows: int64 (batch,), the number of each window in the text, for shift=False.
    """
    count = windows_in(tokens, context)
    places, numbers, epochs = [], [], {}
    for n in range(step * batch, (step + 1) * batch):
        epoch, turn = divmod(n, count)
        if epoch not in epochs:
            epochs[epoch] = _epoch(count, context, seed, epoch)
        order, offset = epochs[epoch]
        numbers.append(order[turn])
        places.append(order[turn] * context + (offset if shift and epoch else 0))
    at = np.array(places)[:, None] + np.arange(context)
    return tokens[at], tokens[at + 1], np.array(numbers)


def windows_in(tokens, context, path="the text"):
    """How many windows a text has, whatever the offset it is cut from.

    Raises
        UsageError: none.
    """
    count = (len(tokens) - context) // context
    if count < 1:
        raise UsageError(f"{path} has {len(tokens)} tokens; at least {2 * context} are needed for --context {context}")
    return count


def _epoch(count, context, seed, epoch):
    # raw numbers of PCG64, which no version of NumPy changes
    raw = np.random.PCG64([seed, epoch]).random_raw(count + 1)
    return np.argsort(raw[1:], kind="stable"), int(raw[0] % np.uint64(context))
