"""Error correction with its factors merged into the weights before they are quantized, and kept beside them.

python -m benchmarks.correction_merge MODEL CALIBRATION TEXT [--learning-rates 5e-4 2e-3 5e-3] [--blocks 4]

The ablation of QLLM (2310.08041) whose files would need the factors at run time: nothing is written but the table.
W4A4, a grid a row and a token, channel reassembly first.
"""

import argparse
import pathlib

import numpy as np

import refq_fast
from benchmarks.dated import TODAY, dated
from refq.files.checkpoint import open_checkpoint
from refq.files.tokenizer import open_tokenizer
from refq.jobs.calibrated import Calibration, calibration_windows, plan_calibrated
from refq.jobs.methods.block import Block, Data, Settings, advance, finished, runnable
from refq.jobs.methods.reassembly import Reassembling, channel_reassembly
from refq.jobs.methods.recipe import checked
from refq.jobs.methods.training import Correction, correction, correction_recipe, train_blocks
from refq.jobs.model import load_model
from refq.jobs.perplexity import cut_windows, score
from refq.jobs.plan import Options
from refq.jobs.text import cut_documents, read_documents
from refq.training.blocks import block_weights, run_blocks
from refq.training.low_rank import corrected_outputs

SCORED = 20_000  # tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("calibration")
    parser.add_argument("text")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[5e-4, 2e-3, 5e-3])
    parser.add_argument("--blocks", type=int, default=4)
    options = parser.parse_args()
    engine, checkpoint = refq_fast, open_checkpoint(options.model)
    calibration = Calibration(checked([{"method": "reassembly"}, {"method": "correction"}], "here"), 4)
    chosen = Options(bits=4, group_size="channel", symmetric=False)
    schemes, attention = plan_calibrated(checkpoint, chosen, calibration)
    settings = Settings(engine, checkpoint.config | attention._asdict(), schemes, "minmax", 4)
    tokens, _ = calibration_windows(checkpoint, calibration, options.calibration)
    params = load_model(options.model, engine)[1]
    tokenizer = open_tokenizer(options.model, checkpoint.config["vocab_size"])
    windows = cut_windows(cut_documents(read_documents(options.text)[1], tokenizer)[:SCORED], 256)
    name = pathlib.Path(options.model).name
    lines = [f"# Error correction merged into the weights, and kept beside them: {name}, {TODAY}", ""]
    lines += [f"W4A4 after reassembly, {options.blocks} blocks a group. Perplexity of {SCORED} tokens.", ""]
    lines += ["| learning rate | kept beside | merged |", "|---|---:|---:|"]
    for rate in options.learning_rates:
        how = Correction(blocks=options.blocks, learning_rate=rate)
        both = (solve(merge, params, tokens, settings, how) for merge in (False, True))
        beside, merged = (perplexity(engine, weights, settings.config, windows) for weights in both)
        lines.append(f"| {rate:g} | {beside:.4f} | {merged:.4f} |")
        print(lines[-1], flush=True)
    dated(f"correction-merge-{name}.md").write_text("\n".join(lines) + "\n")


def solve(merge, params, tokens, settings, how):
    """Parameters for llama_forward, with `corrected_outputs` where the factors are kept."""
    x, layers = settings.engine.embed(tokens, params["model.embed_tokens.weight"]), settings.config["num_hidden_layers"]
    data, found = Data(x.copy(), x.copy()), dict(params)
    for first in range(0, layers, how.blocks):
        group, low = [], data.low.copy()
        for layer in range(first, min(first + how.blocks, layers)):
            original = Block(layer, {n: w for n, w in params.items() if n.startswith(f"model.layers.{layer}.")})
            group.append(channel_reassembly(original, Data(data.full, low), settings, Reassembling()))
            advance(data.full, original, settings, low=False)
            advance(low, finished(group[-1], settings), settings)
        pen = 0, lambda _: None
        if merge:
            for block in correction(group, data, settings, how, pen):
                found |= runnable(finished(block, settings), settings)
                advance(data.low, finished(block, settings), settings)
        else:
            trained, recipe = train_blocks(group, data, settings, correction_recipe(group, how), how, pen)
            weights = block_weights(trained, recipe, settings.engine)[0]
            found |= weights
            for row, x in enumerate(data.low):
                data.low[row] = run_blocks(weights, x[None], settings.config, recipe, settings.engine)[-1][0]
    return found


def perplexity(engine, params, config, windows):
    nats = score(corrected_outputs(engine), [(config, params)], windows)[0]
    return float(np.exp(nats / (windows.shape[0] * (windows.shape[1] - 1))))


if __name__ == "__main__":
    main()
