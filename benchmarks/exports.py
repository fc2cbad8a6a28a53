"""Every export, loaded by the program that it is for, beside refq: weights, perplexity, and the way back.

python -m benchmarks.exports DATA OUT [--python PROGRAM=INTERPRETER ...] [--only PROGRAM ...] [--tokens 4096]

DATA holds models/stories260K and text/tinystories/valid.txt; the other model is that of the package. OUT is a new
folder for all that is written. Every program runs in an interpreter of its own environment, this one unless told
otherwise; one that is not there is missing in the table, too. Writes a dated table and JSON; exit 1 if anything is
outside its bound.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
from click.testing import CliRunner

from benchmarks.exports_cases import CASES, runs
from benchmarks.exports_found import compared, ours, returned
from benchmarks.exports_table import leave
from refq.app.main import main as refq
from refq.files.checkpoint import open_checkpoint
from refq.files.tokenizer import open_tokenizer
from refq.jobs.perplexity import cut_windows
from refq.jobs.pretrain import HELD_OUT
from refq.jobs.text import cut_documents, read_documents
from refq.world.stories import story

HERE = pathlib.Path(__file__).parent
SCRIPTS = {name: f"in_{name}.py" for name in ("transformers", "compressed_tensors", "gptqmodel", "optimum", "mlx_lm")}
SCRIPTS |= {"onnxruntime": "in_onnxruntime.py", "llama_cpp": "in_llama_cpp.py", "optimum": "in_transformers.py"}
CONTEXT, DOCUMENTS = 256, 100  # tokens of a window; stories of the small world


def main():
    options = _options()
    options.out.mkdir(parents=True)
    models = {"stories260K": options.data / "models" / "stories260K", "world": HERE.parent / "refq" / "world" / "model"}
    texts = {"stories260K": read_documents(options.data / "text" / "tinystories" / "valid.txt")[1]}
    texts["world"] = [story(0, HELD_OUT + number) for number in range(DOCUMENTS)]
    for name, model in models.items():
        cut(model, texts[name], options.out / f"{name}.npy", options.tokens)
    exports = [exported(case, models[case.model], options.out) for case in CASES]
    rows, versions = [], {}
    for program in options.only:
        python = options.python.get(program, sys.executable)
        versions[program] = versions_of(program, python)
        if isinstance(versions[program], dict):
            rows += answers(program, python, exports, options.out)
    leave(rows, versions, exports, options.tokens)
    sys.exit(any(row["wrong"] for row in rows) or any(each["back"] is False for each in exports))


def _options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--python", action="append", default=[], metavar="PROGRAM=INTERPRETER")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    parser.add_argument("--tokens", type=int, default=4096)
    options = parser.parse_args()
    options.python = dict(each.split("=", 1) for each in options.python)
    options.out = options.out.absolute()
    return options


def cut(model, documents, path, count):
    """Write the first tokens of documents, in windows."""
    tokenizer = open_tokenizer(model, open_checkpoint(model).config["vocab_size"])
    np.save(path, cut_windows(cut_documents(documents, tokenizer)[:count], CONTEXT))


def exported(case, model, out):
    """What refq's own commands make of a case: paths, or the sentence with which it is refused."""
    found = {"case": case, "source": model, "file": None, "back": None}
    if case.quantize:
        found["source"] = out / case.slug
        if not found["source"].exists():
            _refq("quantize", model, found["source"], *case.quantize)
    path = out / f"{case.slug}-{case.to}"
    if case.one_file:
        path.mkdir(exist_ok=True)
        path /= f"{case.kind or 'model'}.{case.to}"
    kind = ("--type", case.kind) if case.kind else ()
    found["said"], found["refused"] = _refq("export", found["source"], path, "--to", case.to, *kind)
    if found["refused"]:
        return found | {"refused": found["refused"].replace(f"{out}/", "")}
    del found["said"]["out"]
    if case.quantize:
        back = path.with_name(f"{path.name}-back")
        _refq("import", path, back)
        found["back"] = returned(found["source"], back)
    return found | {"file": path}


def _refq(*arguments):
    """(what a command says as JSON, None), or (None, the sentence with which it refuses)."""
    done = CliRunner().invoke(refq, [str(argument) for argument in (*arguments, "--json")])
    if done.exit_code not in (0, 2):
        sys.exit(f"refq {' '.join(map(str, arguments))}: {done.stderr or done.exception!r}")
    return (None, done.stderr.strip().splitlines()[-1]) if done.exit_code else (json.loads(done.stdout), None)


def versions_of(program, python):
    """Distribution -> version, or the sentence with which the program does not start."""
    asked = subprocess.run([python, HERE / "programs" / SCRIPTS[program]], capture_output=True, text=True)
    return asked.stderr.strip().splitlines()[-1] if asked.returncode else json.loads(asked.stdout)


def answers(program, python, exports, out):
    """A row for every load of an export by a program; `out` has the windows of each model."""
    work, folder = [], out / f"answers-{program}"
    folder.mkdir()
    for each in exports:
        for settings in runs(each["case"], program) if each["file"] else ():
            windows = str(out / f"{each['case'].model}.npy")
            job = {"program": program, "model": str(each["file"]), "windows": windows, "context": CONTEXT, **settings}
            work.append((each, job | {"answer": str(folder / f"{len(work)}.npz")} | ours(each, windows).facts))
    (folder / "jobs.json").write_text(json.dumps([job for _, job in work]), encoding="utf-8")
    command = [python, HERE / "programs" / SCRIPTS[program], folder / "jobs.json"]
    with open(folder / "log.txt", "wb") as log:
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, stdout=log, stderr=log, env=environment)
    rows = []
    for each, job in work:
        rows.append(compared(each, job, ours(each, job["windows"])))
        pathlib.Path(job["answer"]).unlink(missing_ok=True)
    print(f"{program}: {len(rows)} loads, {sum(row['wrong'] for row in rows)} of them wrong", flush=True)
    return rows


if __name__ == "__main__":
    main()
