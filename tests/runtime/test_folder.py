"""A run's folder belongs to one run at a time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from foretrain.errors import DataError
from foretrain.runtime.folder import RunFolder

HOLD = """
import sys
from foretrain.runtime.folder import RunFolder

with RunFolder(sys.argv[1]).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_while_the_first_works_and_not_after_it_was_killed(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="another run works in this folder"), RunFolder(tmp_path).held():
            pass
        first.kill()
    with RunFolder(tmp_path).held():
        pass


def test_a_config_is_not_replaced_by_another(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_config({"seed": 0})
    folder.write_config({"seed": 0})
    with pytest.raises(DataError, match="belongs to another config: seed is 0, now 1"):
        folder.write_config({"seed": 1})


def test_an_interrupted_run_may_go_on_elsewhere(tmp_path):
    before = {"seed": 0, "parallel": {"workers": 1}, "run_dir": "here", "logger": {"folder": "here"}}
    RunFolder(tmp_path).write_config(before)
    RunFolder(tmp_path).write_config(before | {"parallel": {"workers": 8, "gpus": 0.5}})
    RunFolder(tmp_path).write_config(before | {"run_dir": "there", "logger": {"folder": "there"}})
    with pytest.raises(DataError, match="belongs to another config"):
        RunFolder(tmp_path).write_config(before | {"seed": 1})


@pytest.mark.parametrize("content", [b"seed: [", b"\x00\xff", b"- 1", b""])
def test_a_damaged_config_is_named(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(DataError, match=r"config\.yaml: (not a YAML file|this run folder belongs to another)"):
        RunFolder(tmp_path).write_config({"seed": 0})
