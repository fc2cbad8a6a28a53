"""Latent weights beside a codebook that follows them: one step of Lloyd's algorithm a forward pass."""

from refq import checks
from refq.grids.lookup import codebook_lookup
from refq.ranges.arguments import codebook_arguments
from refq.ranges.lloyd import lloyd_step


def ste_requantize(groups, codebook):
    """Weights to the entries of a codebook that takes one step of Lloyd's algorithm towards them.

    codebook', index = lloyd_step(groups, codebook);  x_hat = codebook'[index]

    Parameters
        groups: float32 (or float64) (..., n), the latent weights, finite; float64 at most 2**400 in size.
        codebook: dtype of groups (..., k), that of the pass before.
    Returns
        x_hat: shape and dtype of groups.
        codebook: (..., k), for the next pass.
        index: uint8 (..., n).
    Raises
        as lloyd_step.

    >>> ste_requantize(np.float32([[0, 2, 9]]), np.float32([[0, 8]]))[0]
    array([[1., 1., 9.]], dtype=float32)

    Source: our choice, for comparison with 2010.07109, where the index stays (recalled, unverified).
    Spec: ste_requantize
    """
    codebook, index = lloyd_step(groups, codebook)
    return codebook_lookup(index, codebook), codebook, index


def ste_requantize_vjp(g, groups, codebook):
    """Gradient of ste_requantize with respect to the latent weights: straight through.

    ggroups = g

    Parameters
        g: incoming gradient of x_hat, shape and dtype of groups, finite.
        groups, codebook: as ste_requantize takes them.
    Returns
        ggroups: shape and dtype of groups. (The codebook is no parameter: it follows the weights.)
    Raises
        as ste_requantize; ShapeError if g has another shape than groups; NonFiniteError: g holds NaN or infinity.

    >>> ste_requantize_vjp(np.float32([[1, 2, 3]]), np.float32([[0, 2, 9]]), np.float32([[0, 8]]))
    array([[1., 2., 3.]], dtype=float32)

    Source: Bengio et al. 2013 (1308.3432).
    Spec: ste_requantize_vjp
    """
    groups, _ = codebook_arguments(groups, codebook)
    return checks.gradient(g, groups).copy()
