"""Multiple-choice sets: JSON lines, one item a line."""

from typing import NamedTuple

from refq.errors import FormatError
from refq.files.lines import checked_text, read_objects, text
from refq.files.strict import shown


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
    return [_item(raw, where) for where, raw in read_objects(path)]


def _item(raw, where):
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
    return Item(prompts, [text(raw, "continuation", where)] * len(choices), answer, kind)


def _prompt(raw, where):
    if "question" not in raw and "context" not in raw:
        raise FormatError(f"{where}: neither question nor context is there; one of them or both are needed")
    parts = [text(raw, "context", where)] if "context" in raw else []
    parts += [f"Question: {text(raw, 'question', where)}\nAnswer:"] if "question" in raw else []
    return "\n".join(parts)


def _texts(raw, key, where):
    value = raw.get(key)
    if not isinstance(value, list) or not value:
        raise FormatError(f"{where}: {key} is {shown(value)}; a list of texts is needed")
    return [checked_text(entry, f"{key}[{n}]", where) for n, entry in enumerate(value)]
