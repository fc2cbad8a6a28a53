"""The files of the small world's model that are made, not trained: python -m tools.world tokenizer|items.

Both commands write the same bytes everywhere; tests/test_world.py compares them with those of the package.
"""

import itertools
import json
import pathlib
import sys

from refq.world.items import items
from refq.world.stories import stories

WORLD = pathlib.Path(__file__).resolve().parents[1] / "refq" / "world"
SEED, STORIES = 0, 20_000  # the model is trained on other seeds
VOCABULARY = 1024
SPECIAL = ("<s>", "</s>")


def tokenizer():
    """tokenizer.json: byte-level BPE. <s> and </s>, then the bytes, then what merges make of them.

    Only vocabulary and merges are the trainer's, so that its version does not change the layout of the file.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(itertools.islice(stories(SEED), STORIES), trainer)
    model = json.loads(inner.to_str())["model"]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    start, *sequences = ({kind: {"id": name, "type_id": n}} for kind, name, n in _TEMPLATE)
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False) | {"special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": token, "content": text} | flags for token, text in enumerate(SPECIAL)],
        "pre_tokenizer": level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, sequences[0]],
            "pair": [start, *sequences],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
        },
        "decoder": level,
        "model": {
            "type": "BPE",
            "vocab": dict(sorted(model["vocab"].items(), key=lambda item: item[1])),
            "merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        },
    }


_TEMPLATE = (("SpecialToken", "<s>", 0), ("Sequence", "A", 0), ("Sequence", "B", 1))
CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "clean_up_tokenization_spaces": False,
}


def files(command):
    """Path in refq/world -> text, of a command."""
    if command == "tokenizer":
        written = {"tokenizer.json": tokenizer(), "tokenizer_config.json": CONFIG}
        return {f"model/{name}": json.dumps(value, indent=1) + "\n" for name, value in written.items()}
    if command == "items":
        return {"commonsense.jsonl": "".join(json.dumps(item) + "\n" for item in items())}
    raise SystemExit(__doc__)


def main():
    """Write the files of the command that the arguments name."""
    for name, text in files(*sys.argv[1:2] or [""]).items():
        (WORLD / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
