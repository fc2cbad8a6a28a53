"""The blocks of a model, one group after the other: prepared, trained, solved, and stored."""

import contextlib
import functools
import os

import numpy as np

from refq.errors import CheckpointError, GridError, NonFiniteError
from refq.files.checkpoint import llama_tensors
from refq.files.safetensors import as_float32
from refq.jobs import solved
from refq.jobs.figures import six_digits
from refq.jobs.journal import open_journal
from refq.jobs.methods.block import Block, Data, advance, finished, with_input_grids
from refq.jobs.methods.recipe import blocks_together
from refq.jobs.progress import progress
from refq.jobs.states import States

ENDS = "ends"  # the file of what stands around the blocks


def solve_blocks(room, checkpoint, settings, calibration, tokens, run, done):
    """Solve every block that is not stored yet.

    Returns
        names: of the files of the folder.
        errors: list of (number of blocks, how far hidden states are from those of full precision).
    """
    folder = os.path.join(room, "blocks")
    os.makedirs(folder, exist_ok=True)
    layers, together = checkpoint.config["num_hidden_layers"], blocks_together(calibration.steps)
    read = functools.partial(_original, checkpoint, _rotation(calibration, settings))
    names, errors, states = [], [], States(folder, run.states_memory)
    with open_journal(os.path.join(room, "journal")) as journal, _progress(checkpoint) as tell:
        params, _ = read(None)
        data = None if tokens is None else _embedded(params, tokens, settings, states)
        ends = solved.changed(Block(0, params), checkpoint)
        if ends.params:
            names.append(ENDS)
            if solved.load(folder, ENDS, 0, done) is None:
                solved.store(folder, ENDS, ends, journal)
        del params, ends
        for first in range(0, layers, together):
            numbers = range(first, min(first + together, layers))
            files = [f"block-{number:05d}" for number in numbers]
            group = [solved.load(folder, name, number, done) for name, number in zip(files, numbers, strict=True)]
            if None in group:
                with _named(checkpoint, numbers):
                    group = _solve_group(numbers, read, data, settings, calibration, states, tell)
                for name, block in zip(files, group, strict=True):
                    solved.store(folder, name, solved.changed(block, checkpoint), journal)
            elif data is not None:
                for block in group:
                    original = Block(block.layer, *read(block.layer))
                    advance(data.full, original, settings, low=False)
                    advance(data.low, block._replace(params=original.params | block.params), settings)
            names += files
            errors += [(numbers[-1] + 1, _distance(data))] if data is not None else []
            tell(sum(array.size for block in group for array in block.params.values()))
    return names, errors


@contextlib.contextmanager
def _named(checkpoint, numbers):
    """Say of which blocks a number is wrong."""
    try:
        yield
    except (GridError, NonFiniteError) as error:
        where = ", ".join(f"model.layers.{number}" for number in numbers)
        raise CheckpointError(f"{checkpoint.directory}: {where}: {error}") from error


def _solve_group(numbers, read, data, settings, calibration, states, tell):
    """Some blocks together: each prepared, all trained, each solved with what the solved ones before it give."""
    steps = {phase: [s for s in calibration.steps if s.phase == phase] for phase in ("block", "group", "solver")}
    group, low = [], None
    if data is not None:
        low = states.spare(data.low) if len(numbers) > 1 else data.low
    for number in numbers:
        original = block = Block(number, *read(number))
        for step in steps["block"]:
            _remark(tell, f"block {number}", step.method)
            block = step.function(block, Data(data.full, low), settings, step.how)
        group.append(block)
        if data is not None:
            advance(data.full, original, settings, low=False)
            if number != numbers[-1]:
                advance(low, finished(block, settings), settings)
    for step in steps["group"]:
        remark = functools.partial(_remark, tell, f"blocks {numbers[0]} to {numbers[-1]}")
        group = step.function(group, data, settings, step.how, (calibration.seed, remark))
    [solver] = steps["solver"]
    found = []
    for block in group:
        block = solver.function(block, data, settings, solver.how)
        block = finished(block, settings)
        if calibration.activation_range == "tensor":
            block = with_input_grids(block, data.low, settings)
        found.append(block)
        if data is not None:
            advance(data.low, found[-1], settings)
    return found


def _distance(data):
    """Sum of squares of low - full, by that of full."""
    sums = np.zeros(2)
    for full, low in zip(data.full, data.low, strict=True):
        sums += [np.square(v, dtype=np.float64).sum() for v in (low - full, full)]
    return six_digits(sums[0] / sums[1]) if sums[1] else 0.0


def _progress(checkpoint):
    sizes = {name: int(np.prod(shape)) for name, shape in llama_tensors(checkpoint.config).items()}
    return progress(sum(size for name, size in sizes.items() if ".layers." in name), "weights", "solving")


def _remark(tell, where, text):
    tell(0, f"{where}, {text}")


def _embedded(params, tokens, settings, states):
    """Both chains before the first block."""
    data = Data(*(states.array((*tokens.shape, settings.config["hidden_size"])) for _ in range(2)))
    for row, ids in enumerate(tokens):
        data.full[row] = data.low[row] = settings.engine.embed(ids[None], params["model.embed_tokens.weight"])[0]
    return data


def _rotation(calibration, settings):
    """The step that changes the float model, as a function; None for none."""
    steps = [step for step in calibration.steps if step.phase == "model"]
    if not steps:
        return None
    how = steps[0].how._replace(seed=steps[0].how.seed + calibration.seed)
    return functools.partial(steps[0].function, schemes=settings.schemes, how=how)


def _original(checkpoint, rotate, number):
    """(params, inputs) of a block of the float model, or of what stands around the blocks for None."""
    prefix = "model.layers."
    names = [
        n
        for n in checkpoint.tensors
        if (n.startswith(f"{prefix}{number}.") if number is not None else not n.startswith(prefix))
    ]
    params = {name: as_float32(checkpoint.read(name)) for name in names}
    return rotate(params, number, checkpoint.config) if rotate else (params, {})
