import errno
import os
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pidlab import InvalidRequest
from pidlab.io import atomic_path, atomic_write, check_memory, ensure_writable


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with suppress(OSError), atomic_write(path) as file:
        file.write("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_with_the_name_of_the_temporary_file_is_not_followed(tmp_path):
    target = tmp_path / "precious.txt"
    target.write_text("precious")
    path = tmp_path / "a.txt"
    with atomic_path(path) as partial:
        name = partial
    name.symlink_to(target)
    with atomic_write(path) as file:
        file.write("new")
    assert target.read_text() == "precious"
    assert path.read_text() == "new"
    assert not path.is_symlink()
    assert sorted(tmp_path.iterdir()) == [path, target]


def test_written_files_have_ordinary_permissions(tmp_path):
    ordinary, written = tmp_path / "ordinary", tmp_path / "written"
    ordinary.touch()
    with atomic_write(written, "wb") as file:
        file.write(b"x")
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_long_names_are_written(tmp_path):
    path = tmp_path / ("n" * 250 + ".txt")
    with atomic_write(path) as file:
        file.write("x")
    assert path.read_text() == "x"


def test_ensure_writable_leaves_no_file(tmp_path):
    assert list(ensure_writable(tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / ("n" * 300)):
        with pytest.raises(InvalidRequest, match="cannot write to"):
            ensure_writable(path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
def test_ensure_writable_creates_no_named_file(tmp_path, monkeypatch):
    opened = []
    original = os.open

    def recorded(path, *args, **kwargs):
        opened.append(str(path))
        return original(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", recorded)
    ensure_writable(tmp_path)
    assert [path for path in opened if path != str(tmp_path)] == []


@pytest.mark.parametrize("needed", [1e15, 10**400, float("inf")])
def test_too_much_memory_is_refused(needed):
    with pytest.raises(InvalidRequest, match=r"--x 1: needs .* GB of memory but this machine has"):
        check_memory("--x 1", needed)


SLOW_WRITER = """
import sys, time
from pathlib import Path
from pidlab.io import atomic_write
path = Path(sys.argv[1])
with atomic_write(path) as file:
    file.write("child")
    path.with_name("writing").touch()
    time.sleep(0.3)  # this half of the file must not be renamed
    file.write(" and more")
"""


def test_two_processes_that_write_the_same_file_take_turns(tmp_path):
    path = tmp_path / "a.txt"
    child = subprocess.Popen([sys.executable, "-c", SLOW_WRITER, str(path)])
    while not (tmp_path / "writing").exists():
        time.sleep(0.01)
    with atomic_write(path) as file:
        assert path.read_text() == "child and more"
        file.write("parent")
    assert child.wait() == 0
    assert path.read_text() == "parent"
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "writing"]
