"""tokenizer.json to the keys of a GGUF file."""

import re

from refq.errors import TokenizerError
from refq.files.gguf_tokenizer import BYTE, CONTROL, NORMAL, SPACE, UNKNOWN, UNUSED, USER, pairs_of_pieces
from refq.files.gguf_types import Value
from refq.files.gguf_words import WORDS
from refq.files.strict import shown

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_FIRST = 259  # in Llama's vocabulary three special tokens and 256 bytes stand before the pieces
_LAST_OF_ALL = -1e9  # the score of pieces of nothing but spaces


def tokenizer_metadata(raw, vocab_size, pre=None, path="tokenizer.json"):
    """The keys that say of a tokenizer.json how to cut a text, and what its tokens are.

    Parameters
        raw: the parsed tokenizer.json.
        vocab_size: rows of the embedding; tokens that the file lacks become unused ones.
        pre: how words are cut, a name that llama.cpp knows; None to recognise it.
        path: how messages call the file.
    Returns
        dict, key -> Value.
    Raises
        TokenizerError: a model, or a way to cut words, that a GGUF file cannot say.
    """
    model = raw.get("model") if isinstance(raw, dict) else None
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not isinstance(model.get("vocab"), dict):
        raise TokenizerError(f"{path}: its model is {shown(model and model.get('type'))}; BPE is needed")
    added = {token["id"]: token for token in raw.get("added_tokens") or []}
    pieces = {number: piece for piece, number in model["vocab"].items()}
    pieces |= {number: token["content"] for number, token in added.items()}
    if pieces and not 0 <= min(pieces) <= max(pieces) < vocab_size:
        raise TokenizerError(
            f"{path}: token ids reach from {min(pieces)} to {max(pieces)}; 0..{vocab_size - 1} are due"
        )
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    unknown, fallback = model.get("unk_token"), bool(model.get("byte_fallback"))
    types = [_type(number, pieces, added, unknown, fallback) for number in range(vocab_size)]
    tokens = [pieces.get(number, f"[PAD{number}]") for number in range(vocab_size)]
    found = {"model": Value("str", "llama" if fallback else "gpt2")}
    if fallback:
        found |= {"pre": Value("str", "default"), "add_space_prefix": Value("bool", _prefix(raw, path))}
        found |= {
            "tokens": Value("[str]", tokens),
            "scores": Value("[f32]", _scores(model["vocab"], tokens, merges, path)),
        }
    else:
        name = pre or recognise(raw.get("pre_tokenizer"), path)
        found |= {"pre": Value("str", name), "tokens": Value("[str]", tokens)}
        found |= {"merges": Value("[str]", [" ".join(merge) for merge in merges])}
    found["token_type"] = Value("[i32]", types)
    found |= {f"add_{kind}_token": Value("bool", there) for kind, there in _around(raw.get("post_processor")).items()}
    return {f"tokenizer.ggml.{key}": value for key, value in found.items()}


def recognise(words, path="tokenizer.json"):
    """llama.cpp's name of the way in which a `pre_tokenizer` block cuts words.

    >>> recognise({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True})
    'gpt-2'
    """
    for name, known in WORDS.items():
        if _essence(words) == _essence(known):
            return name
    raise TokenizerError(
        f"{path}: its pre_tokenizer is none of {', '.join(WORDS)}; --gguf-pre says by which name llama.cpp knows it"
    )


def _essence(block):
    """A pre_tokenizer without what makes no difference to the tokens; a sequence of one is that one."""
    if not isinstance(block, dict):
        return block
    parts = block.get("pretokenizers")
    if isinstance(parts, list):
        return [_essence(part) for part in parts] if len(parts) != 1 else _essence(parts[0])
    usual = {"use_regex": True, "add_prefix_space": True} if block.get("type") == "ByteLevel" else {"invert": False}
    return usual | {key: value for key, value in block.items() if key != "trim_offsets"}


def _type(number, pieces, added, unknown, fallback):
    piece = pieces.get(number)
    if piece is None:
        return UNUSED
    if piece == unknown:
        return UNKNOWN
    if number in added:
        return CONTROL if added[number].get("special") else USER
    return BYTE if fallback and _BYTE.fullmatch(piece) else NORMAL


def _prefix(raw, path):
    """Whether a space is put before a text; every other step before the model must be the usual one."""
    normalizer, words = raw.get("normalizer") or {}, raw.get("pre_tokenizer")
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    prepend, replace = {"type": "Prepend", "prepend": SPACE}, {"pattern": {"String": " "}, "content": SPACE}
    if words is None and steps in ([prepend, {"type": "Replace"} | replace], [{"type": "Replace"} | replace]):
        return len(steps) == 2
    if not steps and isinstance(words, dict) and words.get("type") == "Metaspace" and not words.get("split", True):
        return words.get("prepend_scheme", "always") in ("always", "first")
    raise TokenizerError(f"{path}: its normalizer is {shown(normalizer)}; Llama's is needed beside byte_fallback")


def _scores(vocabulary, tokens, merges, path):
    """Numbers by which the highest merge is made first: those of Llama's own files where they are of that order."""
    usual = [0.0] * min(_FIRST, len(tokens))
    usual += [_LAST_OF_ALL if not tokens[i].strip(SPACE) else float(_FIRST - i) for i in range(_FIRST, len(tokens))]
    ranks = {}
    for rank, (left, right) in enumerate(merges):
        ranks.setdefault(left + right, rank)
    for scores in (usual, [-float(ranks.get(token, 0)) for token in tokens]):
        ordered = pairs_of_pieces(vocabulary, scores)
        if _order(ordered) == _order(merges) and set(ordered) == set(merges):
            return scores
    raise TokenizerError(f"{path}: its merges are not all pairs of pieces that are a piece; scores cannot say them")


def _order(pairs):
    return list(dict.fromkeys(left + right for left, right in pairs))


def _around(block):
    """Which tokens the post-processor puts before and after a text."""
    parts = (block or {}).get("processors", [block])
    single = next((part["single"] for part in parts if part and part.get("type") == "TemplateProcessing"), [])
    places = ["SpecialToken" in item for item in single] or [False]
    return {"bos": places[0], "eos": places[-1] and len(places) > 1}
