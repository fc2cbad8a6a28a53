"""What a program makes of files that refq wrote: python in_PROGRAM.py JOBS.json, in the environment of the program.

Every job names a model, windows of tokens, and layers; it is answered by an .npz with the weights of these layers and
the logits of the windows, and a JSON beside it that says how the model was loaded, or why not. Without JOBS.json the
versions are printed. Needs NumPy alone beside the program.
"""

import contextlib
import importlib.metadata
import json
import pathlib
import platform
import sys

import numpy as np


def serve(packages, load, beside=()):
    """Run the jobs.

    Parameters
        packages, beside: names of the distributions whose versions count; of those that may be there, too.
        load: function of a job; gives what it has become, in words; a function, layer -> its weight (N, K) in the type
            that the program has it in; and a function, windows -> logits of all positions.
    """
    if len(sys.argv) == 1:
        versions = {package: importlib.metadata.version(package) for package in packages}
        for package in beside:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[package] = importlib.metadata.version(package)
        print(json.dumps(versions | {"python": platform.python_version()}))
        return
    for job in json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")):
        try:
            answer = _run(job, load)
        except Exception as error:  # whatever the program raises is its answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        pathlib.Path(job["answer"]).with_suffix(".json").write_text(json.dumps(answer), encoding="utf-8")


def _run(job, load):
    how, weight, logits = load(job)
    y = np.asarray(logits(np.load(job["windows"])), np.float32)  # first: some programs unpack when they are called
    np.savez(job["answer"], **{layer: np.asarray(weight(layer)) for layer in job["layers"]}, logits=y)
    return {"how": how}
