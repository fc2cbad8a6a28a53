"""What the figures of refq analyze signal say, in sentences: beside each claim of the paper what was measured here."""

from refq.jobs.signal import joined
from refq.jobs.signal_figures import ATTENTION, largest

SAME = 0.01  # a smaller relative difference is called none


def findings(report):
    """A list of dicts: "claim"; "verdict", a few words; "holds", True, False, or None for in part; "text"."""
    return [_largest(report), _unsteady(report), _nearer(report), _forward(report)]


def losses(report):
    """One sentence about the loss of all three."""
    loss = report["loss"]
    return (
        f"Cross-entropy on the probe: {loss['full']:.4f} in full precision, {loss['start']:.4f} quantized and not yet "
        f"trained, {loss['plain']:.4f} after training with nothing frozen, {loss['frozen']:.4f} with "
        f"{joined(report['freeze'])} frozen."
    )


def short(value):
    """Three digits.

    >>> short(0.012345), short(3.0), short(1234.5)
    ('0.0123', '3', '1.23e+03')
    """
    return f"{value:.3g}"


def _largest(report):
    order = {kind: largest(report, kind, ATTENTION) for kind in ("full", "plain")}
    text = "Squared gradient norms in the attention, mean over the layers: "
    text += f"{_listed(report, 'full', order['full'])} in full precision; "
    text += f"{_listed(report, 'plain', order['plain'])} at the end of training with nothing frozen. "
    text += f"Of all seven projections {joined(largest(report, 'full')[:2])} have the largest in full precision."
    verdict, plain = _among_first(order["full"]), _among_first(order["plain"])
    if plain != verdict:
        verdict = None, f"full precision: {verdict[1]}, at the end of training: {plain[1]}"
    return _finding("In the attention o and v have the largest gradients.", verdict, text)


def _unsteady(report):
    order = largest(report, "plain_change", ATTENTION)
    each = ", ".join(f"{name} ({report['projections'][name]['plain_change'] - 1:.1%})" for name in order)
    every = report["steps"][1] - report["steps"][0]
    later = "1 step" if every == 1 else f"at most {every} steps"
    text = f"With nothing frozen the squared norms change from one probe to the next ({later} later) by: {each} "
    return _finding("Those of o and v are the least steady.", _among_first(order), f"{text}(mean over the layers).")


def _nearer(report):
    names, seeds, freeze = report["compared"], len(report["seeds"]), f"{joined(report['freeze'])} frozen"
    text, wins, even = f"The gradients of {joined(names)} are off full precision ", [], []
    for key, when in (("distance", "at the end"), ("run", "over all probes of the run")):
        plain, frozen = report[key]["plain"], report[key]["frozen"]
        wins.append(sum(b < a for a, b in zip(plain, frozen, strict=True)))
        even.append(_compared(_mean(plain) - 1, _mean(frozen) - 1))
        text += (
            f"by a factor of {_mean(plain):.3f} with nothing frozen and of {_mean(frozen):.3f} with {freeze} {when}, "
        )
        text += f"nearer in {wins[-1]} of {seeds} runs; "
    text = f"{text[:-2]} (squared norms, geometric mean over layers and projections, to either side; 1 is equal)."
    verdict = None, f"in {wins[0]} of {seeds} runs at the end, in {wins[1]} over the run"
    if even[0] == even[1] and wins in ([0, 0], [seeds, seeds]):
        verdict = even[0]
    return _finding(f"With {freeze} the other gradients come nearer to full precision.", verdict, text)


def _forward(report):
    norm, mean = report["states"]["norm"], report["states"]["mean"]
    text = f"After each layer the norm of the states is off full precision by {norm['plain']:.2%} with nothing frozen "
    text += f"and by {norm['frozen']:.2%} with {joined(report['freeze'])} frozen, their mean by {short(mean['plain'])} "
    text += f"and {short(mean['frozen'])} (mean over the layers, at the end)."
    norms, means = (_compared(x["plain"], x["frozen"]) for x in (norm, mean))
    if norms != means:
        norms = None, f"norms: {norms[1]}, means: {means[1]}"
    return _finding("And so do the states of the forward pass.", norms, text)


def _finding(claim, verdict, text):
    return {"claim": claim, "holds": verdict[0], "verdict": verdict[1], "text": text}


def _among_first(order):
    first = {"o", "v"} & set(order[:2])
    if len(first) == 1:
        return None, "for v, not for o" if first == {"v"} else "for o, not for v"
    return bool(first), "holds here" if first else "does not hold here"


def _compared(plain, frozen):
    if abs(plain - frozen) <= SAME * max(plain, frozen):
        return False, "no difference here"
    return frozen < plain, "holds here" if frozen < plain else "the opposite here"


def _listed(report, kind, order):
    return ", ".join(f"{name} ({short(report['projections'][name][kind])})" for name in order)


def _mean(values):
    return sum(values) / len(values)
