"""Sets of sentences, or pairs of them, with a label or a score: JSON lines, one item a line."""

from typing import NamedTuple

from refq.errors import FormatError
from refq.files.lines import read_objects, text
from refq.files.strict import shown

LABELS = 1000  # at most
BEST = 5  # the highest score


class Sentences(NamedTuple):
    """A set: `kind` is "classification", or "similarity" of pairs.

    texts: list of str, or of pairs (str, str).
    answers: list of labels 0, 1, 2 ..; or of scores, 0 to 5.
    """

    kind: str
    texts: list
    answers: list


def read_sentences(path):
    """The items of a file.

    A line is an object with `sentence`, or `sentence1` and `sentence2`; and with `label`, 0, 1, 2 .., or, for a pair,
    `score`, a number from 0 to 5. All lines have the same of these keys; others do not matter. Spaces around texts are
    dropped.

    Parameters
        path: the file.
    Returns
        Sentences.
    Raises
        FormatError: a line that breaks a rule, with its number; a file without items.
    """
    texts, answers, first = [], [], None
    for where, raw in read_objects(path):
        keys = [key for key in ("sentence", "sentence1", "sentence2", "label", "score") if key in raw]
        first = keys if first is None else first
        if keys != first:
            raise FormatError(f"{where}: it has {', '.join(keys)}; the items before have {', '.join(first)}")
        if keys not in (
            ["sentence", "label"],
            ["sentence1", "sentence2", "label"],
            ["sentence1", "sentence2", "score"],
        ):
            raise FormatError(
                f"{where}: it has {', '.join(keys) or 'none of the keys'}; sentence and label, or sentence1, sentence2 "
                "and label or score, are needed"
            )
        parts = tuple(text(raw, key, where) for key in keys[:-1])
        texts.append(parts if len(parts) > 1 else parts[0])
        answers.append((_label if keys[-1] == "label" else _score)(raw[keys[-1]], where))
    return Sentences("classification" if first[-1] == "label" else "similarity", texts, answers)


def _label(value, where):
    if type(value) is not int or not 0 <= value < LABELS:
        raise FormatError(f"{where}: label is {shown(value)}; a whole number from 0 to {LABELS - 1} is needed")
    return value


def _score(value, where):
    if type(value) not in (int, float) or not 0 <= value <= BEST:
        raise FormatError(f"{where}: score is {shown(value)}; a number from 0 to {BEST} is needed")
    return float(value)
