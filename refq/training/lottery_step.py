"""LTS during training: weights that have settled on a level stay there.

state["distances"]  name -> running distance of each weight from its level, (out, groups, group_size)
state["settled"]    name -> bool, of the same shape
"""

import numpy as np

from refq.training.student import grid_of, grouped


def settle(params, new, codes, state, recipe, ops):
    """Put the settled weights of `new` (a dict that is ours) back to their values in `params`.

    Returns
        state: dict of "distances" and "settled" after this step.
    """
    lottery, distances, frozen = recipe["lottery"], {}, {}
    threshold = ops.lts_threshold(
        recipe["step"] - 1, recipe["steps"], lottery["warmup"], lottery["growth"], lottery["final"]
    )
    for name, q in codes.items():
        w = grouped(params, name, params[name])
        scale, zero_point = grid_of(params, name)
        position = w / scale + zero_point.astype(w.dtype)
        known, previous = state.get("distances", {}).get(name), state.get("codes", {}).get(name, q)
        distances[name] = ops.lts_distance(known, position, q, previous, lottery["momentum"])
        before = state.get("settled", {}).get(name, np.zeros(q.shape, bool))
        frozen[name] = ops.lts_freeze(before, distances[name], threshold)
        new[name] = ops.lts_hold(grouped(params, name, new[name]), w, frozen[name]).reshape(w.shape[0], -1)
    return {"distances": distances, "settled": frozen}
