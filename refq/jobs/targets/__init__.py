"""The directories that `refq export` writes, one file a format: which grids each holds, and in what tensors."""

from typing import NamedTuple


class Target(NamedTuple):
    """A format of directories.

    schemes: function of (layer -> Facts); layer -> the scheme it will have.
    misfit: function of (shape, scheme), why no weight of this shape can have it, or None.
    fault: function of (Facts, scheme), why this grid has no place in it, though another of its kind may, or None.
    tensors: function of (layer, scheme, Grid, engine); yields (tensor name, array), of all that stands for the layer.
    config: function of (schemes, names of the linear layers), what is put into config.json; None where there is none.
    files: names of further files that hold its quantization_config alone.
    dtype: what config.json says of the floats; None for nothing.
    symmetric: whether a new grid for a layer must be.
    """

    schemes: object
    misfit: object
    fault: object
    tensors: object
    config: object
    files: tuple = ()
    dtype: str | None = None
    symmetric: bool = False


class Facts(NamedTuple):
    """What decides whether a layer on affine grids has a place in a format.

    shape: of its weight. bits, size: of its codes and groups.
    lowest, highest: its zero points.
    half: whether every scale is exact in float16. digits: bits of the widest scale, from its first 1 to its last.
    ordered: whether its columns are in the order of the inputs.
    whole: whether it has zero points; else it has biases that are no whole multiples of their scales.
    """

    shape: tuple
    bits: int
    size: int
    lowest: int
    highest: int
    half: bool
    digits: int
    ordered: bool
    whole: bool

    @property
    def symmetric(self):
        return self.whole and self.lowest == self.highest == 0
