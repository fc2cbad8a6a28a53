"""Threads of kernels and of BLAS: as many as there are cores, never one pool inside the other."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
import threadpoolctl

from refq_fast import blas, cores, threads

needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no such call")

COMMAND = """
import json, threadpoolctl
from refq.app.engine import load
engine = load("fast")
pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
import numba
print(json.dumps([pools, numba.get_num_threads(), numba.threading_layer()]))
"""


def blas_threads():
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


def test_a_command_gives_all_cores_to_kernels_and_one_to_blas():
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", COMMAND], check=True, capture_output=True, text=True, env=environment)
    pools, threads, layer = json.loads(done.stdout)
    assert set(pools) == {1}
    assert threads == len(os.sched_getaffinity(0))
    assert layer == "omp"


def test_pieces_of_a_product_are_single_threaded_and_blas_gets_its_threads_back():
    found = []
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        blas.each(lambda piece: found.append(blas_threads()), [1, 2, 3])
        assert blas_threads() == before
    assert len(found) == 3
    assert {count for counts in found for count in counts} == {1}


def test_tasks_that_fail_say_so_once_nothing_is_at_work_any_more():
    begun, done = [], []

    def work(task):
        begun.append(task)
        if task == 3:
            raise ValueError("3")
        time.sleep(0.01)
        done.append(task)

    with pytest.raises(ValueError, match="3"):
        threads.each(work, range(100))
    assert sorted(begun) == sorted([*done, 3])
    assert len(done) < 20
    threads.each(work, [5, 6])
    assert {5, 6} <= set(done)


def test_whoever_still_works_is_awaited_when_others_fail(monkeypatch):
    monkeypatch.setattr(threads.numba, "get_num_threads", lambda: 4)
    together, done = threading.Barrier(4, timeout=10), []

    def work(task):
        together.wait()
        if task < 2:
            raise ValueError("of two")
        time.sleep(0.05)
        done.append(task)

    with pytest.raises(ValueError, match="of two"):
        threads.each(work, range(4))
    assert sorted(done) == [2, 3]


FORKED = """
import os, threading, numba
from refq_fast import threads
numba.get_num_threads = lambda: 2
def names():
    both, found = threading.Barrier(2, timeout=10), []
    threads.each(lambda _: (both.wait(), found.append(threading.current_thread().name)), range(2))
    return len(found)
names()
if not (child := os.fork()):
    os._exit(names())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_has_threads_of_its_own():
    done = subprocess.run([sys.executable, "-c", FORKED], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["2"]


@pytest.fixture
def away(monkeypatch):
    """A caller that Linux has moved from its core."""
    monkeypatch.setattr(cores, "_core", lambda: -1)
    monkeypatch.setattr(cores, "_caller", threading.local())
    cores._caller.home = min(os.sched_getaffinity(0))


@needs_affinity
def test_an_interrupt_on_the_way_home_leaves_all_cores_to_the_caller(monkeypatch, away):
    given, mask, move = [], os.sched_getaffinity(0), os.sched_setaffinity

    def interrupted(process, cores):
        given.append(set(cores))
        move(process, cores)
        if len(given) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "sched_setaffinity", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cores.come_home()
    assert given == [{cores._caller.home}, mask]
    assert os.sched_getaffinity(0) == mask


@needs_affinity
def test_where_nobody_may_choose_cores_nobody_does(monkeypatch, away):
    def forbidden(process, cores):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    cores.come_home()
    assert cores._caller.home is None


def test_tasks_may_have_tasks():
    found = []
    threads.each(lambda i: threads.each(lambda j: found.append((i, j)), range(5)), range(6))
    assert sorted(found) == [(i, j) for i in range(6) for j in range(5)]
