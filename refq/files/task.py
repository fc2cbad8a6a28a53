"""Multiple-choice sets: JSON lines, one item a line."""

from typing import NamedTuple

from refq.errors import FormatError
from refq.files.strict import parse_json, read_bytes, shown

CEILING = 2**28  # bytes of a file
LINE = 2**20  # bytes of a line


class Item(NamedTuple):
    """A question: texts before, and texts that go on; each choice is a pair of them."""

    prompts: list  # one for all choices, or one a choice
    choices: list
    answer: int
    kind: str | None


def read_task(path):
    """The items of a file.

    A line is an object with `choices`, two or more strings, and `answer`, the place of the right one from 0. What
    stands before a choice is, by the keys that are there:

        context_options, continuation    the context_options, one a choice; `continuation` goes on after each of them
        context, question                {context}, a line end, Question: {question}, a line end, Answer:
        question                         Question: {question}, a line end, Answer:
        context                          {context}

    Spaces around all texts are dropped. `kind` may name a part of the set; other keys do not matter.

    Parameters
        path: the file.
    Returns
        list of Item.
    Raises
        FormatError: a line that breaks a rule, with its number; a file without items.
    """
    try:
        lines = read_bytes(path, CEILING, FormatError).decode("utf-8").split("\n")
    except UnicodeDecodeError as problem:
        raise FormatError(f"{path}: byte {problem.start} is not UTF-8") from None
    items = [_item(line, f"{path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not items:
        raise FormatError(f"{path}: it has no items; one JSON object a line is needed")
    return items


def _item(line, where):
    if len(line) > LINE:
        raise FormatError(f"{where}: it has {len(line)} characters; at most {LINE} are read")
    raw = parse_json(line, where, FormatError)
    if not isinstance(raw, dict):
        raise FormatError(f"{where}: it is a JSON {type(raw).__name__}; an object is needed")
    choices, answer, kind = _texts(raw, "choices", where), raw.get("answer"), raw.get("kind")
    if len(choices) < 2:
        raise FormatError(f"{where}: choices has {len(choices)} entry; two or more are needed")
    if type(answer) is not int or not 0 <= answer < len(choices):
        raise FormatError(
            f"{where}: answer is {shown(answer)}; a place among the choices, 0..{len(choices) - 1}, is needed"
        )
    if kind is not None and not isinstance(kind, str):
        raise FormatError(f"{where}: kind is {shown(kind)}; text is needed")
    if "context_options" not in raw:
        return Item([_prompt(raw, where)], choices, answer, kind)
    prompts = _texts(raw, "context_options", where)
    if len(prompts) != len(choices):
        raise FormatError(f"{where}: {len(prompts)} context_options and {len(choices)} choices; as many are needed")
    return Item(prompts, [_text(raw, "continuation", where)] * len(choices), answer, kind)


def _prompt(raw, where):
    if "question" not in raw and "context" not in raw:
        raise FormatError(f"{where}: neither question nor context is there; one of them or both are needed")
    parts = [_text(raw, "context", where)] if "context" in raw else []
    parts += [f"Question: {_text(raw, 'question', where)}\nAnswer:"] if "question" in raw else []
    return "\n".join(parts)


def _texts(raw, key, where):
    value = raw.get(key)
    if not isinstance(value, list) or not value:
        raise FormatError(f"{where}: {key} is {shown(value)}; a list of texts is needed")
    return [_checked(text, f"{key}[{n}]", where) for n, text in enumerate(value)]


def _text(raw, key, where):
    return _checked(raw.get(key), key, where)


def _checked(value, name, where):
    if not isinstance(value, str) or not value.strip():
        raise FormatError(f"{where}: {name} is {shown(value)}; text that is not blank is needed")
    return value.strip()
