"""How far a long job is: a bar on a terminal, a plain line every few seconds elsewhere. Always on stderr."""

import contextlib
import sys
import time

SECONDS = 5.0  # between two plain lines
WORTH_SAYING = 10**8  # bytes: a job that needs less disk or memory than this surprises nobody


@contextlib.contextmanager
def progress(total, unit, label):
    """Show the progress of a job of `total` units; gives a function to call with the units just done.

    Parameters
        total: number of units.
        unit: what is counted, "B" or "tokens".
        label: what is being done, one word.
    Yields
        advance: a function of the number of units done since the last call, and perhaps of a remark to show.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm  # 0.1 s to import: only where there is a bar

        with tqdm(total=total, unit=unit, desc=label, unit_scale=True, unit_divisor=1000, leave=False) as bar:
            yield lambda count, remark="": (bar.set_postfix_str(remark, refresh=False), bar.update(count))
    else:
        yield _lines(total, unit, label, time.monotonic())


def say(text):
    """One sentence to the user, beside the result."""
    print(f"refq: {text}", file=sys.stderr, flush=True)


def say_bounds(memory, disk):
    """What a job needs at most, in bytes, if that surprises anybody."""
    if disk > WORTH_SAYING:
        say(f"at most {size(memory)} of memory and {size(disk)} of disk are needed")


def size(number, unit="B"):
    """A number with a decimal prefix and its unit.

    >>> size(2_200_000_000)
    '2.20 GB'
    """
    for prefix in ("", "k", "M", "G"):
        if number < 999.5 or prefix == "G":
            break
        number /= 1000
    digits = 0 if not prefix else 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:.{digits}f} {prefix}{unit}"


def _lines(total, unit, label, started):
    done, told = 0, started

    def advance(count, remark=""):
        nonlocal done, told
        done, now = done + count, time.monotonic()
        if now - told >= SECONDS or (done >= total and now - started >= SECONDS):
            told, rate = now, done / (now - started)
            text = f"{label}: {size(done, unit)} of {size(total, unit)} ({done / total:.0%})"
            text += f", {size(rate, unit)}/s, {(total - done) / rate:.0f} s left" if done else ""
            print(f"{text}; {remark}" if remark else text, file=sys.stderr, flush=True)

    return advance
