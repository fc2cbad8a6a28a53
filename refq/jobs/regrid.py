"""The grid of a layer as another format will have it: the same with smaller groups, or another one."""

import numpy as np

from refq.jobs.plan import row_chunks
from refq.jobs.stored import dequantized
from refq.jobs.stored_grid import Grid


def grid_for(grid, planned, engine):
    """Grid of a layer in its new scheme: its own, each group in equal parts; fitted anew where planned.fault says so.

    Parameters
        grid: Grid of the layer.
        planned: Planned, of refq.jobs.export_plan.
    """
    size = planned.scheme.group_size or grid.columns
    if planned.fault is None:
        parts = grid.columns // size // grid.scale.shape[1]
        scale, zero_point = (np.repeat(part, parts, axis=1) for part in (grid.scale, grid.zero_point))
        bias = None if grid.bias is None else np.repeat(grid.bias, parts, axis=1)
        return grid._replace(scale=scale, zero_point=zero_point, bias=bias)
    qmin, qmax = engine.integer_range(planned.scheme.bits)

    def groups(start, stop):
        return engine.to_groups(dequantized(grid, start, stop, engine), size)

    chunks = row_chunks((len(grid.scale), grid.columns))
    fitted = [engine.minmax(groups(*chunk), qmin, qmax, planned.symmetric, "float16") for chunk in chunks]
    scale, zero_point = (np.concatenate(column) for column in zip(*fitted, strict=True))

    def codes(start, stop):
        q = engine.quantize(groups(start, stop), scale[start:stop], zero_point[start:stop], qmin, qmax)
        return q.reshape(stop - start, -1)

    return Grid(scale[..., 0], zero_point[..., 0], codes, grid.columns, planned.scheme.bits)
