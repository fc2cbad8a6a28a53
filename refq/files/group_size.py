"""The group_size of formats whose groups lie along the inputs: how a file says it, and the layers that it fits."""

from refq.errors import FormatError
from refq.files.strict import shown


def parse_group_size(raw, path):
    """The group_size of a `quantization_config`; None for -1, a row.

    Raises
        FormatError: it is missing or another value.

    >>> parse_group_size({"group_size": 128}, "config.json")
    128
    """
    size = raw.get("group_size")
    if type(size) is not int or not (size == -1 or 1 <= size <= 2**24):
        raise FormatError(f"{path}: group_size is {shown(size)}; -1 (a row) or a positive integer is needed")
    return None if size == -1 else size


def undivided(columns, group_size):
    """That the groups do not divide the inputs, in words that `of layer X` follows; None if they do, or are rows.

    >>> undivided(20, 8)
    'group_size=8 does not divide the 20 inputs'
    """
    if columns % (group_size or 1):
        return f"group_size={group_size} does not divide the {columns} inputs"
    return None
