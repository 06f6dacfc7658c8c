"""The ``foretrain`` command as a person uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from foretrain.integrations.command import main

ROWS = "arch,dataset,seed,epoch,split,accuracy\na,digits,1,1,valid,50\na,digits,1,2,valid,60.5\nb,digits,1,2,valid,70\n"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty home and returns its exit code, output and error output."""
    monkeypatch.setenv("FORETRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FORETRAIN_DATA", raising=False)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["foretrain", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(ROWS)
    return path


def test_import_then_list_then_info(run, table, tmp_path):
    code, output, _ = run("import", "long-table", table)
    assert code == 0
    assert "digits/valid/accuracy/2" in output
    assert (tmp_path / "home" / "benchmarks" / "mine" / "benchmark.json").exists()
    code, output, _ = run("benchmarks")
    assert code == 0
    assert [line.split()[1] for line in output.splitlines() if line.startswith("mine ")] == ["ready"]
    code, output, _ = run("info", "mine", "--verify")
    assert code == 0
    assert "70.000   of 2" in output
    assert "mine.csv (sha256 " in output


def test_import_into_a_folder_of_choice(run, table, tmp_path):
    assert run("import", "long-table", table, "--out", tmp_path / "there", "--name", "chosen")[0] == 0
    assert "chosen" in run("info", tmp_path / "there")[1]
    code, _, error = run("import", "long-table", table, "--out", tmp_path / "there")
    assert (code, error.count("\n")) == (1, 1)
    assert "is there already" in error


def test_info_of_a_missing_benchmark_says_where_it_is_described(run):
    code, output, _ = run("info", "nasbench101")
    assert code == 0
    for text in (
        "https://github.com/google-research/nasbench",
        "nasbench_only108.tfrecord, about 499 MB",
        "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
        "foretrain import nasbench101 PATH",
    ):
        assert text in output


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["info", "nonsense"], 1, "error: nonsense: no benchmark of this name"),
        (["import", "nonsense", "x"], 2, "unknown (value: 'nonsense'). Allowed: long-table"),
        (["import", "long-table", "/nowhere/x.csv"], 1, "error: /nowhere/x.csv: no such file"),
        (["import", "long-table"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_errors_have_one_line_and_their_exit_code(run, arguments, code, text):
    found, _, error = run(*arguments)
    assert found == code
    assert text in error
    assert "Traceback" not in error


def test_a_damaged_benchmark_is_reported(run, table, tmp_path):
    run("import", "long-table", table)
    path = tmp_path / "home" / "benchmarks" / "mine" / "table.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    code, _, error = run("info", "mine")
    assert (code, error.count("\n")) == (1, 1)
    assert "table.parquet: has" in error


def test_help_is_quick_because_it_imports_no_torch():
    code = (
        "import sys; from foretrain.integrations.command import main\n"
        "sys.argv = ['foretrain', 'import', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'pandas', 'pyarrow', 'lightning'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "nasbench101, nasbench201, natsbench" in result.stdout


def test_the_command_is_installed():
    from importlib.metadata import entry_points

    scripts = entry_points(group="console_scripts")
    assert scripts["foretrain"].value == "foretrain.integrations.command:main"
