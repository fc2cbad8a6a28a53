"""Does a sweep on a Dask cluster give the rows of a local one, also when a worker dies at work?"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.app.commands import ROOT, start
from tests.app.sweeps import RECIPE, children, figures, prepare, results, runs, write

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default")]  # their warnings are theirs
distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed: pip install '.[sweep]'")

LONG = RECIPE.replace("steps = 4", "steps = 60") + "[[ptq]]\nbits = 4\n[[grid]]\nseed = [0, 1]\n"
ENGINE = ("--engine", "reference")
SECONDS = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def local(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("local") / "out"
    finished(sweep(write(folder, LONG), out))
    return results(out)


@pytest.fixture
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, processes=True
    ) as made:
        yield made


def sweep(recipe, out, *more):
    return start("sweep", recipe, out, *ENGINE, *more, env={"SWEPT": str(recipe.parent)})


def finished(process):
    """Wait for a sweep in which nothing failed."""
    said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 0, said


def training(out):
    """The directory of a run that has saved a step."""
    deadline = time.monotonic() + SECONDS
    while not (found := list(out.glob("runs/*/.model.partial/state"))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found[0].parents[1]


def worker_of(cluster, run):
    """The process of the worker whose child trains a run, and that child."""
    for worker in cluster.workers.values():
        for child in children(worker.pid):
            with contextlib.suppress(OSError):
                if run.name in pathlib.Path(f"/proc/{child}/cmdline").read_text():
                    return worker.pid, child
    raise AssertionError(f"no worker has a process for {run}")


def test_a_cluster_gives_the_rows_of_this_machine(folder, local, cluster, tmp_path):
    done = sweep(write(folder, LONG), tmp_path / "out", "--cluster", cluster.scheduler_address)
    finished(done)
    assert figures(results(tmp_path / "out")) == figures(local)


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="children are found through /proc")
@pytest.mark.parametrize("machine", [False, True], ids=["worker", "machine"])
def test_a_worker_that_dies_does_not_lose_the_sweep(machine, folder, local, cluster, tmp_path):
    done = sweep(write(folder, LONG), tmp_path / "out", "--cluster", cluster.scheduler_address)
    worker, child = worker_of(cluster, training(tmp_path / "out"))
    os.kill(worker, signal.SIGKILL)
    if machine:  # what it was doing dies with it; else that goes on alone, and is waited for
        os.kill(child, signal.SIGKILL)
    finished(done)
    assert figures(results(tmp_path / "out")) == figures(local)


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="children are found through /proc")
def test_ctrl_c_ends_what_the_workers_do(folder, local, cluster, tmp_path):
    arguments = (write(folder, LONG), tmp_path / "out", "--cluster", cluster.scheduler_address)
    done = sweep(*arguments)
    _, child = worker_of(cluster, training(tmp_path / "out"))
    done.send_signal(signal.SIGINT)
    said = done.communicate(timeout=SECONDS)[1]
    assert done.returncode == 130, said
    deadline = time.monotonic() + 10
    while runs(child):
        assert time.monotonic() < deadline, "a worker still trains"
        time.sleep(0.05)
    finished(sweep(*arguments, "--resume"))
    assert figures(results(tmp_path / "out")) == figures(local)


def test_a_cluster_that_goes_away_is_told(folder, cluster, tmp_path):
    done = sweep(write(folder, LONG), tmp_path / "out", "--cluster", cluster.scheduler_address)
    training(tmp_path / "out")
    threading.Thread(target=cluster.close, daemon=True).start()
    said = done.communicate(timeout=SECONDS)[1]
    assert done.returncode == 1, said
    assert "--resume continues" in said
    assert "Traceback" not in said


def test_nobody_at_the_address(folder, tmp_path):
    done = sweep(write(folder, LONG), tmp_path / "out", "--cluster", "tcp://127.0.0.1:9")
    said = done.communicate(timeout=SECONDS)[1]
    assert done.returncode == 2
    assert "--cluster tcp://127.0.0.1:9: no scheduler answers" in said
    assert not (tmp_path / "out").exists()


def test_dask_is_imported_for_a_cluster_alone():
    code = "import sys, refq.app.sweep; print('distributed' in sys.modules, 'dask' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
