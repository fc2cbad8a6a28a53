"""How byte-level tokenizers cut a text into words, by the names that `tokenizer.ggml.pre` has for it in llama.cpp."""

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
_ENDS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|"
_LLAMA3 = _CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + _SYMBOLS + _ENDS
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}|"
_TEKKEN += r" ?[^\s\p{L}\p{N}]+[\r\n/]*|" + _ENDS
_DEEPSEEK_CODER = ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+")


def byte_level(regex):
    """The step of bytes as letters; `regex`: it cuts words as GPT-2 does."""
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": regex}


def _split(*patterns, digits=False, regex=False):
    cuts = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in patterns
    ]
    cuts += [{"type": "Digits", "individual_digits": True}] if digits else []
    return {"type": "Sequence", "pretokenizers": [*cuts, byte_level(regex)]}


# how each `pre` cuts words, as tokenizer.json says it
WORDS = {
    "gpt-2": byte_level(True),
    "llama-bpe": _split(_LLAMA3),
    "qwen2": _split(_QWEN2),
    "smollm": _split(digits=True, regex=True),
    "tekken": _split(_TEKKEN),
    "deepseek-coder": _split(*_DEEPSEEK_CODER, digits=True),
}
_ALIASES = {
    "gpt-2": "phi-2 gigachat a.x-4.0 mellum exaone4 mpt olmo jais trillion granite-docling",
    "llama-bpe": "llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 dbrx smaug-bpe",
    "qwen2": "deepseek-r1-qwen kormo megrez",
    "smollm": "starcoder refact command-r codeshell exaone minerva-7b mellum2",
}
SAME = {alias: name for name in WORDS for alias in (name, *_ALIASES.get(name, "").split())}
# of these llama.cpp takes a word that is a piece whole, and puts the start token before a text unless it is told not to
WHOLE = {"tekken", "llama-bpe", *_ALIASES["llama-bpe"].split()} - {"dbrx", "smaug-bpe"}
