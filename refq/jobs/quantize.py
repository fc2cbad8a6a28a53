"""Quantize a model directory: check everything, then stream tensor by tensor, and lose nothing when killed."""

from refq.files.checkpoint import open_checkpoint
from refq.files.quantization import scheme_text
from refq.jobs import journal, output
from refq.jobs.beside import bytes_needed, write_small_files
from refq.jobs.inputs import check_inputs
from refq.jobs.layer import Source, check_scales
from refq.jobs.plan import Options, memory_bound, plan_files, plan_schemes
from refq.jobs.progress import say_bounds
from refq.jobs.room import opened
from refq.jobs.shards import plan_shards, write_shards


def quantize_model(model, out, engine, options=Options(), resume=False, overwrite=False):  # noqa: B008 (immutable)
    """Write a low-bit copy of a model directory, as compressed-tensors `pack-quantized` or as `refq-codebook`.

    Parameters
        model: directory of a float LLaMA, Mistral or Qwen2 with safetensors files.
        out: the directory to write; it appears when it is whole.
        engine: refq or refq_fast; the bytes are the same.
        options: Options.
        resume: continue a run that was killed; a finished one is left as it is.
        overwrite: replace `out` if it exists.
    Returns
        written: False if `out` was complete already.
    Raises
        UsageError, GroupSizeError: options that this model cannot take.
        FileError: a model, or a run to resume, that is not as it should be.
        OSError: the disk refused; what was finished is kept for `resume`.
    """
    output.check_paths(model, out, resume or overwrite)
    checkpoint, schemes, record, shards = _checked(model, options, engine)
    needed = bytes_needed(checkpoint, shards)
    say_bounds(memory_bound(checkpoint), needed)
    with opened((model, out), record, needed, resume, overwrite) as run:
        if run is None:
            return False
        write_shards(run.room, shards, Source(checkpoint, engine, options), record, run.done)
        write_small_files(checkpoint, schemes, shards, run.model, record["inputs"])
    return True


def plan_model(model, out, options=Options(), replace=False):  # noqa: B008 (immutable)
    """What quantize_model would do, after the same checks, with nothing written.

    Returns
        dict: "tensors", a list of dicts name, format, bytes_before, bytes; "disk" and "memory", bytes needed at most.
    """
    output.check_paths(model, out, replace)
    checkpoint, _, _, shards = _checked(model, options)
    disk = bytes_needed(checkpoint, shards)
    return {"tensors": planned(checkpoint, shards), "disk": disk, "memory": memory_bound(checkpoint)}


def planned(checkpoint, shards):
    """What becomes of every tensor, as plan_model tells it."""
    return [_planned(checkpoint, unit, layout.spans) for units, layout in shards.values() for unit in units]


def run_record(options, inputs):
    """The record of a run of these Options."""
    return journal.run_record("quantize", options._asdict() | {"keep": sorted(set(options.keep))}, inputs)


def _checked(model, options, engine=None):
    """Everything that can be wrong with the model, before anything is written: checkpoint, schemes, record, shards."""
    checkpoint = open_checkpoint(model)
    schemes = plan_schemes(checkpoint, options)
    digests, largest = check_inputs(checkpoint, engine)
    files, record = plan_files(checkpoint, schemes), run_record(options, digests)
    for units in files.values():
        check_scales(units, largest, checkpoint, options)
    return checkpoint, schemes, record, plan_shards(files, record)


def _planned(checkpoint, unit, spans):
    _, info = checkpoint.tensors[unit.name]
    stored = sum(spans[name][1] - spans[name][0] for name, _, _ in unit.parts)
    form = scheme_text(unit.scheme) if unit.scheme else info.dtype
    return {"name": unit.name, "format": form, "bytes_before": info.end - info.start, "bytes": stored}
