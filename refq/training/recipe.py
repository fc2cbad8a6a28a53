"""How a student is trained: every setting of a step, with its default."""

from refq.errors import GridError
from refq.training import arguments_step as arguments

RECIPE = {
    # the grids of the weights
    "bits": 4,
    "quantizer": "lsq",  # learned steps; or "straight_through", steps as they are; or "soft": SigmoidSTE and SoftClamp
    "sharpness": 0.0,
    "beta": 1.0,
    "activations": None,  # or the bits of every linear layer's input: its static grid in params, or one a token
    "frozen": [],  # names of parameters
    # the loss: terms of refq.training.terms with their coefficients
    "losses": {"kl": 1.0},
    "temperature": 1.0,
    "temperature_squared": True,
    "top_k_renormalize": True,
    "reduction": "token_mean",  # or "batchmean"
    "parts": 1,  # in which the windows of a batch pass, one after the other; their gradients are added
    "gradient_l1": 0.0,  # strength of the penalty sum |g| over the quantized weights; three gradients a step
    # the optimizer
    "optimizer": "adamw",  # or "adam", "sgd"
    "learning_rate": 1e-3,
    "scale_learning_rate": 1e-4,
    "float_learning_rate": None,  # of what is neither a quantized weight nor a scale; None: learning_rate
    "weight_decay": 0.0,  # of matrices alone
    "momentum": 0.9,
    "betas": [0.9, 0.999],
    "eps": 1e-8,
    "clip": 1.0,  # or None
    # the run
    "schedule": "cosine",  # or "linear", "constant"
    "warmup": 0,
    "steps": 300,
    "transition": None,  # or a dict: transition-rate scheduling with what differs from TRANSITION
    "lottery": None,  # or a dict: weights that have settled are frozen, with what differs from LOTTERY
}
TRANSITION = {
    "strength": 5e-3,  # lambda of the paper
    "momentum": 0.99,
    "scope": "layer",  # or "global"
    "rule": "additive",  # or "multiplicative", "momentum"
}
LOTTERY = {"momentum": 0.99, "growth": "linear", "final": 1.0, "warmup": 0}
FINETUNING = {
    "reduce": "mean",  # what an entry makes of the gradients of its members; or "sum"
    "learning_rate": 5e-5,
    "weight_decay": 0.01,  # of matrices and codebooks
    "betas": [0.9, 0.999],
    "eps": 1e-8,
    "clip": 1.0,  # or None
    "steps": 300,  # the rate falls along a line, to 0 after the last one
}
CHOICES = {
    "quantizer": ("lsq", "straight_through", "soft"),
    "reduction": ("token_mean", "batchmean"),
    "optimizer": ("adamw", "adam", "sgd"),
    "schedule": ("cosine", "linear", "constant"),
    "scope": ("layer", "global"),
    "rule": ("additive", "multiplicative", "momentum"),
    "reduce": ("mean", "sum"),
    "growth": ("constant", "linear", "sine"),
}


def complete(recipe):
    """A recipe with the defaults for what it leaves out.

    Raises
        GridError: a setting or a term that does not exist, a choice that is none, or a number out of its range.

    >>> complete({"bits": 2})["optimizer"]
    'adamw'
    """
    whole = with_defaults(RECIPE, recipe)
    arguments.terms(whole["losses"])
    arguments.numbers(whole)
    for name, defaults in (("transition", TRANSITION), ("lottery", LOTTERY)):
        if whole[name] is not None:
            whole[name] = with_defaults(defaults, whole[name])
    return whole


def complete_finetuning(recipe):
    """A recipe of finetune_step with the defaults for what it leaves out; refuses as `complete`."""
    whole = with_defaults(FINETUNING, recipe)
    arguments.adamw(whole)
    return whole


def with_defaults(defaults, given):
    """`defaults` with what is given; refuses a setting that has no default, and a word that is no choice."""
    for name, value in given.items():
        if name not in defaults:
            raise GridError(f"recipe has no setting {name!r}; {', '.join(defaults)} are there")
        if name in CHOICES and value not in CHOICES[name]:
            raise GridError(f"{name}={value!r}; {', '.join(CHOICES[name])} are there")
    return defaults | given
