"""refq sweep: ablations out of a recipe, each a run of refq distill in a process of its own, and one table of them."""

import functools
import json
import os
import shlex
import time

import click

from refq import __version__
from refq.app import calibrated, distill, options, quantize
from refq.app.table import table
from refq.errors import UsageError
from refq.jobs.distillation import Distillation
from refq.jobs.plan import Options
from refq.jobs.progress import say
from refq.jobs.sweep import check_out, run_sweep, slug_of, write_results
from refq.jobs.sweep_places import connect, locally, on_cluster
from refq.jobs.sweep_recipe import check_sweep, located, read_recipe
from refq.jobs.sweep_run import FINISHED, Job
from refq.jobs.sweep_table import cells, summarize

COMMANDS = {"quantize": quantize.command, "distill": distill.command}
OURS = {"text", "val", "engine", "threads", "resume", "overwrite", "dry_run", "json", "debug"}  # not for a recipe
OURS |= {"compare", "tokens"}


@click.command()
@click.argument("recipe", type=options.FILE)
@click.argument("out", type=click.Path())
@click.option(
    "--cluster", metavar="ADDRESS", help="A Dask scheduler; its workers need refq, and the file system OUT is on."
)
@click.option("--jobs", type=options.COUNT, help="Runs at a time; cores / threads if not given.")
@options.engine
@click.option("--threads", type=options.COUNT, default=1, show_default=True, help="Threads of a run.")
@click.option("--keep-models", is_flag=True, help="Keep every model, not only its row and the log of its training.")
@click.option("--resume", is_flag=True, help="Skip the runs that are finished, continue the others.")
@click.option("--dry-run", is_flag=True, help="Check everything, print the commands, write nothing.")
@options.as_json
@click.pass_context
def command(ctx, recipe, out, cluster, jobs, engine, threads, dry_run, as_json, **switches):
    """Do every run that the file RECIPE asks for, and write one table of what came out into the directory OUT.

    \b
    teacher = "${MODELS}/teacher"   # paths are relative to RECIPE
    text = "train.txt"
    val = "valid.txt"
    tasks = ["items.jsonl"]         # optional: also refq evaluate
    [base]                          # options of refq distill
    steps = 300
    [[ptq]]                         # not trained: options of refq quantize
    range = ["minmax", "mse"]
    [[grid]]                        # trained; lists are multiplied out
    freeze = ["none", "o,v"]
    seed = [0, 1, 2]

    A run that dies is begun again where it stood, twice. If that does not help its row says why, the others go on,
    and the exit code is 1.
    """
    started, count = time.monotonic(), _count(cluster, jobs, threads)
    written = read_recipe(recipe, {verb: _names(verb) for verb in COMMANDS})
    scored = [written.base.get(name, getattr(Distillation(), name)) for name in ("context", "val_tokens")]
    extra = ("--engine", engine, "--threads", str(threads), "--json")
    work = _jobs(written, (scored, extra), os.path.abspath(out), switches["keep_models"])
    inputs = check_sweep(located(written), scored, [pair for pair, _ in work if pair])
    record = {"command": "sweep", "version": __version__, "scored": scored, "inputs": inputs}
    check_out(out, record, switches["resume"])
    rows = [job.row for _, job in work]
    if dry_run:
        click.echo(json.dumps(rows) if as_json else "\n".join(line for row in rows for line in row["commands"]))
        return
    where = functools.partial(locally, count) if cluster is None else functools.partial(on_cluster, connect(cluster))
    write = functools.partial(write_results, os.path.abspath(out), _about(written, scored))
    rows = run_sweep(os.path.abspath(out), [job for _, job in work], record, where, write)
    lines, failed = summarize(rows), sum(row["state"] != FINISHED for row in rows)
    report = {"out": out, "failed": failed, "seconds": round(time.monotonic() - started, 1), "table": lines}
    click.echo(json.dumps(report | {"runs": rows}) if as_json else f"{table(*cells(lines))}\n\n{out}: {_end(report)}")
    ctx.exit(1 if failed else 0)


def _count(cluster, jobs, threads):
    """How many runs are done at a time on this machine."""
    if cluster is not None:
        if jobs is not None:
            raise UsageError("--jobs with --cluster; there the workers decide how many runs are done at a time")
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if threads > cores:
        raise UsageError(f"--threads {threads}; this process may use 1..{cores}")
    return jobs or cores // threads


def _names(verb):
    """Long names of the options that a recipe may set, with _ for -."""
    names = {option.removeprefix("--").replace("-", "_") for param in COMMANDS[verb].params for option in param.opts}
    if verb == "quantize":
        names -= set(calibrated.VALUES)  # methods that look at a text: refq compare
    return names - OURS - {param.name for param in COMMANDS[verb].params if isinstance(param, click.Argument)}


def _jobs(written, scoring, out, keep):
    """((Options, Distillation or None) or None, Job) of every run; one that is asked for twice is done once."""
    recipe, found, usual = located(written), {}, _settings((Options(), Distillation()))
    for shown, run in zip(written.runs, recipe.runs, strict=True):
        pair = _resolved(run, _commands(recipe, run, "OUT", scoring)[0]) if run.verb else None
        settings = _settings(pair) if pair else {}
        changed = {key: value for key, value in settings.items() if value != usual[key]}  # options may be added
        slug = slug_of(run.verb, {key: shown.given[key] for key in shown.own}, [run.verb, changed])
        folder = os.path.join(out, "runs", slug)
        make, *score = _commands(recipe, run, os.path.join(folder, "model"), scoring)
        commands = ((*make, "--resume") if run.verb else make, *score)
        texts = [_shell(arguments) for arguments in _commands(written, shown, slug, scoring)]
        row = {"slug": slug, "name": run.name, "verb": run.verb, "commands": texts}
        row["settings"] = settings | ({"freeze": run.given["freeze"]} if "freeze" in run.given else {})
        found.setdefault(slug.rpartition("_")[2], (pair, Job(folder, "", commands, keep, _cost(pair), row)))
    if len(found) < len(recipe.runs):
        say(f"{len(recipe.runs)} runs are asked for, {len(found)} different ones; each is done once")
    return list(found.values())


def _commands(recipe, run, model, scoring):
    """What makes the model of a run, and what scores it: tuples of arguments for refq."""
    (context, tokens), extra = scoring
    commands = []
    if run.verb == "quantize":
        given = {"group_size": "channel"} | run.given  # as distill has it
        commands.append(("quantize", recipe.teacher, model, *_flags(given)))
    elif run.verb == "distill":
        validation = ("--val", recipe.val) if run.given.get("eval_every") else ()
        commands.append(("distill", recipe.teacher, model, "--text", recipe.text, *validation, *_flags(run.given)))
    else:
        model = recipe.teacher
    limit = ("--tokens", str(tokens)) if tokens else ()
    commands.append(("perplexity", model, "--text", recipe.val, "--context", str(context), *limit))
    commands += [("evaluate", model, "--task", task) for task in recipe.tasks]
    return [(*arguments, *extra) for arguments in commands]


def _flags(given):
    for key, value in given.items():
        option = key.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--a{option}"  # --symmetric, --asymmetric
        else:
            for item in value if isinstance(value, list) else [value]:
                yield from (f"--{option}", str(item))


def _resolved(run, arguments):
    """(Options, Distillation or None) of a run, as its command will read them."""
    try:
        with COMMANDS[run.verb].make_context(run.verb, list(arguments[1:])) as ctx:
            params = ctx.params
    except click.UsageError as error:
        own = ", ".join(f"{key} = {run.given[key]}" for key in run.own)
        raise UsageError(f"run {run.name!r} with {own}: {error.format_message()}") from None
    settings = {name: params[name] for name in set(Options._fields) & params.keys()}
    chosen = Options(range=params["rule"], **settings)
    if run.verb == "quantize":
        return chosen, None
    training = {name: params[name] for name in set(Distillation._fields) - {"cached"}}
    return chosen, Distillation(cached=params["teacher_cache"] is not None, **training)


def _settings(pair):
    options, training = pair
    settings = options._asdict() | (training._asdict() if training else {})
    return {key: ",".join(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _cost(pair):
    training = pair and pair[1]
    return training.steps * training.batch * training.context if training else 0


def _shell(arguments):
    """A command that can be pasted into a shell; its variables are filled in there."""
    return "python -m refq " + " ".join(f'"{item}"' if "$" in item else shlex.quote(item) for item in arguments)


def _about(recipe, scored):
    name = os.path.basename(recipe.path)
    tokens = f"the first {scored[1]} tokens of " if scored[1] else ""
    base = ", ".join(f"{key} = {value}" for key, value in recipe.base.items())
    return [
        name.removesuffix(".toml"),
        f"`refq sweep {name}` of refq {__version__}: the teacher is `{recipe.teacher}`, students are trained on "
        f"`{recipe.text}`; perplexity is that of {tokens}`{recipe.val}` in windows of {scored[0]}. "
        f"For all: {base or 'the defaults'}.",
    ]


def _end(report):
    failed = f", {report['failed']} failed" if report["failed"] else ""
    return f"{sum(line['n'] for line in report['table'])} runs finished{failed}, {report['seconds']:.0f} s"
