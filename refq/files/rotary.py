"""The rotary settings of a config.json, in the spelling of transformers 4, of 5, or of both where they agree."""

from refq.errors import CheckpointError
from refq.files.strict import shown

_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
_KEYS = {"default": (), "llama3": _LLAMA3}


def read_rotary(raw, positions, path):
    """rope_theta and rope_scaling out of a config.json.

    transformers 4 writes `rope_theta` and `rope_scaling` (with `rope_type`, earlier `type`); 5 writes one object
    `rope_parameters`. A model may have both, if they say the same; null says nothing.

    Parameters
        raw: the parsed config.json.
        positions: its max_position_embeddings, which llama3 takes where the original number is missing.
        path: how messages call the file.
    Returns
        (theta, scaling): float; None, or a dict with rope_type "llama3", factor, low_freq_factor, high_freq_factor
        and original_max_position_embeddings.
    Raises
        CheckpointError: a contradiction, another rope_type, an unknown key, or a value of the wrong type.
    """
    thetas, scalings = {}, {}
    if raw.get("rope_theta") is not None:
        thetas["rope_theta"] = raw["rope_theta"]
    for spelling in ("rope_scaling", "rope_parameters"):
        settings = raw.get(spelling)
        if settings is None:
            continue
        if not isinstance(settings, dict):
            raise CheckpointError(f"{path}: {spelling} is {shown(settings)}; an object or null is needed")
        if settings.get("rope_theta") is not None:
            thetas[f"{spelling}.rope_theta"] = settings["rope_theta"]
        scalings[spelling] = _scaling(settings, spelling, positions, path)
    thetas = {where: _positive(theta, where, path) for where, theta in thetas.items()}
    return _agreed(thetas, 10000.0, path), _agreed(scalings, None, path)


def _scaling(settings, spelling, positions, path):
    kinds = {settings[key] for key in ("rope_type", "type") if isinstance(settings.get(key), str)}
    if any(not isinstance(settings.get(key, ""), str) for key in ("rope_type", "type")) or len(kinds) > 1:
        raise CheckpointError(f"{path}: {spelling} is {shown(settings)}; one rope_type is needed")
    kind = kinds.pop() if kinds else "default"
    if kind not in _KEYS:
        raise CheckpointError(f"{path}: {spelling} has rope_type {shown(kind)}; default and llama3 are supported")
    settings = {key: value for key, value in settings.items() if key not in ("rope_type", "type", "rope_theta")}
    if settings.get("partial_rotary_factor", 1.0) == 1.0:
        settings.pop("partial_rotary_factor", None)
    for key in settings:
        if key not in _KEYS[kind]:
            raise CheckpointError(f"{path}: {spelling} has {shown(key)}, which rope_type {kind!r} does not take")
    return _llama3(settings, spelling, positions, path) if kind == "llama3" else None


def _llama3(settings, spelling, positions, path):
    settings = {"original_max_position_embeddings": positions} | settings
    for key in _LLAMA3:
        if key not in settings:
            raise CheckpointError(f"{path}: {spelling} has no {key}, which rope_type 'llama3' needs")
    scaling = {key: _positive(settings[key], f"{spelling}.{key}", path) for key in _LLAMA3}
    original = settings["original_max_position_embeddings"]
    if type(original) is not int or original > 2**30:
        raise CheckpointError(f"{path}: {spelling}.{_LLAMA3[3]} is {shown(original)}; 1..2**30 is needed")
    if scaling["low_freq_factor"] >= scaling["high_freq_factor"]:
        raise CheckpointError(
            f"{path}: {spelling} has low_freq_factor {scaling['low_freq_factor']}; "
            f"less than high_freq_factor {scaling['high_freq_factor']} is needed"
        )
    return {"rope_type": "llama3", **scaling, "original_max_position_embeddings": original}


def _positive(value, where, path):
    if type(value) not in (int, float) or not 1e-6 <= value <= 1e12:
        raise CheckpointError(f"{path}: {where} is {shown(value)}; a number of 1e-6..1e12 is needed")
    return float(value)


def _agreed(stated, default, path):
    values = list(stated.values())
    if any(value != values[0] for value in values):
        both = " and ".join(f"{where} {shown(value)}" for where, value in stated.items())
        raise CheckpointError(f"{path}: {both} contradict each other")
    return values[0] if values else default
