"""Texts as documents, and documents as one stream of tokens."""

import numpy as np

from refq.errors import FileError
from refq.jobs.progress import progress

SEPARATOR = "<|endoftext|>"  # on a line of its own, between two documents


def read_documents(path):
    """The documents of a UTF-8 file: it is one, as it is, unless lines that hold SEPARATOR alone divide it.

    Returns
        text: the file, whole.
        documents: list of str; those of a file that is divided without the spaces around them, none of them empty.
    Raises
        FileError: not UTF-8, or no text in it.
    """
    with open(path, "rb") as file:
        raw = file.read()
    try:
        text = raw.decode("utf-8-sig")  # a byte order mark is none of the text
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: byte {error.start} is not UTF-8") from None
    parts = list(_divided(text))
    documents = parts if len(parts) == 1 else [part.strip() for part in parts]
    documents = [document for document in documents if document.strip()]
    if not documents:
        raise FileError(f"{path}: it holds no text")
    return text, documents


def cut_documents(documents, tokenizer):
    """Every document as the tokenizer cuts it (with the token at its start that it puts there), one after the other.

    Returns
        int32 (N,).
    """
    parts, total = [], sum(len(document.encode()) for document in documents)
    with progress(total, "B", "tokenizing") as advance:
        for document in documents:
            parts.append(np.array(tokenizer.encode(document), np.int32))
            advance(len(document.encode()))
    return np.concatenate(parts)


def memory_of_texts(documents, tokenizer):
    """Bytes that the documents take, and those that the tokenizer takes beside them for the largest one, at most."""
    sizes = [len(document.encode()) for document in documents]
    return 4 * sum(sizes), tokenizer.memory(max(sizes))


def _divided(text):
    document = []
    for line in text.splitlines(keepends=True):
        if line.strip() == SEPARATOR:
            yield "".join(document)
            document = []
        else:
            document.append(line)
    yield "".join(document)
