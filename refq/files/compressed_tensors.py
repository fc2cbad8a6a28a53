"""compressed-tensors `pack-quantized`: its part of config.json, and the names, types and shapes of its tensors.

A linear layer X of N outputs and K inputs, `bits` wide, is stored instead of `X.weight` as

    X.weight_packed      int32 (N, ceil(K * bits / 32))   q + 2**(bits - 1), a little-endian bit stream along each row
    X.weight_scale       float (N, K / group_size), channel (N, 1), tensor (1,)
    X.weight_shape       int64 (2,)                       N and K
    X.weight_zero_point  int32 (ceil(N * bits / 32), groups), packed likewise down each column; tensor: int8 (1,)

and is (q - zero_point) * scale; a symmetric layer has no weight_zero_point. This is the layout of release 0.18 and
later; before it, codes of 3, 5, 6 and 7 bits did not cross the words. Of its input see input_activations.
"""

import re
from typing import NamedTuple

from refq.errors import FormatError
from refq.files.group_size import undivided
from refq.files.input_activations import Inputs, input_args, input_tensors, parse_input_args
from refq.files.strict import shown

FLOATS = ("F32", "F16", "BF16")
_EMBEDDING = "model.embed_tokens"
_PATTERNS = 32
# a pattern that cannot run away: single characters, at most four of them repeated, and plain alternatives
_ATOM = r"(?:\\[.dw]|\[\^?(?:\w-\w|[\w.])+\]|[\w.^$])"
_PATTERN = re.compile(rf"re:(?:{_ATOM}|\((?:\?:)?(?:\\\.|[\w|])+\)|(?<=[\w.\]])[*+]){{1,200}}+")
_GROUP_KEYS = {"targets", "weights", "input_activations", "output_activations", "format"}
_FIXED_ARGS = {"type": ["int"], "dynamic": [False], "block_structure": [None]}
_FIXED_ARGS |= {"actorder": [None, False, "weight", "static"]}  # "group" needs weight_g_idx, and is withdrawn
# the last four say how the scales were found, not what they mean
_FREE_ARGS = {"num_bits", "symmetric", "strategy", "group_size"}
_FREE_ARGS |= {"observer", "observer_kwargs", "scale_dtype", "zp_dtype"}


class Scheme(NamedTuple):
    """How one linear layer is quantized: strategy "tensor", "channel" or "group"; group_size None unless "group".

    inputs: how what it multiplies is quantized; None if it is not.
    transform: what is done with that before, see refq.files.reassembled; None in this format.
    """

    bits: int
    symmetric: bool
    strategy: str
    group_size: int | None
    inputs: Inputs | None = None
    transform: tuple | None = None


def quantization_config(groups, ignore):
    """The `quantization_config` of config.json.

    Parameters
        groups: list of (Scheme, targets); targets are module names, "re:" patterns or "Linear".
        ignore: list of module names that stay float although a target fits them.
    Returns
        dict, ready for JSON; `parse_quantization_config` reads it back.
    """
    config_groups = {}
    for number, (scheme, targets) in enumerate(groups):
        weights = {"num_bits": scheme.bits, "type": "int", "symmetric": scheme.symmetric, "strategy": scheme.strategy}
        weights |= {"group_size": scheme.group_size} if scheme.strategy == "group" else {}
        inputs = {"input_activations": input_args(scheme.inputs), "output_activations": None}
        if scheme.inputs:  # else the library takes int-quantized, whatever the format at the top says
            inputs["format"] = "pack-quantized"
        config_groups[f"group_{number}"] = {"targets": list(targets), "weights": weights} | inputs
    top = {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed"}
    return top | {"config_groups": config_groups, "ignore": list(ignore)}


def parse_quantization_config(raw, linear_names, path="quantization_config"):
    """Which linear layers are quantized, and how.

    A layer takes the scheme of the target that is its exact name, else of the pattern that matches from its
    beginning, else of "Linear"; a layer that an entry of `ignore` fits in one of these ways stays float.

    Parameters
        raw: the `quantization_config` of config.json.
        linear_names: the names of all linear layers of the model, lm_head among them.
        path: how messages call the file.
    Returns
        dict, layer name -> Scheme, in the order of linear_names.
    Raises
        FormatError: another method or format, a setting we do not support, or a target that fits nothing.
    """
    top = {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed"}
    for key, needed in top.items():
        if raw.get(key) != needed:
            raise FormatError(f"{path}: {key} is {shown(raw.get(key))}; {needed!r} is needed")
    for key in ("kv_cache_scheme", "sparsity_config", "transform_config", "moe_sparsity_config"):
        value = raw.get(key) or {"format": "dense"}  # what older releases write for no sparsity
        if not isinstance(value, dict) or value.get("format") != "dense":
            raise FormatError(f"{path}: {key} is {shown(value)}; only null is supported")
    targets = _by_target(raw, path)
    ignore = [] if raw.get("ignore") is None else raw["ignore"]
    ignored = dict.fromkeys(_checked(ignore, "ignore", path), True)
    schemes, target_patterns, ignored_patterns = {}, _compiled(targets), _compiled(ignored)
    for name in (*linear_names, _EMBEDDING):
        scheme = _match(name, targets, target_patterns, path)
        if scheme and not _match(name, ignored, ignored_patterns, path):
            schemes[name] = scheme
    if _EMBEDDING in schemes:
        raise FormatError(f"{path}: a target fits {_EMBEDDING}; quantized embeddings are not supported")
    known = {"Linear", *linear_names}
    for target in targets:
        if target not in known and not target.startswith("re:"):
            raise FormatError(f"{path}: the target {shown(target)} is no linear layer of this model")
    return schemes


def packed_tensors(name, shape, scheme, path="quantization_config"):
    """The tensors that stand for `name`.weight.

    Parameters
        name: the layer.
        shape: (N, K) of its weight.
        scheme: its Scheme.
    Returns
        dict, tensor name -> (dtypes that may stand there, shape); our own files have the first dtype.
    Raises
        FormatError: group_size does not divide K.

    >>> packed_tensors("x", (5, 16), Scheme(4, True, "channel", None))["x.weight_packed"]
    (('I32',), (5, 2))
    """
    rows, columns = shape
    size, fault = scheme.group_size or columns, undivided(columns, scheme.group_size)
    if fault:
        raise FormatError(f"{path}: {fault} of layer {name}")
    tensors = {"packed": (("I32",), (rows, _words(columns, scheme.bits)))}
    tensors["scale"] = (FLOATS, (1,) if scheme.strategy == "tensor" else (rows, columns // size))
    tensors["shape"] = (("I64",), (2,))
    if not scheme.symmetric and scheme.strategy == "tensor":
        tensors["zero_point"] = (("I8",), (1,))
    elif not scheme.symmetric:
        tensors["zero_point"] = (("I32",), (_words(rows, scheme.bits), columns // size))
    packed = {f"{name}.weight_{suffix}": entry for suffix, entry in tensors.items()}
    return packed | input_tensors(name, scheme.inputs, FLOATS)


def _words(codes, bits):
    return -(-codes * bits // 32)


def _by_target(raw, path):
    groups, schemes = raw.get("config_groups"), {}
    if not isinstance(groups, dict) or not groups:
        raise FormatError(f"{path}: config_groups is {shown(groups)}; an object with a group is needed")
    for label, group in groups.items():
        where = f"{path}: config group {shown(label)}"
        if not isinstance(group, dict) or group.keys() - _GROUP_KEYS:
            raise FormatError(f"{where} is {shown(group)}; an object of {', '.join(sorted(_GROUP_KEYS))} is needed")
        for key, supported in (("output_activations", None), ("format", "pack-quantized")):
            if group.get(key) not in (None, supported):
                raise FormatError(f"{where} has {key} {shown(group[key])}; only {supported or 'null'} is supported")
        scheme = _scheme(group.get("weights"), raw.get("version"), where)
        scheme = scheme._replace(inputs=parse_input_args(group.get("input_activations"), where))
        for target in _checked(group.get("targets"), "targets", where):
            if schemes.setdefault(target, scheme) != scheme:
                raise FormatError(f"{where}: the target {shown(target)} stands in another group too")
    return schemes


def _scheme(args, version, where):
    known = _FIXED_ARGS.keys() | _FREE_ARGS
    if not isinstance(args, dict) or args.keys() - known:
        raise FormatError(f"{where} has weights {shown(args)}; an object of {', '.join(sorted(known))} is needed")
    for key, supported in _FIXED_ARGS.items():
        if key in args and (type(args[key]), args[key]) not in [(type(value), value) for value in supported]:
            raise FormatError(f"{where} has {key} {shown(args[key])}; one of {supported} is supported")
    bits, symmetric, size = args.get("num_bits", 8), args.get("symmetric", True), args.get("group_size")
    if type(bits) is not int or not 2 <= bits <= 8 or type(symmetric) is not bool:
        raise FormatError(f"{where} has num_bits {shown(bits)}, symmetric {shown(symmetric)}; 2..8, true or false")
    if size is not None and (type(size) is not int or not (1 <= size <= 2**24 or size == -1)):
        raise FormatError(f"{where} has group_size {shown(size)}; a positive integer is needed")
    strategy = args.get("strategy")
    strategy = {None: "tensor", -1: "channel"}.get(size, "group") if strategy is None else strategy
    if strategy not in ("tensor", "channel", "group") or (strategy == "group") != (size not in (None, -1)):
        raise FormatError(
            f"{where} has strategy {shown(strategy)}, group_size {shown(size)}; "
            "'tensor', 'channel', or 'group' with a group_size is needed"
        )
    if bits not in (2, 4, 8) and _older_than_0_18(version):
        raise FormatError(f"{where} has num_bits {bits}; compressed-tensors {version} did not yet pack them densely")
    return Scheme(bits, symmetric, strategy, size if strategy == "group" else None)


def _older_than_0_18(version):
    numbers = re.match(r"(\d{1,6})\.(\d{1,6})", version) if isinstance(version, str) else None
    return bool(numbers) and (int(numbers[1]), int(numbers[2])) < (0, 18)


def _checked(names, key, where):
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FormatError(f"{where}: {key} is {shown(names)}; a list of names is needed")
    patterns = [name for name in names if name.startswith("re:")]
    for pattern in patterns:
        if not _is_bounded(pattern):
            raise FormatError(
                f"{where}: {key} has the pattern {shown(pattern)}; only names, '.', classes and plain alternatives "
                "are supported, at most four of them repeated and four groups"
            )
    if len(patterns) > _PATTERNS:
        raise FormatError(f"{where}: {key} has {len(patterns)} patterns; at most {_PATTERNS} are supported")
    return names


def _is_bounded(pattern):
    if not _PATTERN.fullmatch(pattern) or len(re.findall(r"[*+]", pattern)) > 4 or pattern.count("(") > 4:
        return False
    try:
        return bool(re.compile(pattern))
    except re.error:  # such as the class [z-a]
        return False


def _compiled(values):
    return [(re.compile(name.removeprefix("re:")), value) for name, value in values.items() if name.startswith("re:")]


def _match(name, values, patterns, path):
    if name in values:
        return values[name]
    found = {value for pattern, value in patterns if pattern.match(name)}
    if len(found) > 1:
        raise FormatError(f"{path}: patterns of different schemes fit {name}; one scheme is needed")
    return found.pop() if found else None if name == _EMBEDDING else values.get("Linear")
