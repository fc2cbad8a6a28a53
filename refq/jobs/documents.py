"""Documents that a model writes, many of them in step."""

from typing import NamedTuple

import numpy as np

from refq.errors import NonFiniteError, UsageError
from refq.jobs.generate import sample_rows
from refq.jobs.model import logits_in_pieces
from refq.jobs.text import SEPARATOR

SEPARATORS = {"endoftext": f"{SEPARATOR}\n", "newline": ""}  # what stands before every document but the first


class Settings(NamedTuple):
    """What decides the text, beside model and engine.

    tokens: whole documents are written, in the order of their numbers, until they have as many.
    temperature: above 0; at 0 all documents would be one.
    top_p: in (0, 1].
    seed: document i draws from PCG64([seed, i]).
    batch: documents at a time. The fast engine's products differ in their last bits with the number of rows, and now
        and then a drawn token with them; so it decides, too.
    separator: "endoftext", lines that divide documents as refq.jobs.corpus reads them; or "newline".
    """

    tokens: int = 1_000_000
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    batch: int = 64
    separator: str = "endoftext"


def check_settings(settings):
    """Refuse Settings that nothing can be written with."""
    for name in ("tokens", "batch"):
        if getattr(settings, name) < 1:
            raise UsageError(f"{name}={getattr(settings, name)}; at least 1 is needed")
    if not 0 < settings.temperature < np.inf:
        raise UsageError(f"temperature={settings.temperature}; 0 < temperature < infinity is needed")
    if not 0 < settings.top_p <= 1:
        raise UsageError(f"top_p={settings.top_p}; 0 < top_p <= 1 is needed")
    if settings.seed < 0:
        raise UsageError(f"seed={settings.seed}; at least 0 is needed")
    if settings.separator not in SEPARATORS:
        raise UsageError(f"separator={settings.separator}; one of {', '.join(SEPARATORS)} is needed")


def documents(engine, model, marks, settings, numbers, advance):
    """The documents of some numbers.

    They run in step, a position a call; one that has ended leaves batch and cache at once.

    Parameters
        model: (config, params).
        marks: (the start token, the tokens at which a document ends).
        settings: Settings.
        numbers: of the documents.
        advance: a function to call with the number of tokens just drawn.
    Returns
        list of lists of ids, without marks.
    """
    (start, ends), positions = marks, model[0]["max_position_embeddings"]
    streams = [np.random.PCG64([settings.seed, number]) for number in numbers]
    made, lengths = np.zeros((len(streams), positions), np.int32), np.zeros(len(streams), np.int64)
    rows, fed, cache = np.arange(len(streams)), np.full(len(streams), start, np.int32), None
    for position in range(positions):
        [(logits, cache)] = logits_in_pieces(engine, model, fed[:, None], 1, cache)
        if not np.isfinite(logits).all():
            raise NonFiniteError("the model gives logits that are not finite")
        # raw numbers of PCG64, which no version of NumPy changes
        uniform = np.array([streams[row].random_raw() >> 11 for row in rows]) * 2.0**-53
        fed = sample_rows(logits[:, 0], settings.temperature, settings.top_p, uniform).astype(np.int32)
        alive = ~np.isin(fed, ends)
        if not alive.all():
            rows, fed, cache = rows[alive], fed[alive], [(k[alive], v[alive]) for k, v in cache]
        if not len(rows):
            break
        made[rows, position] = fed
        lengths[rows] += 1
        advance(len(rows))
    return [ids[:length].tolist() for ids, length in zip(made, lengths, strict=True)]
