"""Figures made of what refq.jobs.signal measured: every number that a report states."""

import numpy as np

from refq.training.student import PROJECTIONS

NAMES = list(PROJECTIONS)
ATTENTION = NAMES[:4]  # what the paper looked at
SMALLEST = 1e-100  # in place of a gradient of 0, which has no logarithm; squares of float32 are larger
COLUMNS = ("seed", "step", "model", "layer", "projection", "quantity", "value")


def figures(signals, freeze):
    """Everything a report says, as plain numbers.

    Parameters
        signals: refq.jobs.signal.Signals.
        freeze: the projections that the second student freezes.
    Returns
        dict: "steps", "seeds", "freeze", "probe_tokens";
        "projections": name -> "weights" (of a layer); "full", "plain", "frozen" (squared norm at the end, mean over
            layers and seeds); "start_ratio", "plain_ratio", "frozen_ratio" (to full precision, geometric mean; the
            first before any training); "plain_change", "frozen_change" (factor from probe to probe); "passed" (share
            of the plain student's squared norm that the quantizer's rule lets through);
        "compared": the projections that both students train, or all;
        "distance": "plain", "frozen" -> of each seed the factor by which these are off full precision at the end, to
            either side, geometric mean; "run": the same over all probes after the start;
        "states": "norm", "mean" -> of both students how far the states' are from full precision at the end: relative,
            and absolute; mean over layers and seeds;
        "loss": cross-entropy on the probe, mean over seeds: "full", "start", and at the end "plain", "frozen".
    """
    compared = [name for name in NAMES if name not in freeze] or NAMES
    columns = [NAMES.index(name) for name in compared]
    pairs = signals.students.items()
    off = {kind: _off(signals, student)[..., columns] for kind, student in pairs}  # (seeds, probes, layers, compared)
    report = {"steps": signals.steps, "seeds": signals.seeds, "freeze": list(freeze), "probe_tokens": signals.probe}
    report["projections"] = {name: _projection(signals, column) for column, name in enumerate(NAMES)}
    report["compared"] = compared
    report["distance"] = {kind: np.exp(x[:, -1].mean(axis=(1, 2))).tolist() for kind, x in off.items()}
    report["run"] = {kind: np.exp(x[:, 1:].mean(axis=(1, 2, 3))).tolist() for kind, x in off.items()}
    report["states"] = {
        "norm": {kind: float(np.abs(x["norm"][:, -1] / signals.full["norm"] - 1).mean()) for kind, x in pairs},
        "mean": {kind: float(np.abs(x["mean"][:, -1] - signals.full["mean"]).mean()) for kind, x in pairs},
    }
    ends = {kind: float(student["loss"][:, -1].mean()) for kind, student in pairs}
    start = float(signals.students["plain"]["loss"][:, 0].mean())
    return report | {"loss": {"full": float(signals.full["loss"]), "start": start} | ends}


def ratios(signals, student):
    """Squared norms of a student over those of full precision, (seeds, probes, layers, 7)."""
    return np.maximum(student["used"], SMALLEST) / np.maximum(signals.full["used"], SMALLEST)


def largest(report, kind, names=NAMES):
    """Names by one of the figures of "projections", the largest first."""
    return sorted(names, key=lambda name: -report["projections"][name][kind])


def rows(signals):
    """All that was measured, a number a row, in the order of COLUMNS; what does not apply is None."""
    yield from _rows(None, 0, "full", signals.full)
    for model, student in signals.students.items():
        for i, seed in enumerate(signals.seeds):
            for at, step in enumerate(signals.steps):
                yield from _rows(seed, step, model, {k: x[i, at] for k, x in student.items() if k != "batch_loss"})
            for step, loss in enumerate(student["batch_loss"][i], 1):
                yield from _rows(seed, step, model, {"batch_loss": loss})


def csv(signals):
    """The rows as text; floats as Python reads them back."""
    lines = [("" if cell is None else str(cell) for cell in row) for row in rows(signals)]
    return "\n".join(map(",".join, [COLUMNS, *lines])) + "\n"


def _rows(seed, step, model, report):
    for quantity, x in report.items():
        for place, value in np.ndenumerate(x):
            layer, column = (*place, None, None)[:2]
            yield seed, step, model, layer, None if column is None else NAMES[column], quantity, float(value)


def _off(signals, student):
    return np.abs(np.log(ratios(signals, student)))


def _projection(signals, column):
    found = {"weights": int(signals.weights[0, column]), "full": float(signals.full["used"][:, column].mean())}
    for kind, student in signals.students.items():
        used = student["used"][..., column]  # (seeds, probes, layers)
        found[kind] = float(used[:, -1].mean())
        found[f"{kind}_ratio"] = float(np.exp(np.log(ratios(signals, student)[:, -1, :, column]).mean()))
        steps = np.abs(np.diff(np.log(np.maximum(used, SMALLEST)), axis=1))
        found[f"{kind}_change"] = float(np.exp(steps.mean()))
    plain = signals.students["plain"]
    found["start_ratio"] = float(np.exp(np.log(ratios(signals, plain)[:, 0, :, column]).mean()))
    passed = (plain[kind][:, -1, :, column].sum() for kind in ("trained", "used"))
    return found | {"passed": float(next(passed) / max(next(passed), SMALLEST))}
