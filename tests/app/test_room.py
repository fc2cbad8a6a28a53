"""What is left of a run that does not come to its end."""

import pytest

from refq.errors import CheckpointError, FileError
from refq.jobs.room import Kind, opened

RECORD = {"command": "test"}
FILE = Kind(lambda out: None, file=True)


def run(tmp_path, *names, error=None, appears=False):
    """A run that writes some files of the room, and may then fail; meanwhile OUT may appear."""
    model = tmp_path / "model"
    model.mkdir(exist_ok=True)
    with opened((model, tmp_path / "out"), RECORD, 0, False, False, FILE):
        for name in names:
            (tmp_path / ".out.partial" / name).write_text(name)
        if appears:
            (tmp_path / "out").write_text("another's")
        if error:
            raise error


@pytest.mark.parametrize(("names", "stays"), [((), False), (("model",), False), (("model", "state"), True)])
def test_a_fault_throws_all_away_but_a_training(tmp_path, names, stays):
    """A cache of another teacher is refused too: hours of steps must not go with it."""
    with pytest.raises(CheckpointError, match="at fault"):
        run(tmp_path, *names, error=CheckpointError("at fault"))
    assert (tmp_path / ".out.partial" / "journal").exists() == stays


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_else_stops_a_run_leaves_it(tmp_path, error):
    with pytest.raises(error):
        run(tmp_path, "model", error=error())
    assert (tmp_path / ".out.partial" / "model").read_text() == "model"


def test_weights_beside_a_graph(tmp_path):
    run(tmp_path, "model", "out.data")
    assert (tmp_path / "out").read_text() == "model"
    assert (tmp_path / "out.data").read_text() == "out.data"
    assert not (tmp_path / ".out.partial").exists()


@pytest.mark.parametrize("names", [("model",), ("model", "out.data")])
def test_what_is_finished_stays_where_out_has_appeared(tmp_path, names):
    with pytest.raises(FileError, match="it has appeared meanwhile; what is finished is"):
        run(tmp_path, *names, appears=True)
    assert (tmp_path / "out").read_text() == "another's"
    assert all((tmp_path / ".out.partial" / name).read_text() == name for name in names)
