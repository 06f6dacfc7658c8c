"""``foretrain doctor`` finds what is there, what is missing and what has to be mended."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest
import torch

from foretrain.integrations import doctor
from foretrain.integrations.command import main
from foretrain.integrations.doctor import State


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FORETRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FORETRAIN_DATA", raising=False)


def examined() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine()}


def test_a_sound_machine_has_nothing_to_mend(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["foretrain", "doctor"])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr().out
    assert end.value.code in (0, None), printed
    assert torch.__version__ in printed
    assert printed.endswith("nothing to mend\n")


def test_every_requirement_is_looked_at():
    names = examined().keys()
    required = {doctor.Requirement(line) for line in metadata.requires("foretrain")}
    assert {item.name for item in required if item.marker is None} <= names


def test_a_missing_and_an_old_package_are_wrong_and_the_remedy_is_named(monkeypatch):
    found = {"numpy": "1.0"}

    def version(name):
        if name == "scipy":
            raise metadata.PackageNotFoundError(name)
        return found.get(name, "999")

    monkeypatch.setattr(doctor.metadata, "version", version)
    findings = examined()
    assert findings["numpy"].state is findings["scipy"].state is State.WRONG
    assert "pip install 'numpy" in findings["numpy"].text
    assert findings["scipy"].text.startswith("missing")


def test_an_extra_that_is_not_installed_is_no_fault(monkeypatch):
    real = metadata.version

    def version(name):
        if name == "optuna":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    extra = examined()["baselines"]
    assert extra.state is State.ABSENT
    assert extra.text == "lacks optuna: pip install 'foretrain[baselines]'"


def test_a_damaged_benchmark_and_a_wrong_folder_end_with_1(tmp_path, monkeypatch, capsys):
    damaged = tmp_path / "home" / "benchmarks" / "mine"
    damaged.mkdir(parents=True)
    (damaged / "benchmark.json").write_text("{")
    monkeypatch.setenv("FORETRAIN_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(sys, "argv", ["foretrain", "doctor"])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr().out
    assert end.value.code == 1
    assert "2 to mend" in printed
    assert "not a JSON file" in printed


def test_a_home_that_cannot_be_written_to_is_wrong(monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    finding = examined()["FORETRAIN_HOME"]
    assert finding.state is State.WRONG
    assert "set FORETRAIN_HOME" in finding.text
