"""A namespace of operations with some of them replaced: how a model page is observed or altered without touching it."""


class Replaced:
    """Looks like `ops`, but for the functions given.

    >>> import refq
    >>> Replaced(refq, silu=lambda x: x).silu(3.0)
    3.0
    """

    def __init__(self, ops, **functions):
        self.ops = ops
        self.__dict__.update(functions)

    def __getattr__(self, name):
        return getattr(self.ops, name)
