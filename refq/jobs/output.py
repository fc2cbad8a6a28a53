"""A directory, or a file, that is whole or absent: it grows in a hidden sibling and takes its name at the end.

.OUT.partial/lock      held by the process that writes; the kernel lets go of it when that is killed
.OUT.partial/journal   see journal.py
.OUT.partial/state     where a training run stands, see training_state.py, or a text, see sample.py; .new: the next one
.OUT.partial/blocks/   blocks that are solved, see solved.py, and hidden states before the next one
.OUT.partial/model     the future OUT, a directory or a file
.OUT.partial/old/      what OUT was, for the moment between two renames
.OUT.partial/OUT.data  the weights beside OUT, where it is an ONNX graph
"""

import contextlib
import errno
import fcntl
import os
import shutil

from refq.errors import FileError, UsageError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFull(OSError):
    """A disk without room, in a sentence that says already whose, and what is needed."""


def check_paths(model, out, replace, file=False):
    """Refuse an OUT that is, holds or lies in MODEL, that exists and must not be replaced, or is of another kind.

    Parameters
        file: whether a file is written, or a directory.
    Returns
        out: absolute.
    """
    absolute = _beside(model, out)
    if os.path.lexists(absolute):
        if not (os.path.isfile if file else os.path.isdir)(absolute):
            raise UsageError(f"OUT {out} is {_kind(absolute)}; a {'file' if file else 'directory'} is written")
        if not replace:
            raise UsageError(f"OUT {out} exists; --overwrite replaces it")
        if not file and os.listdir(absolute) and not os.path.exists(os.path.join(absolute, "config.json")):
            raise UsageError(f"OUT {out} has no config.json; only a model directory is replaced")
    return absolute


def room_of(out):
    """Where `out` grows: the path of `.OUT.partial`."""
    parent, name = os.path.split(os.path.abspath(out))
    return os.path.join(parent, f".{name}.partial")


@contextlib.contextmanager
def claim(out):
    """Hold `.OUT.partial`; gives its path.

    Raises
        FileError: another process holds it.
    """
    room = room_of(out)
    lock = _lock(room, out)
    try:
        old = os.path.join(room, "old")
        if os.path.isdir(old) and not os.path.lexists(out):
            os.rename(old, out)  # a run was killed between its two renames
        yield room
    finally:
        if not os.path.lexists(os.path.join(room, "model")):  # published, or never begun
            discard(room)
        os.close(lock)


def clear(room):
    """Remove what a run left behind, but hold on to the lock."""
    for name in set(os.listdir(room)) - {"lock"} if os.path.isdir(room) else ():
        path = os.path.join(room, name)
        shutil.rmtree(path) if os.path.isdir(path) else _unlink(path)


def discard(room):
    """Remove everything, the lock last."""
    clear(room)
    _unlink(os.path.join(room, "lock"))
    with contextlib.suppress(OSError):
        os.rmdir(room)


@contextlib.contextmanager
def allocated(path, size):
    """A descriptor of a file of `size` bytes whose room on the disk is taken now, not when it is written."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if size > os.fstat(file).st_size and hasattr(os, "posix_fallocate"):  # macOS has none
            os.posix_fallocate(file, 0, size)
        os.ftruncate(file, size)
        yield file
    finally:
        os.close(file)


def write(file, data, offset):
    """All of `data` (bytes or an array) at `offset`."""
    rest = memoryview(data).cast("B")
    while rest:
        done = os.pwrite(file, rest, offset)
        rest, offset = rest[done:], offset + done


def write_file(path, data):
    """A small file, whole and on the disk."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        write(file, data, 0)
        os.fsync(file)
    finally:
        os.close(file)


def write_whole(path, content):
    """A small file of text or bytes, replaced as a whole."""
    try:
        write_file(f"{path}.new", content if isinstance(content, bytes) else content.encode())
        os.replace(f"{path}.new", path)
    except OSError as error:  # of os.write it names no file
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        _unlink(f"{path}.new")


def publish(room, out, replace):
    """Give what is finished its name, and put a directory that was there aside until it has.

    Weights beside a graph get theirs first, when the old graph is gone: it never stands beside others than its own.
    """
    model, old, data = (os.path.join(room, name) for name in ("model", "old", f"{os.path.basename(out)}.data"))
    _sync(model)
    if os.path.lexists(out):
        if not replace:
            raise FileError(f"{out}: it has appeared meanwhile; what is finished is {model}")
        if os.path.isdir(model):  # a file is replaced in one step
            os.rename(out, old)
    if os.path.lexists(data):
        _unlink(out)
        os.rename(data, f"{out}.data")
        _sync(os.path.dirname(out))
    try:
        os.rename(model, out)
    except OSError:
        if os.path.lexists(old):
            os.rename(old, out)
        raise
    _sync(os.path.dirname(out))


def check_space(room, out, needed):
    """Refuse a disk that is too small before any work; what a killed run has taken already counts as free."""
    taken = [os.path.join(top, name) for top, _, names in os.walk(room) if not top.endswith("/old") for name in names]
    needed -= sum(512 * os.stat(path).st_blocks for path in taken)
    free = shutil.disk_usage(room).free
    if free < needed:
        raise DiskFull(errno.ENOSPC, f"the disk is too full: {needed} bytes are needed, {free} are free", out)


@contextlib.contextmanager
def disk_errors(out, needed):
    """Say what a full or failing disk means for the user: that of `out`, unless another file was named within."""
    try:
        yield
    except DiskFull:
        raise
    except OSError as error:
        if error.errno in FULL:
            folder = os.path.dirname(os.path.abspath(out))
            while not os.path.isdir(folder):
                folder = os.path.dirname(folder)
            text = f"{needed} bytes are needed in all, {shutil.disk_usage(folder).free} are free"
            text = f"{os.strerror(error.errno)}; {text}; with more room --resume continues"
            raise DiskFull(error.errno, text, out) from error
        error.filename = error.filename or out  # a descriptor has no name
        raise


def _kind(path):
    return "a directory" if os.path.isdir(path) else "a file" if os.path.isfile(path) else "no file"


def _beside(model, out):
    """OUT, absolute, if it is apart from MODEL and its directory exists."""
    source, target = os.path.realpath(model), os.path.realpath(out)
    if os.path.commonpath([source, target]) in (source, target):
        raise UsageError(f"OUT {out} and MODEL {model} are one directory, or one holds the other; choose another OUT")
    absolute = os.path.abspath(out)
    parent = os.path.dirname(absolute)
    if not os.path.isdir(parent):
        raise UsageError(f"OUT {out}: the directory {parent} does not exist")
    return absolute


def _lock(room, out):
    while True:
        os.makedirs(room, exist_ok=True)
        path = os.path.join(room, "lock")
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue  # its last holder has just removed the directory
        except BlockingIOError:
            os.close(lock)
            raise FileError(f"{out}: another process is writing it; wait for it or choose another OUT") from None
        if os.path.exists(path) and os.path.samestat(os.fstat(lock), os.stat(path)):
            return lock
        os.close(lock)


def _unlink(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
