"""How a group of blocks is trained: every setting of a step, with its default."""

from refq.training import arguments_reconstruction as arguments
from refq.training.recipe import with_defaults

RECIPE = {
    "layers": [0],  # numbers of the blocks, in order
    "train": ["low_rank"],  # kinds of refq.training.blocks.KINDS
    # the grids
    "bits": 4,  # of the weights; None: as they are
    "group_size": None,  # None: one grid an output
    "group_sizes": {},  # layer -> its own, instead of that
    "kept": [],  # layers that stay as they are: nothing of them is trained, or laid on a grid
    "symmetric": False,
    "activations": None,  # bits of the inputs of linear layers, a grid a token; None: as they are
    "attention": None,  # bits of queries and keys after rotary, and of values
    "rotated_queries": False,  # queries and keys through a Hadamard matrix first
    "inputs": {},  # layer -> Reassembly, or the stride of a rotation
    # the factors
    "scaling": 0.25,
    "official_factors": False,  # low has the channels of before the reassembly
    # the optimizer, AdamW
    "learning_rates": {"low_rank": 5e-4, "clipping": 1e-2, "weights": 1e-4, "norms": 5e-4, "biases": 5e-4},
    "weight_decay": 0.0,  # of arrays with two axes
    "betas": [0.9, 0.999],
    "eps": 1e-8,
    "clip": None,
    "schedule": "linear",  # or "cosine", "constant"
    "steps": 1280,
}


def complete(recipe):
    """A recipe with the defaults for what it leaves out.

    Raises
        GridError: a setting or a kind that does not exist, a choice that is none, or a number out of its range.

    >>> complete({"bits": 3})["learning_rates"]["clipping"]
    0.01
    """
    whole = with_defaults(RECIPE, recipe)
    whole["learning_rates"] = with_defaults(RECIPE["learning_rates"], whole["learning_rates"])
    arguments.recipe(whole)
    return whole
