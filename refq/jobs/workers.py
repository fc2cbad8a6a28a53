"""Independent pieces of work in several threads, their results in order."""

import collections
import concurrent.futures
import functools

MOST = 8  # threads: each holds a chunk of rows in several copies


def in_order(engine, work, items):
    """Yield work(item) for every item, in order; as many at a time as the engine's kernels can bear.

    Cutting rows among threads that never wait for each other is faster than cutting each kernel: on a busy machine
    a kernel waits for its last thread. Results are the same for any number of threads.
    """
    threads = getattr(engine, "threads", None)  # the reference has none
    count = min(threads.workers(), MOST) if threads else 1
    if count == 1:
        yield from map(work, items)
        return
    pool = concurrent.futures.ThreadPoolExecutor(count, initializer=functools.partial(threads.use, 1))
    try:
        waiting = collections.deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
