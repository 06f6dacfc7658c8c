"""The decision figure of the docs is made of what runs measured."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import yaml

from foretrain.errors import DataError

SCRIPT = Path(__file__).parent.parent / "docs" / "decision.py"


@pytest.fixture
def decision(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("decision", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", tmp_path)
    return module


def run(folder: Path, study: str, metrics: dict[str, float], **config: object) -> str:
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics))
    target = {"_target_": f"foretrain.evaluation.{study}", "benchmark": {"name": "nasbench201"}}
    (folder / "config.yaml").write_text(yaml.safe_dump(target | config))
    command = ["train.py", f"experiment={folder.name}", f"run_dir={folder}", "parallel.workers=1", "n_train=20"]
    (folder / "provenance.json").write_text(json.dumps({"command": command}))
    return str(folder)


def test_table_and_figure_hold_what_was_measured_by_when_it_is_known(decision, tmp_path):
    curves = {"zero_shot/last_value/spearman@20": 0.8, "few_shot/few_shot/spearman@20": 0.93}
    curves |= {"few_shot/last_value/spearman@20": 0.79}  # learns nothing from finished runs: has its row above
    scores = {"jacov/spearman": 0.7, "jacov/lower": 0.69, "jacov/upper": 0.71, "hybrid_in-sample/spearman": 0.99}
    folders = [
        run(tmp_path / "c", "curves.CurveEnsembles", curves, finished=30),
        run(
            tmp_path / "p", "predictors.ComparePredictors", {"nao/spearman": 0.85, "nao/spearman_std": 0.05}, n_train=20
        ),
        run(tmp_path / "s", "proxies.HybridProxy", scores | {"params/spearman": 0.75}),
    ]
    decision.main(folders)
    text = (tmp_path / "decision.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row[1:] for row in rows[1:]] == [
        ["params (baseline)", "0.750"],
        ["jacov", "0.700 [0.690, 0.710]"],
        ["nao", "0.850 [0.800, 0.900]"],
        ["last value (baseline)", "0.800"],
        ["few shot", "0.930"],
    ]
    assert "python train.py experiment=p n_train=20\n" in text
    assert (tmp_path / "decision.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_of_another_study_is_refused(decision, tmp_path):
    with pytest.raises(DataError, match="is a run of Nap2Study"):
        decision.main([run(tmp_path / "n", "nap2.Nap2Study", {"test/spearman": 0.5})])
