"""Tables of 16 numbers that 4 bits can name."""

import numpy as np


def nf4_codebook():
    """The NormalFloat table of QLoRA: 16 quantiles of the normal distribution, ascending, code 7 is 0.

    8 quantiles above 0 and 7 below, evenly spaced in probability, divided by the largest

    Returns
        codebook: float32 (16,), -1 .. 1.

    >>> nf4_codebook()[[0, 7, 15]]
    array([-1.,  0.,  1.], dtype=float32)

    Source: Dettmers et al. 2023 (2305.14314), appendix E: the values as printed (the formula differs by 1e-7).
    Spec: nf4_codebook
    """
    # fmt: off
    return np.float32([
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
        -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
        0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
        0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ])
    # fmt: on


def fp4_codebook():
    """The FP4 table of bitsandbytes, by code: bit 3 is the sign; code 8 is -0.

    codes 0..7: 0, 1/16, 8, 12, 4, 6, 2, 3, each over 12

    Returns
        codebook: float32 (16,), -1 .. 1.

    >>> fp4_codebook()[[3, 5, 11]]
    array([ 1. ,  0.5, -1. ], dtype=float32)

    Source: read in bitsandbytes 0.50.2 (functional.get_4bit_type), and run.
    Spec: fp4_codebook
    """
    positive = np.float32([0, 0.0625, 8, 12, 4, 6, 2, 3]) / np.float32(12)
    return np.concatenate([positive, -positive])


def e2m1_codebook():
    """The OCP 4-bit float E2M1, by code: sign, 2 bits of exponent, 1 of mantissa; code 8 is -0.

    codes 0..7: 0, 0.5, 1, 1.5, 2, 3, 4, 6

    Returns
        codebook: float32 (16,), -6 .. 6.

    >>> e2m1_codebook()[[1, 7, 15]]
    array([ 0.5,  6. , -6. ], dtype=float32)

    Source: OCP Microscaling Formats 1.0, section 5.3.3.
    Spec: e2m1_codebook
    """
    positive = np.float32([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    return np.concatenate([positive, -positive])
