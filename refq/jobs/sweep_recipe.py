"""The recipe of a sweep: a TOML file whose tables are multiplied out into runs.

teacher = "${MODELS}/teacher"     # paths are relative to the recipe; variables of the environment are filled in
text = "train.txt"
val = "valid.txt"
tasks = ["items.jsonl"]           # also score these with `refq evaluate`
[base]                            # options of `refq distill`, by their long names
context = 256                     # of this all rows are scored with, as of val_tokens
[[ptq]]                           # quantized without training: options of `refq quantize`, on top of [base]
range = ["minmax", "mse"]
[[grid]]                          # distilled: a list is multiplied out, any other value is fixed
name = "what is frozen"
freeze = ["none", "o,v"]
seed = [0, 1, 2]
"""

import hashlib
import itertools
import os
import pathlib
import tomllib
from typing import NamedTuple

from refq.errors import UsageError
from refq.files.checkpoint import open_checkpoint
from refq.files.tokenizer import open_tokenizer
from refq.jobs.corpus import open_texts
from refq.jobs.distill import cut_texts
from refq.jobs.distillation import recipe_of
from refq.jobs.inputs import check_inputs
from refq.jobs.plan import plan_schemes
from refq.jobs.text import cut_documents, read_documents

KEYS = ("teacher", "text", "val", "tasks", "base", "ptq", "grid")
VERBS = {"ptq": "quantize", "grid": "distill"}
FULL_PRECISION = "full precision"


class Recipe(NamedTuple):
    """A sweep. Paths are as they are written in the file; see `located`."""

    path: str
    teacher: str
    text: str
    val: str
    tasks: tuple
    base: dict
    runs: list


class Run(NamedTuple):
    """One run: the verb that makes its model (None: the teacher itself), a label, options of the verb, and which of
    them its table names."""

    verb: str | None
    name: str
    given: dict
    own: tuple


def read_recipe(path, options):
    """A recipe, its tables multiplied out; the teacher itself first, then what is not trained, then what is.

    Parameters
        path: of the TOML file.
        options: dict, "quantize" and "distill" -> long names of the options of that verb, with _ for -.
    Raises
        UsageError: not TOML, a key that does not exist or is missing, a value of the wrong type.
    """
    raw = _parsed(path)
    _known(raw, KEYS, path, "key")
    for key in ("teacher", "text", "val"):
        if not isinstance(raw.get(key), str):
            raise UsageError(f"{path}: {key} is missing, or no string; teacher, text and val are paths")
    tasks = raw.get("tasks", [])
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise UsageError(f"{path}: tasks = {tasks!r}; it is a list of paths")
    if len({pathlib.Path(task).stem for task in tasks}) < len(tasks):
        raise UsageError(f"{path}: tasks = {tasks!r}; two files have one name, and a column needs its own")
    base = _settings(raw.get("base", {}), options["distill"], f"{path} [base]")
    runs = [Run(None, FULL_PRECISION, {}, ())]
    for kind, verb in VERBS.items():
        for number, table in enumerate(_tables(raw, kind, path), 1):
            where = f"{path} [[{kind}]] number {number}"
            inherited = {key: value for key, value in base.items() if key in options[verb]}
            runs += _multiplied(table, verb, inherited, options[verb], where)
    if len(runs) == 1:
        raise UsageError(f"{path}: it has neither a [[grid]] nor a [[ptq]]; there is nothing to compare")
    return Recipe(path, raw["teacher"], raw["text"], raw["val"], tuple(tasks), base, runs)


def located(recipe):
    """The recipe with absolute paths.

    Raises
        UsageError: a variable that is not set.
    """
    folder = os.path.dirname(os.path.abspath(recipe.path))

    def absolute(path):
        filled = os.path.expandvars(path)
        if "$" in filled:
            raise UsageError(f"{recipe.path}: {path}: a variable of it is not set in the environment")
        return os.path.normpath(os.path.join(folder, filled))

    files = {name: absolute(getattr(recipe, name)) for name in ("teacher", "text", "val")}
    cache = "teacher_cache"
    runs = [
        run._replace(given=run.given | {cache: absolute(str(run.given[cache]))}) if cache in run.given else run
        for run in recipe.runs
    ]
    return recipe._replace(**files, tasks=tuple(map(absolute, recipe.tasks)), runs=runs)


def check_sweep(recipe, scored, settings):
    """Refuse, before anything is run, what a run would refuse.

    Parameters
        recipe: Recipe, located.
        scored: (tokens a window, tokens in all or 0): how rows are scored.
        settings: list of (Options, Distillation or None), one for each run with a verb.
    Returns
        dict: the digests of all inputs.
    Raises
        UsageError, FileError: as the run would.
    """
    checkpoint = open_checkpoint(recipe.teacher)
    for options, training in dict.fromkeys(settings):
        plan_schemes(checkpoint, options)
        if training is not None:
            recipe_of(options, training)
    for training in {training.context: training for _, training in settings if training is not None}.values():
        cut_texts(checkpoint, open_texts(checkpoint, (recipe.text, None)), training)
    _check_validation(recipe.val, checkpoint, *scored)
    files = {"text": recipe.text, "val": recipe.val} | {os.path.basename(task): task for task in recipe.tasks}
    return {"teacher": check_inputs(checkpoint)[0]} | {name: digest(file) for name, file in files.items()}


def digest(path):
    """sha256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_validation(path, checkpoint, context, limit):
    tokenizer = open_tokenizer(checkpoint.directory, checkpoint.config["vocab_size"])
    found = len(cut_documents(read_documents(path)[1], tokenizer))
    if not context <= (limit or found) <= found:
        raise UsageError(f"{path} has {found} tokens; context is {context}, val_tokens {limit}, which are too many")


def _parsed(path):
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None


def _known(table, names, where, kind):
    for key in table:
        if key not in names:
            raise UsageError(f"{where}: {key!r} is no {kind}; {', '.join(sorted(names))} are there")


def _tables(raw, kind, path):
    tables = raw.get(kind, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{path}: {kind} is written as one or more tables under [[{kind}]]")
    return tables


def _settings(table, names, where, lists=False):
    if not isinstance(table, dict):
        raise UsageError(f"{where}: it is a table")
    found = {}
    for written, value in table.items():
        key = written.replace("-", "_")
        _known([key], names, where, "option")
        values = value if isinstance(value, list) and (lists or key == "keep") else [value]
        plain = [item for each in values for item in (each if lists and isinstance(each, list) else [each])]
        if key in found or not values or not all(isinstance(item, str | int | float) for item in plain):
            raise UsageError(f"{where}: {written} = {value!r}; it is there twice, empty, or no plain value")
        found[key] = values if lists else value
    return found


def _multiplied(table, verb, inherited, names, where):
    name = table.get("name", {"quantize": "quantized", "distill": "distilled"}[verb])
    if not isinstance(name, str) or not name:
        raise UsageError(f"{where}: name = {name!r}; it is a string")
    lists = _settings({key: value for key, value in table.items() if key != "name"}, names, where, lists=True)
    for values in itertools.product(*lists.values()):
        own = dict(zip(lists, values, strict=True))
        yield Run(verb, name, inherited | own, tuple(own))
