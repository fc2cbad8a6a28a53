"""What codebooks cost a real BERT that is not trained again: STS-B dev, cosine of mean-pooled states, per tensor.

python -m benchmarks.sentences DATA [--minilm FOLDER] [--bits 1 2 3 4 5]

DATA has glue/stsb/dev.jsonl. All matrices are quantized, embeddings among them.
"""

import argparse
import pathlib
import tempfile

import numpy as np

from benchmarks.dated import TODAY, dated
from benchmarks.minilm import PACKAGE, minilm
from refq.app.engine import load
from refq.jobs.encoder import load_encoder
from refq.jobs.finetune import uniform
from refq.jobs.sentences import figures, open_task, predict
from refq.training.codebook_student import SCHEMES, quantized_names, start_student, used_weights

FLOAT, WITHIN = 0.8673, 0.0005  # Spearman in float32 by transformers, and how near ours must be
SEEDS = {"kmeans": (0, 1, 2)}  # the others draw nothing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--minilm", default=pathlib.Path(tempfile.gettempdir()) / "refq-minilm")
    parser.add_argument("--bits", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    options = parser.parse_args()
    engine, directory = load("fast"), minilm(options.minilm)
    config, weights = load_encoder(directory)
    task = open_task(directory, config, options.data / "glue" / "stsb" / "dev.jsonl")

    def score(params):
        return figures(task, predict(engine, (config, params), task))["spearman"]

    float32 = score(weights)
    assert abs(float32 - FLOAT) <= WITHIN, f"Spearman in float32 is {float32:.4f}; {FLOAT} within {WITHIN} is needed"
    lines = [HEADING.format(PACKAGE, float32)]
    for bits in options.bits:
        cells = []
        for scheme in SCHEMES:
            found = [measured(engine, weights, scheme, bits, seed, score) for seed in SEEDS.get(scheme, (0,))]
            errors, scores = np.array(found).T
            spread = f" ({scores.min():.4f} to {scores.max():.4f})" if len(scores) > 1 else ""
            cells.append(f"{scores.mean():.4f}{spread}, {errors.mean():.3g}")
        lines.append(f"| {bits} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    print(text)
    dated("sentences-minilm.md").write_text(text)


def measured(engine, weights, scheme, bits, seed, score):
    """(squared error of the matrices relative to their square, Spearman) of one quantization."""
    draws = lambda number: uniform(2**bits, seed, number)  # noqa: E731
    used = used_weights(start_student(weights, scheme, bits, draws, engine), engine)
    names = quantized_names(weights)
    error = sum(np.square(weights[name] - used[name], dtype=np.float64).sum() for name in names)
    return error / sum(np.square(weights[name], dtype=np.float64).sum() for name in names), score(used)


HEADING = f"""# all-MiniLM-L6-v2 on STS-B dev, {TODAY}

{{}}. Spearman of the cosine of mean-pooled states with the scores, 1,500 pairs; in float32 {{:.4f}}.
All matrices have one codebook each, embeddings among them; nothing is trained. kmeans: k-means++ and at most three of
Lloyd's iterations, as 2010.07109 (recalled, unverified), mean and range of three seeds; kmeans_optimal: the optimum;
linear_mean: bins of equal width with their means, what that paper calls linear (recalled); linear_round: rounding.
In each cell: Spearman, and the squared error of all matrices relative to their square.

| bits | {" | ".join(SCHEMES)} |
|---:|---:|---:|---:|---:|"""


if __name__ == "__main__":
    main()
