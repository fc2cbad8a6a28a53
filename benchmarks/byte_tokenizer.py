"""A tokenizer.json with one token a byte: for models whose words do not matter."""

BYTES = 256  # one token each, then the two below
SPECIAL = {"<s>": BYTES, "</s>": BYTES + 1}


def byte_tokenizer():
    """A tokenizer.json: token b is byte b, written as the character that ByteLevel gives it; then <s> and </s>."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(BYTES) if b not in printable]
    characters = {b: chr(b) for b in printable} | {b: chr(256 + n) for n, b in enumerate(others)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    start = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}
    model = {"type": "BPE", "vocab": {characters[b]: b for b in range(BYTES)}, "merges": []}
    return {
        "version": "1.0",
        "added_tokens": [{"id": token, "content": text} | flags for text, token in SPECIAL.items()],
        "pre_tokenizer": level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [start, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [SPECIAL["<s>"]], "tokens": ["<s>"]}},
        },
        "decoder": level,
        "model": model,
    }
