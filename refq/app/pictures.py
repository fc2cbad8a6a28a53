"""What verbs that draw have in common: where a picture may stand, and what happens without the package that draws."""

import os

from refq.errors import UsageError
from refq.jobs.progress import say

SUFFIXES = ("png", "svg", "csv")


def checked_out(out, beside, replace, remedy):
    """--out without its suffix, and the suffix; refuses what cannot be written, before any work.

    Parameters
        out: path that should end with one of SUFFIXES.
        beside: suffixes of the files that are written with it.
        replace: whether files that are there may be replaced.
        remedy: what would do, if not: the end of the sentence.
    """
    stem, suffix = os.path.splitext(out)
    kind, folder = suffix.lstrip(".").lower(), os.path.dirname(os.path.abspath(out))
    if kind not in SUFFIXES:
        raise UsageError(f"--out {out}: a name that ends in .png, .svg or .csv is needed")
    if not os.path.isdir(folder):
        raise UsageError(f"--out {out}: the directory {folder} does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--out {out}: the directory {folder} cannot be written")
    for path in (out, *(f"{stem}.{end}" for end in beside)):
        if os.path.isdir(path) or (os.path.lexists(path) and not replace):
            raise UsageError(f"--out {out}: {path} exists; {remedy}")
    return stem, kind


def if_installed(load, without):
    """What `load` imports and returns; None, and a sentence that starts with `without`, where a package is missing."""
    try:
        return load()
    except ImportError as error:
        say(f"{without}: {error.name} cannot be imported; pip install 'refq[report]' brings it")
        return None
