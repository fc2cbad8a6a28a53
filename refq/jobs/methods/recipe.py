"""Recipes: which methods, one after the other, make the quantized model.

[[step]]
method = "smoothquant"
alpha = 0.7
[[step]]
method = "gptq"           # the last step leaves every weight on its grid; without one, rtn does

STEPS is the table of the methods; what each may be told, its named tuple says.
"""

import tomllib
from typing import NamedTuple

from refq.errors import UsageError
from refq.jobs.methods import gptq, reassembly, rotation, rounding, smoothing, training

PHASES = ("model", "block", "group", "solver")
ALONE = ("model", "group", "solver")  # phases with one step at most


class Method(NamedTuple):
    """A kind of step.

    phase: "model", which rotates the float model before anything else; "block", which prepares one block; "group",
        which trains some together; "solver", which leaves all weights on their grids. Recipes have them in this order.
    function: what does it; see the modules.
    told: named tuple of what it may be told, with defaults.
    blind: it needs no text.
    """

    phase: str
    function: object
    told: type
    blind: bool = False


class Step(NamedTuple):
    """A method's name and what it is told."""

    method: str
    how: tuple

    @property
    def phase(self):
        return STEPS[self.method].phase

    @property
    def function(self):
        return STEPS[self.method].function


STEPS = {
    "rotation": Method("model", rotation.rotation, rotation.Rotation, blind=True),
    "smoothquant": Method("block", smoothing.smoothquant, smoothing.Smoothing),
    "os+": Method("block", smoothing.os_plus, smoothing.Suppression),
    "awq": Method("block", smoothing.awq, smoothing.Salience),
    "reassembly": Method("block", reassembly.channel_reassembly, reassembly.Reassembling),
    "correction": Method("group", training.correction, training.Correction),
    "tuning": Method("group", training.tuning, training.Tuning),
    "lwc": Method("group", training.clipping, training.Clipping),
    "rtn": Method("solver", rounding.rtn, rounding.Rounding, blind=True),
    "gptq": Method("solver", gptq.gptq, gptq.Solver),
    "int8": Method("solver", rounding.int8, rounding.Mixed, blind=True),
}
METHODS = {name: (name,) for name in ("rtn", "gptq", "awq", "smoothquant", "os+", "lwc", "int8", "rotation")}
METHODS |= {"qllm": ("reassembly", "correction")}
LIMITS = {"seed": (0, 2**31), "alpha": (0.0, 1.0), "damping": (0.0, 2.0**31)}  # of numbers; others are above 0
CHOICES = {"search": reassembly.SEARCHES, "assembly": reassembly.ASSEMBLIES, "score": reassembly.SCORES}


def method_steps(name):
    """The steps of a method of `refq quantize`, all with their defaults.

    >>> [step.method for step in method_steps("qllm")]
    ['reassembly', 'correction', 'rtn']
    """
    return checked([{"method": step} for step in METHODS[name]], f"--method {name}")


def read_steps(path):
    """The steps of a recipe file.

    Raises
        UsageError: not TOML, or what `checked` refuses.
    """
    try:
        with open(path, "rb") as file:
            raw = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: it is no TOML: {error}") from None
    steps = raw.get("step")
    if raw.keys() != {"step"} or not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise UsageError(f"{path}: a recipe is a list of tables [[step]], and nothing else")
    return checked(steps, path)


def checked(tables, where):
    """Tables of a recipe as Steps: defaults filled in, and the last one a solver.

    Raises
        UsageError: a method or setting that does not exist, a value of the wrong kind, or an order that is none.
    """
    steps = [_step(table, f"{where}: step {number}") for number, table in enumerate(tables, 1)]
    names = [step.method for step in steps]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{where}: {name} stands in it twice; once is all it does")
    if not steps or steps[-1].phase != "solver":
        steps.append(Step("rtn", rounding.Rounding()))
    order = [PHASES.index(step.phase) for step in steps]
    scales_late = "reassembly" in names and any(
        step.phase == "block" for step in steps[names.index("reassembly") + 1 :]
    )
    if order != sorted(order) or scales_late or any(order.count(PHASES.index(phase)) > 1 for phase in ALONE):
        raise UsageError(
            f"{where}: {', '.join(names)}; the order is rotation; smoothquant, os+, awq; reassembly; one training of "
            "correction, tuning, lwc; one solver of rtn, gptq, int8"
        )
    return tuple(steps)


def needs_text(steps):
    """Whether a calibration text is needed."""
    return not all(STEPS[step.method].blind for step in steps)


def blocks_together(steps):
    """How many blocks are worked on at a time."""
    return max(getattr(step.how, "blocks", 1) for step in steps)


def _step(table, where):
    table = dict(table)
    name = table.pop("method", None)
    if not isinstance(name, str) or name not in STEPS:
        raise UsageError(f"{where}: method is {name!r}; one of {', '.join(STEPS)} is needed")
    told = STEPS[name].told
    for key, value in table.items():
        if key not in told._fields:
            raise UsageError(f"{where}: {name} has no setting {key}; it has {', '.join(told._fields) or 'none'}")
        table[key] = _value(key, value, told._field_defaults[key], f"{where}: {name}")
    return Step(name, told(**table))


def _value(key, value, default, where):
    """The value, where a float is meant as one: 1 and 1.0 are one recipe."""
    kind = float if default is None else type(default)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise UsageError(f"{where}: {key} is {value!r}; {kind.__name__} is needed")
    if key in CHOICES and value not in CHOICES[key]:
        raise UsageError(f"{where}: {key} is {value!r}; one of {', '.join(CHOICES[key])} is needed")
    if kind in (int, float):
        least, most = LIMITS.get(key, (1 if kind is int else 2.0**-64, 2**31))
        if not least <= value <= most:
            raise UsageError(f"{where}: {key} is {value!r}; {least:g} to {most:g} is needed")
    return kind(value)
