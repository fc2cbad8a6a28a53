"""refq demo: the paper's story with no download and no argument."""

import json
import os
import shlex
import shutil
import sys
import time

import click

from refq.app import options
from refq.app.demo_text import README, models, picture, sentences


@click.command()
@click.option("--out", type=click.Path(), default="refq-demo", show_default=True, help="The directory to write.")
@options.engine
@options.threads
@options.as_json
def command(out, engine, threads, as_json):
    """Quantize the small LLaMA of the package, train its low-bit copies with nothing and with o and v frozen, and
    compare: perplexity, accuracy, size, and how gradients pass through them.
    """
    from refq.app.analyze import page_maker
    from refq.app.engine import load
    from refq.jobs import demo

    started, plan, page = time.monotonic(), demo.PLAN, page_maker()
    loaded = load(engine, threads, training=True)
    hints = _hints(out, plan)
    report = demo.run_demo(out, loaded, plan, lambda *found: _files(*found, plan, page, hints))
    seconds = round(time.monotonic() - started, 3)
    if as_json:
        click.echo(json.dumps({"out": out, "seconds": seconds} | report | {"measured": sentences(report)}))
        return
    pages = "".join(f", {os.path.join(out, f'signal-w{bits}.html')}" for bits in report["gradients"] if page)
    click.echo(f"{_text(report)}\n\n{out}{pages}: written in {seconds:.0f} s. To go on:\n{hints}")


def _text(report):
    """All that was measured, for a reader."""
    original = report["results"][0]
    about = f"{original['items']} questions, chance {original['chance']:.1%}, with the standard error; perplexity of "
    about += f"{original['tokens_scored']} tokens of stories that no model was trained on"
    parts = [f"{models(report['results'])}\n{click.wrap_text(about, 100)}"]
    parts.append(f"squared gradient norms over full precision, at the end\n\n{picture(report['gradients'])}")
    parts += [click.wrap_text(sentence, 100) for sentence in sentences(report)]
    parts.append("One run each: another seed can turn such an order round. refq sweep compares over seeds.")
    return "\n\n".join(parts)


def _files(report, signals, plan, page, hints):
    """File name -> text: README.md, and for every width the page and the numbers behind it."""
    from refq.app.analyze import described
    from refq.jobs.demo import grid
    from refq.jobs.signal_figures import csv

    lines = {}
    files, settings = {}, ""
    for bits, found in signals.items():
        name, texts = f"signal-w{bits}", ("text/train.txt", "text/valid.txt")
        lines = described("refq's own model", texts, grid(bits), plan.training[bits], found.seeds)
        settings += f"- {lines[1]}\n"
        files[f"{name}.csv"] = csv(found)
        if page is not None:
            files[f"{name}.html"] = page(found, report["gradients"][bits], lines, f"{name}.csv")
    return files | {"README.md": README.format(settings=settings, text=_text(report), hints=hints)}


def _hints(out, plan):
    """What to do next, as commands that can be pasted: with the path of this program where `refq` is not found."""
    command = "refq" if shutil.which("refq") else _running()
    at = {name: shlex.quote(os.path.join(out, name)) for name in ("text/train.txt", "text/valid.txt")}
    bits, training = min(plan.training.items())
    ptq, frozen = (shlex.quote(os.path.join(out, f"w{bits}-{kind}")) for kind in ("ptq", "ov-freeze"))
    original, task = (shlex.quote(min(path, os.path.relpath(path), key=len)) for path in (plan.model, plan.task))
    longer = f"--bits 3 --freeze none --steps {5 * training.steps} --batch {training.batch}"
    prompt = '--prompt "One rainy day, Rosa was on the farm with Finn." --max-tokens 80'
    lines = (
        f"generate {ptq} {prompt}",
        f"generate {frozen} {prompt}",
        f"inspect {frozen}",
        f"perplexity {frozen} --text {at['text/valid.txt']} --original {original}",
        f"evaluate {frozen} --task {task}",
        f"distill {original} w3-kd-qat --text {at['text/train.txt']} {longer}",
    )
    return "\n".join(f"  {command} {line}" for line in lines)


def _running():
    program = sys.argv[0]
    if os.path.basename(program) == "refq" and os.access(program, os.X_OK):
        return shlex.quote(program)
    return f"{shlex.quote(sys.executable)} -m refq"
