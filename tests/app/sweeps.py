"""A teacher, a text and a recipe so small that a whole sweep takes seconds."""

import json
import pathlib
import random

from tests.app.commands import small

RECIPE = """
teacher = "${SWEPT}/teacher"
text = "text.txt"
val = "text.txt"
[base]
steps = 4
batch = 2
context = 8
save-every = 1
"""
GRID = (
    RECIPE
    + """
[[ptq]]
range = ["minmax", "mse"]
[[grid]]
name = "what is frozen"
freeze = ["none", "o,v"]
seed = [0, 1]
"""
)


def prepare(folder):
    """Write the teacher and the text into a folder, which SWEPT names."""
    teacher = small(folder / "teacher")
    letters = {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated", "invert": False}
    words = {"type": "WordLevel", "vocab": {letter: n for n, letter in enumerate("abcdefgh ")}, "unk_token": " "}
    tokenizer = {"version": "1.0", "pre_tokenizer": letters, "model": words}
    (teacher / "tokenizer.json").write_text(json.dumps(tokenizer))
    chosen = random.Random(1)
    lines = ["".join(chosen.choice("abcdefgh ") for _ in range(60)) for _ in range(12)]
    (folder / "text.txt").write_text("\n<|endoftext|>\n".join(lines))
    return folder


def write(folder, text, name="recipe.toml"):
    """A recipe in the folder."""
    (folder / name).write_text(text)
    return folder / name


def results(out):
    """The rows of a sweep."""
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def children(number):
    """Processes that the threads of a process have begun."""
    found = pathlib.Path(f"/proc/{number}/task").glob("*/children")
    return [int(child) for path in found for child in path.read_text().split()]


def runs(number):
    """Whether a process runs; one that has ended may be listed until somebody asks for its exit code."""
    try:
        return pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def figures(rows):
    """What must not depend on how often a sweep was stopped."""
    kept = ("slug", "state", "settings", "perplexity", "sha256", "first_loss", "last_loss", "commands")
    return [{key: row.get(key) for key in kept} for row in rows]
