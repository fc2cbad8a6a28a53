"""Every error that refq raises on purpose. The message names the rule broken, the numbers, and what would do."""


class RefqError(ValueError):
    """Base of all; catch this one to catch them all."""


class ShapeError(RefqError):
    """Shapes that do not fit each other, or an axis that is not there."""


class GroupSizeError(ShapeError):
    """A group size that does not divide its axis."""


class GridError(RefqError):
    """A scale, zero point, code limit, width or other number outside its rule."""


class DtypeError(RefqError):
    """An array of a type the function does not take."""


class NonFiniteError(RefqError):
    """NaN or infinity where a number must stand."""


class FileError(RefqError):
    """A file that is missing, truncated, malformed or not ours to read."""


class CheckpointError(FileError):
    """A model directory, its config or its weights."""


class TokenizerError(FileError):
    """A tokenizer file, or one that does not belong to the model."""


class FormatError(FileError):
    """A quantized format that breaks its own rules or that we do not support."""


class UsageError(RefqError):
    """Options that contradict each other or that this model cannot take."""
