"""A student whose weights are indices of tables: the tables learn, the indices stay. One flat dict.

"<layer>.weight_codebook" float (1, k) and "<layer>.weight_index" uint8 (out, in) stand for the weight
codebook[index]. With a latent "<layer>.weight" (out, in) in place of the index the weight is requantized at every step.
All else is used as it is. Codebooks are rounded to float16 before they are used: the grid that is trained is the one
stored. The classifier and a head of its own are exempt. A row of an embedding that no token of the batch names has a
gradient of 0 and counts as a member; a weight that is used twice, as a tied head or a shared layer, counts once.
"""

import numpy as np

from refq.errors import GridError

CODEBOOK, INDEX = "_codebook", "_index"
SCHEMES = ("kmeans", "kmeans_optimal", "linear_mean", "linear_round")  # of FITS, those that a student may begin with
EXEMPT = ("classifier.", "lm_head.")
ITERATIONS = 3  # of Lloyd's algorithm: the most that 2010.07109 takes (recalled, unverified)


def quantized_names(weights):
    """Names of what is quantized: all matrices, embeddings among them, but those of the classification layer."""
    return [name for name, w in weights.items() if w.ndim == 2 and not name.startswith(EXEMPT)]


def fit_codebook(groups, scheme, bits, draws, ops):
    """Codebooks that float16 holds, and their indices: what is measured, or trained, is what is stored.

    Parameters
        groups: float32 (or float64) (..., n).
        scheme: one of FITS.
        bits: int, 1..8; 4 for "nf4".
        draws: float64 (..., 2**bits), 0 <= draws < 1: random numbers of k-means++, for "kmeans" alone.
        ops: the engine.
    Returns
        codebook: dtype of groups, (..., 2**bits), numbers of float16.
        index: uint8 (..., n): the nearest of these entries; for the linear schemes as they give it.
    Raises
        GridError: an entry beyond float16.
    """
    codebook, index = FITS[scheme](ops, groups, bits, draws)
    codebook = half(codebook)
    return codebook, index if scheme.startswith("linear") else ops.lloyd(groups, codebook, 0)[1]


def _kmeans(ops, groups, bits, draws):
    """As 2010.07109 has it, as far as its details are known."""
    return ops.lloyd(groups, ops.kmeans_plus_plus_init(groups, 2**bits, draws), ITERATIONS)


def _nf4(ops, groups, bits, draws):
    """NF4's table times the largest magnitude of the group."""
    return ops.nf4_codebook() * np.abs(groups).max(axis=-1, keepdims=True), None


FITS = {  # codebook and index of groups
    "kmeans": _kmeans,
    "kmeans_optimal": lambda ops, groups, bits, draws: ops.kmeans_optimal(groups, 2**bits),
    "linear_mean": lambda ops, groups, bits, draws: ops.linear_mean(groups, bits),
    "linear_round": lambda ops, groups, bits, draws: ops.linear_round(groups, bits),
    "quantile": lambda ops, groups, bits, draws: ops.quantile_codebook(groups, bits),
    "nf4": _nf4,
}


def start_student(weights, scheme, bits, draws, ops, requantize=False):
    """The parameters before the first step.

    Parameters
        weights: dict, name -> float array.
        scheme: one of SCHEMES.
        bits, ops: as fit_codebook takes them.
        draws: function of the number of a quantized weight to its draws.
        requantize: whether the weights stay, as latent ones, instead of indices.
    Raises
        GridError: as fit_codebook, with the name of the weight.
    """
    params = dict(weights)
    for number, name in enumerate(quantized_names(weights)):
        try:
            codebook, index = fit_codebook(weights[name].reshape(1, -1), scheme, bits, draws(number)[None], ops)
        except GridError as error:
            raise GridError(f"{name}: {error}") from error
        params[name + CODEBOOK] = codebook
        if not requantize:
            params[name + INDEX] = index.reshape(weights[name].shape)
            del params[name]
    return params


def used_weights(params, ops):
    """What the forward pass uses: weights, biases and norms by their names, all arrays."""
    return looked_up(as_stored(params, ops), ops)


def looked_up(stored, ops):
    """The same, of a student as as_stored gives it."""
    weights = {name: value for name, value in stored.items() if not name.endswith((CODEBOOK, INDEX))}
    names = [name.removesuffix(INDEX) for name in stored if name.endswith(INDEX)]
    return weights | {n: ops.codebook_lookup(stored[n + INDEX], stored[n + CODEBOOK]) for n in names}


def as_stored(params, ops):
    """The same student as it is stored: codebooks rounded to float16, and indices for its latent weights.

    These follow their weight by one step of Lloyd's algorithm, from the codebooks that they have.
    """
    stored = {name: half(value) if name.endswith(CODEBOOK) else value for name, value in params.items()}
    for name in [name for name in params if name + CODEBOOK in params]:
        _, codebook, index = ops.ste_requantize(stored.pop(name).reshape(1, -1), stored[name + CODEBOOK])
        stored |= {name + CODEBOOK: half(codebook), name + INDEX: index.reshape(params[name].shape)}
    return stored


def half(codebook):
    """A codebook with every entry the nearest number of float16, in its own dtype."""
    with np.errstate(over="ignore"):
        rounded = codebook.astype(np.float16).astype(codebook.dtype)
    if not np.isfinite(rounded).all():
        raise GridError(f"an entry of a codebook is {np.abs(codebook).max():.6g}; float16 ends at 65504")
    return rounded
