"""Where a run's folder lies, alone and in a sweep."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from unittest import mock

import hydra
import pytest

from foretrain.errors import ConfigError
from foretrain.runtime.run import _run_dir

CONF = Path(__file__).parent.parent.parent / "conf"


def folders(*overrides: str) -> list[Path]:
    """The run folders of all jobs of a command line, from inside Hydra."""
    found: list[Path] = []
    main = hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
    with mock.patch.object(sys, "argv", ["train.py", *overrides]):
        main(lambda config: found.append(_run_dir(config)))()
    return found


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")


def test_a_run_has_a_dated_folder_of_its_name_or_the_one_asked_for(tmp_path):
    (dated,) = folders("name=some")
    assert dated.parent == tmp_path / "runs" / "some"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", dated.name)
    assert folders("run_dir=here/there") == [tmp_path / "here" / "there"]


def test_every_job_of_a_sweep_has_its_own_folder(tmp_path):
    first, second = folders("-m", "name=some", "seed=0,1", "hydra.sweep.dir=swept")
    assert [first, second] == [tmp_path / "swept" / "0", tmp_path / "swept" / "1"]


def test_one_folder_for_all_jobs_of_a_sweep_is_refused():
    with pytest.raises(ConfigError, match=r"run_dir.*own.*hydra\.sweep\.dir"):
        folders("-m", "seed=0,1", "run_dir=one")
