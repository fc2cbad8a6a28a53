"""Documents that a model writes itself: a text to distill it from, without what it was trained on."""

import functools
import hashlib
import json
import math
import os

from refq import __version__
from refq.errors import CheckpointError, NonFiniteError, UsageError
from refq.files.checkpoint import open_checkpoint
from refq.files.strict import read_json
from refq.files.tokenizer import open_tokenizer, special_ids
from refq.jobs import output
from refq.jobs.distill import weight_count
from refq.jobs.documents import SEPARATORS, Settings, check_settings, documents
from refq.jobs.inputs import check_inputs
from refq.jobs.journal import canonical
from refq.jobs.model import load_model
from refq.jobs.progress import progress, say, size
from refq.jobs.room import begin

BYTES = 8  # of a token's text, at most on average
FIGURES = ("documents", "tokens", "bytes", "sha256")
SILENT = 1000  # documents without text, after which no text is expected


def sample_model(model, out, engine, settings=Settings(), resume=False, overwrite=False):  # noqa: B008 (immutable)
    """Write a text of a model's own documents, and beside it OUT.json: the record of the run, and what was written.

    A document begins with the model's start token. It ends at an end token, at the start token of the next, which is
    what a model learns from texts packed one after the other, or at the model's last position. Spaces around it are
    dropped.

    Parameters
        model: a model directory, float or quantized.
        out: the file to write; it appears when it is whole.
        engine: refq or refq_fast.
        settings: Settings.
        resume: continue a run that was killed; a finished one is left as it is.
        overwrite: replace `out` if it exists.
    Returns
        dict: written, False if `out` was complete already; documents, tokens and bytes of the text, and its sha256.
    Raises
        UsageError: a setting outside its range; a model without a start token, or that writes nothing.
        FileError: a model, or a run to resume, that is not as it should be.
        NonFiniteError: logits that are not finite.

    Source: Liu et al. 2023 (2305.17888), LLM-QAT, for distillation from generations of the pre-trained model. Theirs
    begin with a random token, not with the start token.
    """
    check_settings(settings)
    target, checkpoint = output.check_paths(model, out, True, file=True), open_checkpoint(model)
    inputs, _ = check_inputs(checkpoint)
    tokenizer = open_tokenizer(model, checkpoint.config["vocab_size"])
    start, ends = special_ids(model, checkpoint.config, tokenizer)
    if start is None:
        raise UsageError("this model has no start token; a document begins with one")
    record = {"command": "sample", "version": __version__, "settings": settings._asdict()}
    record |= {"engine": engine.__name__, "inputs": inputs}
    found = _finished(target, record, resume, overwrite)
    if found is not None:
        with output.claim(target) as room:
            output.discard(room)
        return {"written": False} | found
    needed = BYTES * settings.tokens
    say(f"at most {size(memory_needed(checkpoint, settings))} of memory and about {size(needed)} of disk are needed")
    with output.claim(target) as room, output.disk_errors(target, needed):
        output.check_space(room, target, needed)
        begin(room, record, resume, file=True)
        try:
            marks = start, [start, *ends]
            write = functools.partial(documents, engine, load_model(model, engine), marks, settings)
            found = _write(room, tokenizer, write, settings)
        except (UsageError, NonFiniteError):
            output.discard(room)  # the model is at fault: there is nothing to continue
            raise
        output.write_whole(f"{target}.json", json.dumps({"run": record} | found, indent=2) + "\n")
        output.publish(room, target, overwrite)
    return {"written": True} | found


def memory_needed(checkpoint, settings):
    """Bytes at most: weights; twice the keys and values of a batch up to the last position; its logits; ourselves."""
    config = checkpoint.config
    kept = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"]
    document = config["max_position_embeddings"] * (2 * kept + 4 * config["num_attention_heads"] + 1)
    return 4 * (weight_count(checkpoint) + settings.batch * (document + 8 * config["vocab_size"])) + 200_000_000


def _write(room, tokenizer, write, settings):
    """Add documents to the text in `room` until it has its tokens; gives what it then is."""
    file = os.open(_text_of(room), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        state, digest = _restored(room, file)
        with progress(settings.tokens - state["tokens"], "tokens", "sampling") as advance:
            advance = _at_most(settings.tokens - state["tokens"], advance)
            while state["tokens"] < settings.tokens:
                first = state["next"]
                made = write(range(first, first + _count(state, settings)), advance)
                state, data = _added(state, made, tokenizer, settings)
                if not state["documents"] and state["next"] >= SILENT:
                    raise UsageError(f"{state['next']} documents of this model have no text; there is nothing to write")
                output.write(file, data, state["bytes"] - len(data))
                os.fsync(file)
                digest.update(data)
                state["sha256"] = digest.hexdigest()
                output.write_whole(os.path.join(room, "state"), json.dumps(state))
    finally:
        os.close(file)
    return {name: state[name] for name in FIGURES}


def _count(state, settings):
    """Documents of the next batch: in the end no more than are likely to be needed."""
    if not state["tokens"]:
        return settings.batch
    likely = (settings.tokens - state["tokens"]) * state["next"] / state["tokens"]
    return min(settings.batch, math.ceil(1.1 * likely))


def _added(state, made, tokenizer, settings):
    """The state after the documents of a batch, and their bytes; those beyond the tokens asked for are left out."""
    state, parts = dict(state), []
    for ids in made:
        if state["tokens"] >= settings.tokens:
            break
        state["next"] += 1
        text = tokenizer.decode(ids).strip()
        if text:
            parts.append((SEPARATORS[settings.separator] if state["documents"] else "") + text + "\n")
            state["documents"] += 1
            state["tokens"] += len(ids)
    data = "".join(parts).encode()
    return state | {"bytes": state["bytes"] + len(data)}, data


def _restored(room, file):
    """Where the text in `room` stands, cut off there, and its digest so far."""
    path, digest = os.path.join(room, "state"), hashlib.sha256()
    state = {"next": 0, "documents": 0, "tokens": 0, "bytes": 0, "sha256": digest.hexdigest()}
    if os.path.exists(path):
        state |= read_json(path, 2**16, CheckpointError)
    for at in range(0, state["bytes"], 2**22):
        digest.update(os.pread(file, min(2**22, state["bytes"] - at), at))
    if digest.hexdigest() != state["sha256"]:
        raise CheckpointError(f"{room}: its text is damaged; without --resume the run begins anew")
    os.ftruncate(file, state["bytes"])
    return state, digest


def _finished(target, record, resume, overwrite):
    """What OUT.json says of OUT, if that is the text of this run already; refuses what must not be replaced."""
    beside = f"{target}.json"
    taken = [path for path in (target, beside) if os.path.lexists(path)]
    found = read_json(beside, 2**20, CheckpointError) if resume and beside in taken else {}
    if canonical(found.get("run")) == canonical(record):
        if target not in taken:
            return None  # a run was killed between the two
        with open(target, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == found.get("sha256"):
                return {name: found[name] for name in FIGURES}
    if taken and not overwrite:
        another = "; it is not of this run" if resume else ""
        raise UsageError(f"{taken[0]} exists{another}; --overwrite replaces it")
    return None


def _at_most(left, advance):
    """`advance` up to `left` units: what a batch makes beyond them is not kept."""

    def capped(count):
        nonlocal left
        if left:
            advance(min(count, left))
            left -= min(count, left)

    return capped


def _text_of(room):
    return os.path.join(room, "model")
