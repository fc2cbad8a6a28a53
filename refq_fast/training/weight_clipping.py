"""Twins of refq.training.weight_clipping: the grids are few numbers; the pass over the weights is that of others."""

import numpy as np

from refq.ops.arguments import incoming
from refq.training import arguments
from refq.training.weight_clipping import clipped_grid
from refq_fast.grids.affine import as_rows, fake_quantize
from refq_fast.rows import finite, gathered, pieces_of
from refq_fast.training.learned_range import straight_sums


def lwc(groups, gamma, beta, bits):
    """Twin of refq.lwc.

    The pass of fake_quantize, parallel.
    Spec: lwc
    """
    groups, gamma, beta, bits = arguments.lwc(groups, gamma, beta, bits)
    scale, zero_point, _ = clipped_grid(groups, gamma, beta, bits)
    return fake_quantize(groups, scale, zero_point, 0, 2**bits - 1)


def lwc_vjp(g, groups, gamma, beta, bits):
    """Twin of refq.lwc_vjp.

    One pass over g and groups for all gradients, parallel.
    Spec: lwc_vjp
    """
    groups, gamma, beta, bits = arguments.lwc(groups, gamma, beta, bits)
    g = incoming(g, groups, groups.shape)
    scale, zero_point, slopes = clipped_grid(groups, gamma, beta, bits)
    rows, steps, zeros = as_rows(groups, scale, zero_point)
    grid, fixed = (steps, -zeros, 2**bits - 1 - zeros, np.zeros_like(steps)), np.zeros(steps.shape, bool)
    ggroups, (sums, share), (unused, _) = np.empty_like(rows), pieces_of(rows), pieces_of(rows)
    g_rows = np.ascontiguousarray(g).reshape(rows.shape)
    straight_sums(g_rows, rows, grid, fixed, rows.dtype.type(1), ggroups, (sums, unused), share)
    finite(sums, g=g)
    gscale = gathered(sums, groups, scale)
    return ggroups.reshape(groups.shape), *(gscale * slope for slope in slopes)
