"""Threads of kernels and of BLAS: as many as there are cores, never one pool inside the other."""

import json
import os
import subprocess
import sys

import threadpoolctl

from refq_fast import blas

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
