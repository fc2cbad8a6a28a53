"""Fake quantization of activations with a grid of each token's own."""

from refq import checks
from refq.grids.affine import dequantize, fake_quantize_vjp
from refq.ranges import arguments
from refq.ranges.token import token_grid, token_quantize


def dynamic_fake_quantize(x, bits, symmetric=False):
    """Each token to the nearest real numbers of its own min-max grid.

    x_hat = dequantize(*token_quantize(x)),  one scale and zero point for each vector along the last axis

    Parameters
        x: float32 (or float64) (..., D), finite.
        bits: int, 2..16; codes -2**(bits-1) .. 2**(bits-1) - 1.
        symmetric: bool, real 0 in the middle of the grid.
    Returns
        x_hat: shape and dtype of x.
    Raises
        GridError: bits outside 2..16, or a range that overflows.
        ShapeError: x has no axis, or nothing on the last one.
        NonFiniteError: x holds NaN or infinity.

    >>> dynamic_fake_quantize(np.float32([[-5, 9.6, 10], [0, 1, 3]]), 4)
    array([[-5., 10., 10.],
           [ 0.,  1.,  3.]], dtype=float32)

    Source: Yao et al. 2022 (2206.01861), section 4.1, token-wise; the min-max grid with 0 inside is ours.
    Spec: dynamic_fake_quantize
    """
    return dequantize(*token_quantize(x, bits, symmetric))


def dynamic_fake_quantize_vjp(g, x, bits, symmetric=False):
    """Gradient of dynamic_fake_quantize, by the clipped straight-through rule; the grid is held constant.

    gx = fake_quantize_vjp(g, x, *minmax(x))

    Parameters
        g: incoming gradient, shape and dtype of x, finite.
        x, bits, symmetric: as dynamic_fake_quantize takes them.
    Returns
        gx: shape and dtype of x.
    Raises
        as dynamic_fake_quantize; ShapeError if g has another shape than x.

    >>> dynamic_fake_quantize_vjp(np.float32([[1, 2, 3]]), np.float32([[-5, 9.6, 10]]), 4)
    array([[1., 2., 3.]], dtype=float32)

    Source: our choice: what the range would add is left out, as for every range that is measured and not learned.
    Spec: dynamic_fake_quantize_vjp
    """
    x = arguments.tokens(x)
    return fake_quantize_vjp(checks.gradient(g, x), x, *token_grid(x, bits, symmetric))
