"""Quantize a model with methods that look at a text: block by block, in bounded memory, and resumable."""

import hashlib
import os
from typing import NamedTuple

from refq.errors import UsageError
from refq.files.checkpoint import open_checkpoint
from refq.files.input_activations import Inputs
from refq.files.reassembled import Attention
from refq.files.tokenizer import open_tokenizer
from refq.jobs import output, solved
from refq.jobs.beside import write_small_files
from refq.jobs.calibrated_needs import disk_needed, memory_needed
from refq.jobs.corpus import batch_at
from refq.jobs.inputs import check_inputs
from refq.jobs.layer import Source
from refq.jobs.methods.block import Settings
from refq.jobs.methods.recipe import needs_text
from refq.jobs.plan import plan_files, plan_schemes
from refq.jobs.progress import WORTH_SAYING, say, size
from refq.jobs.quantize import planned, run_record
from refq.jobs.room import opened
from refq.jobs.shards import plan_shards, write_shards
from refq.jobs.solving import solve_blocks
from refq.jobs.text import cut_documents, memory_of_texts, read_documents

COMPARABLE = {"rtn", "gptq", "lwc", "correction", "tuning", "int8"}  # whose weights are meant to be near the model's


class Calibration(NamedTuple):
    """What decides a calibrated model beside Options. (Threads, engine and budgets do not.)

    steps: of refq.jobs.methods.recipe.
    activations: bits of the inputs of quantized layers, and of queries, keys and values; None for floats.
    sequences, context: how much of the text is used, and how many tokens at a time.
    seed: which windows of the text, and what a method draws.
    activation_range: "token", each with a grid of its own; or "tensor", static grids for the inputs of layers.
    """

    steps: tuple
    activations: int | None = None
    sequences: int = 16
    context: int = 256
    seed: int = 0
    activation_range: str = "token"

    @property
    def needs_text(self):
        return self.activation_range == "tensor" or needs_text(self.steps)


class Run(NamedTuple):
    """How a run is carried out, which does not decide its bytes.

    resume, overwrite: as quantize_model has them.
    states_memory: bytes of hidden states that are kept in memory; beyond them they are in files.
    """

    resume: bool = False
    overwrite: bool = False
    states_memory: int = 2**30


def quantize_calibrated(model, out, engine, options, calibration, text=None, run=Run()):  # noqa: B008 (immutable)
    """Write a low-bit copy of a model directory by methods that need more than one tensor at a time.

    Parameters
        model, out: as quantize_model takes them.
        engine: refq or refq_fast.
        options: Options, of method "affine".
        calibration: Calibration.
        text: path of a UTF-8 file; None where no step needs one.
        run: Run.
    Returns
        written: False if `out` was complete already.
    Raises
        UsageError, GroupSizeError: settings that this model or text cannot take.
        FileError: a model, a text, or a run to resume, that is not as it should be.
        OSError: the disk refused; what was finished is kept for `resume`.
    """
    output.check_paths(model, out, run.resume or run.overwrite)
    checkpoint = open_checkpoint(model)
    schemes, attention = plan_calibrated(checkpoint, options, calibration)
    digests, _ = check_inputs(checkpoint)
    tokens, read = calibration_windows(checkpoint, calibration, text)
    record = run_record(options, digests | read) | {"calibration": recorded(calibration)}
    needed = disk_needed(checkpoint, calibration, run)
    say(f"about {size(memory_needed(checkpoint, calibration, run))} of memory and {size(needed)} of disk are needed")
    with opened((model, out), record, needed, run.resume, run.overwrite) as begun:
        if begun is None:
            return False
        settings = _settings(engine, checkpoint, schemes, options, attention, calibration)
        names, errors = solve_blocks(begun.room, checkpoint, settings, calibration, tokens, run, begun.done)
        written = solved.as_checkpoint(checkpoint, os.path.join(begun.room, "blocks"), names, schemes)
        same_weights = all(step.method in COMPARABLE for step in calibration.steps)
        source = Source(None, engine, options, original=checkpoint if same_weights else None)
        if errors:
            output.write_file(os.path.join(begun.model, "solving.csv"), _csv(errors))
        _write(begun, written, source, record, attention, digests)
    return True


def plan_calibrated(checkpoint, options, calibration):
    """Which layers are quantized, and how, after all checks that need no weights.

    Returns
        schemes: layer name -> Scheme.
        attention: Attention.
    """
    methods, bits = [step.method for step in calibration.steps], calibration.activations
    if bits is not None and not 2 <= bits <= 16:
        raise UsageError(f"--activations {bits}; 2..16 is supported")
    if "int8" in methods and (options.bits, options.group_size, options.symmetric) != (8, "channel", True):
        raise UsageError("int8 is LLM.int8(): it needs --bits 8 --group-size channel --symmetric")
    if "int8" in methods and (bits is not None or len(methods) > 1):
        raise UsageError("int8 has inputs of 8 bits of its own: it goes with no --activations and no other method")
    if calibration.activation_range == "tensor" and bits is None:
        raise UsageError("--activation-range tensor without --activations; give their bits")
    positions = checkpoint.config["max_position_embeddings"]
    if calibration.needs_text and not 2 <= calibration.context <= positions:
        raise UsageError(f"--context {calibration.context}; this model takes 2..{positions}")
    _check_grids(calibration, options)
    schemes = plan_schemes(checkpoint, options)
    if bits is not None:
        inputs = Inputs(bits, calibration.activation_range)
        schemes = {layer: scheme._replace(inputs=inputs) for layer, scheme in schemes.items()}
    online = any(step.method == "rotation" and step.how.online for step in calibration.steps)
    return schemes, Attention(bits, online and bits is not None)


def _check_grids(calibration, options):
    """What some steps ask of the grids."""
    for step in calibration.steps:
        if step.method == "lwc" and options.symmetric:
            raise UsageError("lwc learns both ends of a range: it needs --asymmetric")
        if step.phase == "group" and calibration.activation_range == "tensor":
            raise UsageError(f"{step.method} trains on inputs with a grid a token: no --activation-range tensor")
        if step.phase == "group" and (options.group_size == "tensor" or options.range != "minmax"):
            raise UsageError(
                f"{step.method} trains on min-max grids of rows or groups: no --range or --group-size tensor"
            )
        if getattr(step.how, "assembly", "merge") == "none" and isinstance(options.group_size, int):
            raise UsageError('assembly "none" gives as many channels as it may: it needs --group-size channel')


def plan_solved(model, out, options, calibration, run=Run()):  # noqa: B008 (immutable)
    """What quantize_calibrated would do, with nothing read but headers: see plan_model. Reassembly is not known yet."""
    output.check_paths(model, out, run.resume or run.overwrite)
    checkpoint = open_checkpoint(model)
    schemes, attention = plan_calibrated(checkpoint, options, calibration)
    rows = planned(checkpoint, plan_shards(plan_files(checkpoint, schemes, attention), run_record(options, {})))
    disk, memory = disk_needed(checkpoint, calibration, run), memory_needed(checkpoint, calibration, run)
    return {"tensors": rows, "disk": disk, "memory": memory}


def calibration_windows(checkpoint, calibration, text):
    """Tokens (sequences, context) of the text, and its digest; None where none is needed."""
    if not calibration.needs_text:
        if text is not None:
            raise UsageError("--calibration is given, and no method looks at a text")
        return None, {}
    if text is None:
        raise UsageError("--calibration FILE is needed: a text that looks like what the model will read")
    whole, documents = read_documents(text)
    tokenizer = open_tokenizer(checkpoint.directory, checkpoint.config["vocab_size"])
    cutting = sum(memory_of_texts(documents, tokenizer))
    if cutting > WORTH_SAYING:
        say(f"about {size(cutting)} of memory are needed to cut {text} into tokens, before anything else")
    tokens = cut_documents(documents, tokenizer)
    needed = (calibration.sequences + 1) * calibration.context
    if len(tokens) < needed:
        raise UsageError(f"{text}: it has {len(tokens)} tokens; {needed} are needed for that --sequences and --context")
    windows, _, _ = batch_at(tokens, 0, calibration.sequences, calibration.context, calibration.seed, shift=False)
    return windows, {"calibration": hashlib.sha256(whole.encode()).hexdigest()}


def recorded(calibration):
    """A Calibration as JSON has it."""
    steps = {str(n): {"method": step.method} | step.how._asdict() for n, step in enumerate(calibration.steps, 1)}
    return calibration._asdict() | {"steps": steps}


def _settings(engine, checkpoint, schemes, options, attention, calibration):
    config = checkpoint.config | attention._asdict()
    activations = None if calibration.steps[-1].method == "int8" else calibration.activations
    return Settings(engine, config, schemes, options.range, activations)


def _csv(errors):
    return ("blocks,error\n" + "".join(f"{blocks},{error}\n" for blocks, error in errors)).encode()


def _write(begun, written, source, record, attention, digests):
    checkpoint, schemes, known = written
    source = source._replace(checkpoint=checkpoint, **known)
    shards = plan_shards(plan_files(checkpoint, schemes, attention), record)
    write_shards(begun.room, shards, source, record, begun.done)
    write_small_files(checkpoint, schemes, shards, begun.model, digests, attention)
