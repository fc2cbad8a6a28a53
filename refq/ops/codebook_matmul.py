"""Products with a weight that is stored as packed indices of codebooks."""

from refq.grids.groups import to_groups
from refq.grids.lookup import codebook_lookup
from refq.grids.pack import unpack_codes
from refq.ops import arguments


def codebook_matmul(x, packed, codebook, bits):
    """Product with a packed weight: x times the transpose of what codebook_lookup gives.

    y = x @ w.T,  w[o, i] = codebook[o, j, index[o, i]],  j = the group of i

    Parameters
        x: float32 (or float64), (..., in).
        packed: uint8, (out, ceil(in * bits / 8)), each row the pack_codes of in indices, as numbers mod 2**bits.
        codebook: dtype of x, (out, groups, 2**bits), or (1, groups, 2**bits) for all rows; finite; groups divides in.
        bits: int, 1..8.
    Returns
        y: (..., out), dtype of x.
    Raises
        ShapeError: the shapes do not fit.
        GridError: bits outside 1..8.
        NonFiniteError: codebook holds NaN or infinity.
        FormatError: a bit after the last index is 1.

    >>> codebook_matmul(np.float32([1, 2]), np.uint8([[0b10]]), np.float32([[[5, 7]]]), 1)
    array([19.], dtype=float32)

    Source: definition.
    Spec: codebook_matmul
    """
    x, *weight = arguments.codebook_matmul(x, packed, codebook, bits)
    return x @ _entries(x.shape[-1], *weight).T


def codebook_matmul_vjp(g, x, packed, codebook, bits):
    """Gradient of codebook_matmul with respect to x.

    gx = g @ w

    Parameters
        g: (..., out), dtype of x.
        x, packed, codebook, bits: as codebook_matmul takes them.
    Returns
        gx: shape and dtype of x. (The codebook is a constant here; one that learns is looked up first.)
    Raises
        as codebook_matmul; ShapeError if g has another shape than its result.

    >>> codebook_matmul_vjp(np.float32([4]), np.float32([1, 2]), np.uint8([[0b10]]), np.float32([[[5, 7]]]), 1)
    array([20., 28.], dtype=float32)

    Source: definition.
    Spec: codebook_matmul_vjp
    """
    x, *weight = arguments.codebook_matmul(x, packed, codebook, bits)
    g = arguments.incoming(g, x, (*x.shape[:-1], packed.shape[0]))
    return g @ _entries(x.shape[-1], *weight)


def _entries(length, packed, codebook, bits):
    index = unpack_codes(packed, bits, length) & (2**bits - 1)
    groups = to_groups(index, length // codebook.shape[1])  # (out, groups, group_size)
    return codebook_lookup(groups, codebook).reshape(len(packed), length)
