"""The command line. A verb is imported when it is called; an error becomes one sentence and an exit code."""

import contextlib
import errno
import importlib
import os
import sys
import traceback

import click

from refq import __version__
from refq.app.signals import end_within
from refq.errors import FileError, GroupSizeError, NonFiniteError, RefqError, UsageError

VERBS = {
    "quantize": "Write a low-bit copy of a model that other programs load.",
    "distill": "Train a low-bit copy of a model to behave like it.",
    "finetune": "Teach an encoder a task, float or with codebooks for weights.",
    "sample": "Write a text of a model's own documents, to distill it from.",
    "compare": "Quantize with many methods at several widths: one table, one plot.",
    "sweep": "Train many low-bit copies, and compare them in one table.",
    "perplexity": "Score a text with a model.",
    "evaluate": "Score a set of questions or sentences with a model.",
    "analyze": "Look inside a model: its sensitive layers, its gradients.",
    "plot": "Draw the weights of a model, and what codebooks keep of them.",
    "generate": "Continue a prompt.",
    "export": "Write a quantized model as other programs have it.",
    "import": "Take a model that another program quantized.",
    "inspect": "List tensors, shapes, bits, bytes and errors of a model.",
    "pretrain": "Train the small LLaMA of the package anew.",
    "warmup": "Compile the kernels now, once for this installation.",
    "info": "Describe this installation, for bug reports.",
    "conform": "Run the golden cases against any implementation.",
    "golden": "Verify the installed golden files.",
    "demo": "The story of ov-freeze, told on the model of the package.",
}
DISK = {errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM}
EXIT = ((UsageError, 2), (GroupSizeError, 2), (FileError, 3), (NonFiniteError, 3))


class Verbs(click.Group):
    """A group that imports `refq.app.<verb>` only when the verb is called, and owns the exit codes."""

    def list_commands(self, ctx):
        return list(VERBS)

    def get_command(self, ctx, name):
        if name not in VERBS:
            return None
        command = importlib.import_module(f"refq.app.{name}").command
        for one in (command, *getattr(command, "commands", {}).values()):
            if all(parameter.name != "debug" for parameter in one.params):
                one.params.append(_debug_option())
        return command

    def format_commands(self, ctx, formatter):
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def main(self, args=None, prog_name=None, **_):
        args, state = sys.argv[1:] if args is None else list(args), {"debug": False}
        try:
            with end_within(2.0):
                sys.exit(self._run(args, state))
        except BrokenPipeError:  # the reader has seen enough: | head. Whether we notice is chance, so it is no failure
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except (KeyboardInterrupt, click.Abort):
            click.echo("refq: interrupted", err=True)
            sys.exit(130)
        except Exception as error:
            if state["debug"]:
                traceback.print_exc()
            sentence, code = explain(error)
            click.echo(f"refq: {sentence}", err=True)
            sys.exit(code)

    def _run(self, args, state):
        try:
            with self.make_context("refq", args, obj=state) as ctx:
                self.invoke(ctx)
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return 2
        except click.exceptions.Exit as done:
            return done.exit_code
        return 0


def explain(error):
    """One sentence and the exit code: 2 usage, 3 input, 4 the disk, 1 everything else."""
    if isinstance(error, click.ClickException):
        where = getattr(getattr(error, "ctx", None), "command_path", None)
        return error.format_message() + (f" ({where} --help says more)" if where else ""), error.exit_code
    for kind, code in EXIT:
        if isinstance(error, kind):
            return str(error), code
    if isinstance(error, OSError) and error.errno in DISK:
        return ": ".join(filter(None, [error.filename, error.strerror])), 4
    if isinstance(error, MemoryError):
        return f"out of memory: {error}", 1
    if isinstance(error, RefqError):
        return str(error), 1
    return f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1


def _debug_option():
    def remember(ctx, parameter, value):
        if value and isinstance(ctx.obj, dict):
            ctx.obj["debug"] = True

    text = "Show the traceback of an error."
    return click.Option(["--debug"], is_flag=True, expose_value=False, callback=remember, is_eager=True, help=text)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="refq")
def main():
    """Low-bit language models on a CPU: a readable reference, its fast twin, and golden vectors."""
