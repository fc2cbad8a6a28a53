"""A copy of a model with outliers in its activations, and the same outputs: what large models have and small ones lack.

python -m benchmarks.outlier_model MODEL OUT [--factors 32 16 8] [--hidden 16] [--seed 0]

Some channels of what the norms give become `factors` times as large, and the columns that read them as much smaller;
likewise channels between up_proj and down_proj with --hidden. Powers of two change no output by a bit. As float32.
"""

import argparse
import json
import pathlib
import shutil

import numpy as np

import refq
from refq.jobs.arrays import write_arrays
from refq.jobs.model import load_model
from refq.transforms.outliers import inject_outliers

BESIDE = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--factors", type=float, nargs="+", default=[32, 16, 8])
    parser.add_argument("--hidden", type=float, nargs="*", default=[16])
    parser.add_argument("--seed", type=int, default=0)
    write_outlier_model(**vars(parser.parse_args()))


def write_outlier_model(model, out, factors=(32, 16, 8), hidden=(16,), seed=0):
    """Write the model directory `out`.

    Returns
        channels: of the residual stream, and between up_proj and down_proj, that are larger now.
    """
    config, params = load_model(model, refq)
    random = np.random.default_rng(seed)
    channels = sorted(random.permutation(config["hidden_size"])[: len(factors)].tolist())
    inner = sorted(random.permutation(config["intermediate_size"])[: len(hidden)].tolist())
    params = inject_outliers(params, config, channels, list(factors))
    if inner:
        params = inject_outliers(params, config, [], list(hidden), inner)
    out.mkdir(parents=True)
    for name in BESIDE:
        if (model / name).exists():
            shutil.copyfile(model / name, out / name)
    raw = json.loads((model / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(raw | {"dtype": "float32"}, indent=2))
    write_arrays(out / "model.safetensors", params, {"format": "pt"})
    return channels, inner


if __name__ == "__main__":
    main()
