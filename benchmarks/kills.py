"""Kill `refq quantize`, or another verb, at random moments, resume, and compare every byte with a whole run's.

python -m benchmarks.kills MODEL FOLDER [--verb VERB] [--kills 20] [-- options of the verb]

FOLDER must be on a disk with room for two outputs. Prints one line a trial and writes a dated table; exit 1 if any
trial differs.
"""

import argparse
import hashlib
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

from benchmarks.dated import TODAY, dated
from refq.jobs.training_state import load_state


def digest(directory):
    """One sha256 of the names and bytes of all files of a directory."""
    whole = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        with open(path, "rb") as file:
            whole.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def written(verb, directory):
    """What a run is told to write: the directory; for sample, whose record stands beside its text, a text in it."""
    if verb != "sample":
        return directory
    directory.mkdir(exist_ok=True)
    return directory / "text.txt"


def run(verb, model, directory, *options):
    """A running `refq VERB`."""
    command = [sys.executable, "-m", "refq", verb, str(model), str(written(verb, directory)), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Wait for it; its failure is ours."""
    _, said = process.communicate()
    if process.returncode:
        sys.exit(f"refq exited with {process.returncode}: {said}")


def trial(verb, model, directory, options, moment):
    """Start afresh, kill after `moment` seconds, resume to the end. Gives what the kill left finished."""
    shutil.rmtree(directory, ignore_errors=True)
    process = run(verb, model, directory, *options)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    out = written(verb, directory)
    kept = finished(verb, out.parent / f".{out.name}.partial")
    finish(run(verb, model, directory, *options, "--resume"))
    return kept


def finished(verb, room):
    """What a killed run has finished, in words."""
    if verb == "sample":
        state = room / "state"
        return f"{json.loads(state.read_text())['tokens'] if state.exists() else 0} tokens"
    tensors = max(0, len((room / "journal").read_bytes().splitlines()) - 1) if (room / "journal").exists() else 0
    state = load_state(room)
    return f"{state[1]['step']} steps, {tensors} tensors" if state else f"{tensors} tensors"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--verb", choices=("quantize", "distill", "finetune", "sample"), default="quantize")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    cut = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given = parser.parse_args(sys.argv[1:cut], argparse.Namespace(options=sys.argv[cut + 1 :]))
    began = time.monotonic()
    shutil.rmtree(given.folder / "whole", ignore_errors=True)
    finish(run(given.verb, given.model, given.folder / "whole", *given.options))
    seconds = time.monotonic() - began
    expected, moments = digest(given.folder / "whole"), random.Random(given.seed)
    size = sum(path.stat().st_size for path in given.model.glob("*.safetensors"))
    lines = [f"# {given.kills} kills of refq {given.verb}, {TODAY}", ""]
    lines += [f"{size} bytes of weights, options {given.options}; uninterrupted {seconds:.1f} s, sha256 {expected}", ""]
    lines += ["| killed after | finished | after resuming |", "|---|---|---|"]
    wrong = 0
    for _ in range(given.kills):
        moment = moments.uniform(0, seconds)
        kept = trial(given.verb, given.model, given.folder / "killed", given.options, moment)
        same = digest(given.folder / "killed") == expected
        wrong += not same
        lines.append(f"| {moment:.2f} s | {kept} | {'identical' if same else 'DIFFERENT'} |")
        print(lines[-1], flush=True)
    lines.append(f"\n{given.kills - wrong} of {given.kills} identical.")
    print(lines[-1])
    dated(f"kills-{given.verb}-{given.model.name}.md").write_text("\n".join(lines) + "\n")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
