"""Files are there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from foretrain.errors import DataError
from foretrain.runtime.files import atomic_path, read_json, require_writable, sha256, write_json


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "result.json"
    write_json(path, {"a": 1})

    def interrupted():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert read_json(path) == {"a": 1}
    assert [item.name for item in path.parent.iterdir()] == ["result.json"]


def test_json_is_the_same_bytes_for_the_same_content(tmp_path):
    write_json(tmp_path / "a", {"x": 1.5, "y": [1, 2]})
    write_json(tmp_path / "b", {"y": [1, 2], "x": 1.5})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_bad_json_names_file_and_remedy(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_json(tmp_path / "missing.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match=r"bad\.json: not a JSON file .* Delete it"):
        read_json(tmp_path / "bad.json")


def test_sha256_is_the_standard_one(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 1_000_000)
    assert sha256(tmp_path / "f") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_a_file_is_readable_at_any_moment_of_being_written(tmp_path):
    path = tmp_path / "index.json"
    write_json(path, {"rows": []})
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(lambda: [write_json(path, {"rows": list(range(n))}) for n in range(100)])
        seen = [len(read_json(path)["rows"])]
        while not writing.done():
            seen.append(len(read_json(path)["rows"]))
    assert seen == sorted(seen)
    assert len(read_json(path)["rows"]) == 99


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EFBIG])
def test_a_disk_that_takes_no_more_is_told_and_the_old_file_stays(tmp_path, monkeypatch, number):
    write_json(tmp_path / "a.json", 1)

    def full(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"a\.json: cannot be written .*the same command goes on"):
        write_json(tmp_path / "a.json", 2)
    assert read_json(tmp_path / "a.json") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_place_that_takes_no_file_is_refused_before_the_work(tmp_path):
    (tmp_path / "a.json").touch()
    assert require_writable(tmp_path / "new" / "deep" / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(DataError, match="it is a folder"):
        require_writable(tmp_path)
    below_a_file = tmp_path / "a.json" / "b.json"
    with pytest.raises(DataError, match=r"b\.json: cannot be written"):
        require_writable(below_a_file)
    with pytest.raises(DataError, match=r"b\.json: cannot be written"):
        write_json(below_a_file, 1)


def test_other_errors_of_a_write_come_through(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.json"):
        (tmp_path / "nowhere").read_text()
