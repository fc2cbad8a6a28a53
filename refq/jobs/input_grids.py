"""The inputs of a distilled model's layers: what is asked for, and where static grids start."""

from refq.errors import UsageError
from refq.files.checkpoint import linear_names
from refq.files.input_activations import Inputs
from refq.jobs.corpus import batch_at
from refq.training.activations import input_grids
from refq.training.student import forward_weights

CALIBRATION = 10  # batches, as in AIMET's example


def plan_inputs(schemes, config, training):
    """The schemes of a Distillation's layers, with how their inputs are quantized.

    Raises
        UsageError: static grids of no bits; a layer of a block that stays float beside inputs that do not.
    """
    if training.activations is None:
        if training.activation_range != "token":
            raise UsageError(f"--activation-range {training.activation_range} without --activations; give their bits")
        return schemes
    kept = [name for name in linear_names(config) if name not in schemes]
    if kept:
        raise UsageError(
            f"--activations with --keep: {kept[0]} would stay float, and the format quantizes inputs of low-bit layers "
            "alone; give one of the two"
        )
    inputs = Inputs(training.activations, training.activation_range)
    return {layer: scheme._replace(inputs=inputs) for layer, scheme in schemes.items()}


def calibrated(params, recipe, tokens, training, config, engine):
    """A student with static grids, min-max over the first CALIBRATION batches of the text.

    They see its quantized weights, and inputs that are not quantized yet. The grids of frozen layers are frozen.

    Returns
        params, recipe: with the grids, and with the names of those that are frozen.
    """
    shape = training.batch, training.context, training.seed
    batches = (batch_at(tokens, number, *shape)[0] for number in range(CALIBRATION))
    weights, _ = forward_weights(params, recipe, engine)
    grids = input_grids(weights, batches, recipe["activations"], config, engine)
    held = [name for name in grids if f"{name.rpartition('.')[0]}.weight" in recipe["frozen"]]
    return params | grids, recipe | {"frozen": sorted([*recipe["frozen"], *held])}
