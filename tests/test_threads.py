"""Threads of kernels and of BLAS: as many as there are cores, never one pool inside the other."""

import json
import os
import subprocess
import sys
import time

import pytest
import threadpoolctl

from refq_fast import blas, threads

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


def test_tasks_may_have_tasks():
    found = []
    threads.each(lambda i: threads.each(lambda j: found.append((i, j)), range(5)), range(6))
    assert sorted(found) == [(i, j) for i in range(6) for j in range(5)]
