"""tokenizer.json: text to token ids and back, whole or as a stream of whole characters."""

import contextlib
import json
import os

from refq.errors import CheckpointError, TokenizerError
from refq.files.config import token_ids
from refq.files.gguf import is_gguf, open_gguf
from refq.files.gguf_tokenizer import tokenizer_json
from refq.files.strict import read_bytes, read_json, shown

CEILING = 2**28  # bytes of a tokenizer.json
_SETTINGS = 2**24  # bytes of generation_config.json and tokenizer_config.json
# bytes that the library takes to encode a byte of text, at most: measured with version 0.23 on twelve kinds of text.
# Prose takes 100 to 145, and 200 with a pre-tokenizer; the most where every letter is a token, and a word
_ENCODING, _IN_WORDS = 220, 450
_HALF = "\ufffd"  # what a decoder writes for bytes that are no whole character, or not yet


class Tokenizer:
    """A tokenizer whose ids fit a model's embedding; `open_tokenizer` makes one."""

    def __init__(self, inner, vocab_size, path):
        self._inner, self.vocab_size, self.path = inner, vocab_size, path

    def encode(self, text):
        """Token ids of a text, with the special tokens that the file's post-processor adds."""
        with _refusing(f"{self.path}: {shown(text)} cannot be encoded"):
            ids = self._inner.encode(text).ids
        return self._checked(ids)

    def encode_pair(self, first, second=None):
        """Token ids of a text, or of a pair of texts, and which of the two each belongs to: 0 or 1."""
        with _refusing(f"{self.path}: {shown(first)} cannot be encoded"):
            both = self._inner.encode(first, second)
        return self._checked(both.ids), both.type_ids

    def decode(self, ids, skip_special=True):
        """The text of token ids."""
        ids = self._checked(list(ids))
        with _refusing(f"{self.path}: {shown(ids)} cannot be decoded"):
            return self._inner.decode(ids, skip_special_tokens=skip_special)

    def memory(self, length):
        """Bytes that `encode` takes for a text of `length` bytes, at most."""
        return length * (_ENCODING if self._inner.pre_tokenizer is None else _IN_WORDS)

    def token_id(self, token):
        """The id of a token given as text, or None."""
        return self._inner.token_to_id(token)

    def _checked(self, ids):
        for token in ids:
            if not 0 <= token < self.vocab_size:
                raise TokenizerError(f"{self.path}: token id {token} is outside the model's 0..{self.vocab_size - 1}")
        return ids


class StreamDecoder:
    """Text of tokens as they come, never half a character.

    What `push` and at the end `flush` give is together what `decode` gives for all ids, if their bytes are valid UTF-8.
    """

    def __init__(self, tokenizer, skip_special=True):
        self._tokenizer, self._skip = tokenizer, skip_special
        # the window: tokens whose text is out (they set the spacing of the next), then tokens whose text is not
        self._ids, self._out = [], 0

    def push(self, token):
        """The text that a token completes; empty while a character is unfinished."""
        self._ids.append(token)
        text = self._pending()
        return "" if text.endswith(_HALF) else self._release(text)

    def flush(self):
        """The rest, an unfinished character as U+FFFD."""
        return self._release(self._pending())

    def _pending(self):
        before = self._tokenizer.decode(self._ids[: self._out], self._skip)
        both = self._tokenizer.decode(self._ids, self._skip)
        if both.startswith(before):
            return both[len(before) :]
        # invalid bytes behind a whole character made the decoder take that one back; but it is out already
        return self._tokenizer.decode(self._ids[self._out :], self._skip)

    def _release(self, text):
        if text:
            self._ids, self._out = self._ids[self._out :], len(self._ids) - self._out
        return text


def open_tokenizer(directory, vocab_size, most=None):
    """Read tokenizer.json of a model directory, or what stands for it in a GGUF file.

    Parameters
        directory: the model directory, or the GGUF file.
        vocab_size: rows of the model's embedding; every token id must be below it.
        most: tokens that a text or pair has at most, special ones too: the longer one loses its end. None: no limit.
    Returns
        Tokenizer; what the file says of truncation and padding is not used.
    Raises
        TokenizerError: missing, too large, malformed, two tokens with one id, or more tokens than the model has.
    """
    from tokenizers import Tokenizer as Inner  # 30 ms that only some commands need

    path, raw = _tokenizer_bytes(directory)
    with _refusing(f"{path}: it is not a tokenizer"):
        inner = Inner.from_buffer(raw)
    inner.no_truncation()
    inner.no_padding()
    if most is not None:
        special = inner.num_special_tokens_to_add(True)
        if most <= special:
            raise TokenizerError(f"{path}: a pair has {special} special tokens; {most} leave no room for text")
        inner.enable_truncation(most)
    vocabulary = inner.get_vocab(with_added_tokens=True)
    largest = max(vocabulary.values(), default=-1)
    if not 0 <= largest < vocab_size:
        raise TokenizerError(f"{path}: its largest token id is {largest}; the model has the ids 0..{vocab_size - 1}")
    if len(set(vocabulary.values())) < len(vocabulary):
        raise TokenizerError(f"{path}: {len(vocabulary)} tokens share {len(set(vocabulary.values()))} ids")
    return Tokenizer(inner, vocab_size, path)


def special_ids(directory, config, tokenizer=None):
    """The beginning and the end tokens: generation_config.json decides, then config.json, then tokenizer_config.json.

    Parameters
        directory: the model directory, or the GGUF file, whose config says it.
        config: see read_config.
        tokenizer: looks up what tokenizer_config.json gives as text; without one that file is not read.
    Returns
        (bos_id, eos_ids): an id or None, a list of ids (perhaps empty).
    Raises
        CheckpointError, TokenizerError: a file is malformed, or an id is outside the vocabulary.
    """
    if is_gguf(directory):
        return config["bos_token_id"], config["eos_token_ids"]
    found = {"bos": [], "eos": []}
    path = os.path.join(os.fspath(directory), "generation_config.json")
    if os.path.lexists(path):
        raw = read_json(path, _SETTINGS, CheckpointError)
        found = {kind: token_ids(raw, f"{kind}_token_id", config["vocab_size"], path) for kind in found}
    bos = found["bos"] or [token for token in [config["bos_token_id"]] if token is not None]
    eos = found["eos"] or config["eos_token_ids"]
    path = os.path.join(os.fspath(directory), "tokenizer_config.json")
    if tokenizer and not (bos and eos) and os.path.lexists(path):
        raw = read_json(path, _SETTINGS, TokenizerError)
        bos, eos = bos or _named(raw, "bos_token", tokenizer), eos or _named(raw, "eos_token", tokenizer)
    return (bos[0] if bos else None), eos


def _tokenizer_bytes(directory):
    if is_gguf(directory):
        path = os.fspath(directory)
        return path, json.dumps(tokenizer_json(open_gguf(path).header.metadata, path)).encode()
    path = os.path.join(os.fspath(directory), "tokenizer.json")
    return path, read_bytes(path, CEILING, TokenizerError)


@contextlib.contextmanager
def _refusing(message):
    try:
        yield
    except BaseException as problem:
        if not isinstance(problem, Exception) and type(problem).__name__ != "PanicException":
            raise  # a panic of the Rust library is no Exception, nor is Ctrl-C
        raise TokenizerError(f"{message}: {str(problem)[:200]}") from None


def _named(raw, key, tokenizer):
    token = raw.get(key)
    text = token.get("content") if isinstance(token, dict) else token
    found = tokenizer.token_id(text) if isinstance(text, str) else None
    return [] if found is None else [found]
