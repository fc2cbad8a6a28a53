"""QLLM's ablations in small: `refq compare` of recipes that differ in one thing. W4A4, a grid a row and a token.

python -m benchmarks.reassembly_ablation MODEL CALIBRATION TEXT OUT [--ratios 0.01 0.03 0.05 0.07] [--seeds 0,1,2]

Channels split by a fixed expansion ratio, alone, with others pruned, and with others merged (by the paper's distance
and by its program's score), and by the adaptive threshold; error correction with and without reassembly, of 1, 2 and 4
blocks together; all weights tuned. The table is OUT.md.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

RATE = 2e-3  # of the paper's 1,280 steps of 5e-4 there are 160 here, on a model of a ten-thousandth of its size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "calibration", "text", "out"):
        parser.add_argument(name)
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.01, 0.03, 0.05, 0.07])
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for name, steps in recipes(options.ratios).items():
            names.append(pathlib.Path(folder, f"{name}.toml"))
            names[-1].write_text("\n".join(map(table, steps)))
        command = [
            sys.executable,
            "-m",
            "refq",
            "compare",
            options.model,
            "--methods",
            ",".join(map(str, ["rtn", *names])),
        ]
        command += ["--bits", "W4A4", "--calibration", options.calibration, "--text", options.text, "--tokens", "20000"]
        command += ["--group-size", "channel", "--asymmetric", "--seeds", options.seeds, "--out", f"{options.out}.csv"]
        sys.exit(subprocess.run([*command, "--resume"]).returncode)


def recipes(ratios):
    """Name -> steps."""
    found = {}
    for ratio in ratios:
        fixed = {"method": "reassembly", "search": "fixed", "ratio": ratio}
        for assembly in ("none", "prune", "merge"):
            found[f"{assembly}-{ratio:g}"] = [fixed | {"assembly": assembly}]
        found[f"merge-official-score-{ratio:g}"] = [fixed | {"score": "official"}]
    adaptive = {"method": "reassembly"}
    found["adaptive"] = [adaptive]
    found["adaptive-official"] = [adaptive | {"search": "official", "score": "official"}]
    for blocks in (1, 2, 4):
        correction = {"method": "correction", "blocks": blocks, "learning_rate": RATE}
        found[f"adaptive-correction-{blocks}"] = [adaptive, correction]
        found[f"adaptive-tuning-{blocks}"] = [adaptive, correction | {"method": "tuning"}]
    found["correction-4-alone"] = [correction]
    found["adaptive-correction-4-extras"] = [adaptive, correction | {"official_extras": True}]
    return found


def table(step):
    """One step as TOML."""
    values = {key: str(value).lower() if isinstance(value, bool) else repr(value) for key, value in step.items()}
    return "[[step]]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


if __name__ == "__main__":
    main()
