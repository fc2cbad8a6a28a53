"""The tokenizer in a GGUF file and tokenizer.json: each made of the other, without sentencepiece.

"llama" keeps pieces with scores, and merges the pair whose piece has the highest score; "gpt2" keeps pieces of the
byte-level alphabet and the merges in order, and names by `tokenizer.ggml.pre` how a text is cut into words.
"""

from refq.errors import TokenizerError
from refq.files.gguf_types import Value
from refq.files.gguf_words import SAME, WHOLE, WORDS, byte_level
from refq.files.strict import shown

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
SPACE = "\u2581"
_PREFIX = "tokenizer.ggml."


def tokenizer_json(metadata, path):
    """The tokenizer.json that stands for the keys of a GGUF file.

    Parameters
        metadata: key -> Value.
        path: how messages call the file.
    Returns
        dict, as the tokenizers library reads it.
    Raises
        TokenizerError: a key is missing or malformed, or another model or `pre` than those we know.
    """
    kind, pieces = _get(metadata, "model", "str", path), _get(metadata, "tokens", "[str]", path)
    if kind not in ("llama", "gpt2"):
        raise TokenizerError(f"{path}: tokenizer.ggml.model is {shown(kind)}; 'llama' and 'gpt2' are read")
    if len(set(pieces)) < len(pieces):
        raise TokenizerError(f"{path}: {len(pieces)} tokens are {len(set(pieces))} different ones")
    types = _get(metadata, "token_type", "[i32]", path, [NORMAL] * len(pieces))
    if len(types) != len(pieces) or not set(types) <= set(range(7)):
        raise TokenizerError(f"{path}: tokenizer.ggml.token_type has {len(types)} types; {len(pieces)} of 1..6 are due")
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": _added(pieces, types)}
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    whole |= (_pieces if kind == "llama" else _words)(metadata, vocabulary, types, path)
    return whole | {"post_processor": _post_processor(metadata, pieces, whole["pre_tokenizer"], path)}


def pairs_of_pieces(vocabulary, scores):
    """Pairs of pieces that are a piece: that of the highest score first, then that of the earlier left part."""
    found = []
    for piece, number in vocabulary.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocabulary and right in vocabulary:
                found.append((-scores[number], number, vocabulary[left], left, right))
    return [(left, right) for *_, left, right in sorted(found)]


def _pieces(metadata, vocabulary, types, path):
    scores = _get(metadata, "scores", "[f32]", path)
    if len(scores) != len(vocabulary):
        raise TokenizerError(f"{path}: tokenizer.ggml.scores has {len(scores)} numbers; {len(vocabulary)} are due")
    unknown = next((piece for piece, kind in zip(vocabulary, types, strict=True) if kind == UNKNOWN), None)
    steps = [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]
    prefix = _get(metadata, "add_space_prefix", "bool", path, True)
    steps = ([{"type": "Prepend", "prepend": SPACE}] if prefix else []) + steps
    back = [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}]
    back += [{"type": "Fuse"}, *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else [])]
    model = {"type": "BPE", "dropout": None, "unk_token": unknown, "continuing_subword_prefix": None}
    model |= {"end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False}
    model |= {"vocab": vocabulary, "merges": pairs_of_pieces(vocabulary, scores)}
    return {
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": back},
        "model": model,
    }


def _words(metadata, vocabulary, types, path):
    pre = _get(metadata, "pre", "str", path, "default")
    if pre not in SAME:
        known = f"{', '.join(WORDS)}, and other names of the same, are read"
        raise TokenizerError(f"{path}: tokenizer.ggml.pre is {shown(pre)}; {known}")
    merges = [merge.split(" ") for merge in _get(metadata, "merges", "[str]", path)]
    for merge in merges:
        if len(merge) != 2 or not all(part in vocabulary for part in (*merge, "".join(merge))):
            raise TokenizerError(f"{path}: the merge {shown(' '.join(merge))} is not of two pieces that are a third")
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None}
    model |= {"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False}
    model |= {"ignore_merges": pre in WHOLE, "vocab": vocabulary, "merges": merges}
    normalizer = {"type": "NFC"} if SAME[pre] == "qwen2" else None
    return {"normalizer": normalizer, "pre_tokenizer": WORDS[SAME[pre]], "decoder": byte_level(True), "model": model}


def _added(pieces, types):
    return [
        {
            "id": number,
            "content": piece,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind != USER,
        }
        for number, (piece, kind) in enumerate(zip(pieces, types, strict=True))
        if kind in (UNKNOWN, CONTROL, USER)
    ]


def _post_processor(metadata, pieces, words, path):
    """Which tokens stand before and after a text; a byte-level model without any has a step of its own there."""
    usual = {"bos": _get(metadata, "model", "str", path) == "llama" or _pre(metadata) in WHOLE, "eos": False}
    around = {}
    for kind, default in usual.items():
        if _get(metadata, f"add_{kind}_token", "bool", path, default):
            number = _get(metadata, f"{kind}_token_id", "u32", path)
            if number >= len(pieces):
                raise TokenizerError(
                    f"{path}: tokenizer.ggml.{kind}_token_id is {number}; {len(pieces)} tokens are there"
                )
            around[kind] = (number, pieces[number])
    if not around:
        return byte_level(True) | {"trim_offsets": False} if words else None
    marks = {kind: [{"SpecialToken": {"id": piece, "type_id": 0}}] for kind, (_, piece) in around.items()}
    one, two = ([{"Sequence": {"id": name, "type_id": number}}] for number, name in enumerate("AB"))
    single = marks.get("bos", []) + one + marks.get("eos", [])
    pair = single + [_second(mark) for mark in marks.get("bos", [])] + two
    pair += [_second(mark) for mark in marks.get("eos", [])]
    special = {piece: {"id": piece, "ids": [number], "tokens": [piece]} for number, piece in around.values()}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


def _second(mark):
    return {"SpecialToken": mark["SpecialToken"] | {"type_id": 1}}


def _pre(metadata):
    pre = metadata.get(f"{_PREFIX}pre", Value("str", "")).value
    return pre if isinstance(pre, str) else ""


def _get(metadata, key, kind, path, default=None):
    value = metadata.get(_PREFIX + key)
    if value is None and default is None:
        raise TokenizerError(f"{path}: the key {_PREFIX}{key} is missing")
    if value is not None and value.kind != kind and {value.kind, kind} != {"i32", "u32"}:
        raise TokenizerError(f"{path}: {_PREFIX}{key} is of type {value.kind}; {kind} is needed")
    return default if value is None else value.value
