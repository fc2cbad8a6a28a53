"""Where the runs of a sweep are done: in processes of this machine, or by the workers of a Dask cluster."""

import concurrent.futures
import contextlib
import functools
import logging
import os
import sys
import threading

from refq.errors import RefqError, UsageError
from refq.jobs.child import POLL
from refq.jobs.sweep_run import failed_row, perform

RETRIES = 2
CONNECT = 10  # seconds until a scheduler must have answered


def locally(count, jobs, stop):
    """Do runs here, `count` at a time; yields (job, row) as they end.

    Parameters
        count: int.
        jobs: list of Job.
        stop: function that makes every run end; called if this generator is left early.
    """
    with concurrent.futures.ThreadPoolExecutor(count) as pool, _stopping(stop):
        futures = {pool.submit(perform, job): job for job in jobs}
        with _stopping(lambda: [future.cancel() for future in futures]):
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], _row(futures[future], future)


def aloud(jobs, stop):
    """Do runs here, one after the other, and pass on what they say of memory and progress.

    Parameters
        jobs, stop: as in `locally`.
    """
    over, ends = threading.Event(), {}
    for job in jobs:
        path = os.path.join(job.folder, "log")
        ends[path] = os.path.getsize(path) if os.path.exists(path) else 0  # what an earlier one has said
    names = {os.path.join(job.folder, "log"): job.row["name"] for job in jobs}
    listener = threading.Thread(target=_pass_on, args=(names, ends, over), daemon=True)
    listener.start()
    try:
        yield from locally(1, jobs, stop)
    finally:
        over.set()
        listener.join()


def connect(address):
    """The client of a Dask cluster.

    Parameters
        address: of the scheduler, as "tcp://host:8786".
    Raises
        UsageError: dask.distributed is not installed, or nobody answers.
    """
    try:
        from distributed import Client  # only where a cluster is asked for
    except ImportError:
        raise UsageError("--cluster needs dask.distributed: pip install 'refq[sweep]'") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it would show tracebacks of what we tell
    try:
        return Client(address, timeout=CONNECT)
    except (OSError, ValueError) as error:
        raise UsageError(f"--cluster {address}: no scheduler answers: {error}") from None


def on_cluster(client, jobs, stop):
    """Do runs on the workers of a Dask cluster, which must see OUT under the same path, and have this refq.

    A run whose worker dies is given to another one by the scheduler, and goes on where it stood.

    Parameters
        client: see `connect`.
        jobs, stop: as in `locally`.
    Raises
        RefqError: the scheduler is gone.
    """
    from distributed import as_completed

    with client, _stopping(stop):
        futures = {}
        for job in jobs:  # a partial, because Dask would look into a tuple for tasks
            futures[client.submit(functools.partial(perform, job), pure=False, retries=RETRIES)] = job
        for future in as_completed(futures):
            if future.cancelled():
                raise RefqError("the cluster is gone")
            yield futures[future], _row(futures[future], future)


def _pass_on(names, ends, over):
    """Print every line that is added to a log, path -> name, beyond its end, path -> bytes, until it is over."""
    while not over.wait(POLL):
        for path, name in names.items():
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as log:
                log.seek(ends[path])
                lines = [line for line in log.read().splitlines(keepends=True) if line.endswith(b"\n")]
                ends[path] += sum(map(len, lines))
                for line in lines:
                    _print(f"{name}: {line.decode(errors='replace').removeprefix('refq: ').rstrip()}")


def _print(text):
    """A line on stderr, above the bar if there is one."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _stopping(stop):
    try:
        yield
    except BaseException:
        stop()
        raise


def _row(job, future):
    """A run's row; where doing it raised, as no run should, that is its row."""
    error = future.exception()
    return future.result() if error is None else failed_row(job, f"{type(error).__name__}: {error}")
