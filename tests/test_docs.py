"""What the README and the pages of docs/ tell people to type is what there is."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from lightning.pytorch import LightningModule
from torch.utils.data import DataLoader, TensorDataset

from foretrain.integrations.command import app, main
from foretrain.runtime.config import check, to_plain
from foretrain.runtime.folder import RunFolder
from foretrain.runtime.run import Frame, split_root
from foretrain.runtime.study import Prediction, Study
from foretrain.spaces.nasbench201 import NASBench201

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(start: str, names: Sequence[str] = ()) -> list[object]:
    """The commands of all pages, or of those named, that begin like this, without it, as test parameters."""
    found: dict[tuple[str, ...], str] = {}
    for page in PAGES:
        if names and page.name not in names:
            continue
        for line in "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[: len(start.split())] == start.split():
                found.setdefault(tuple(words[len(start.split()) :]), page.name)
    return [pytest.param(list(words), id=f"{page}: {' '.join(words)}") for words, page in found.items()]


def first_choices(overrides: list[str]) -> Iterator[str]:
    """Overrides without ``-m``: of a sweep, its first job."""
    words = [word for word in overrides if word != "-m"]
    parsed = OverridesParser.create().parse_overrides(words)
    for word, override in zip(words, parsed, strict=True):
        sweeps = override.is_sweep_override()
        yield f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}" if sweeps else word


@pytest.mark.parametrize("words", commands("python train.py"))
def test_train_commands_fit_the_schema(words):
    if words == ["--help"]:
        return
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*first_choices(words), *([] if "run_dir=" in str(words) else ["run_dir=runs/test"])])
    frame, study = split_root(to_plain(config))
    check(frame, Frame)
    check(study, Study)


@pytest.mark.parametrize("words", commands("python predict.py"))
def test_predict_commands_fit_the_schema(words):
    if words == ["--help"]:
        return
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        check(to_plain(compose("predict", words)), Prediction)


@pytest.mark.parametrize("words", commands("make"))
def test_make_targets_exist(words):
    subprocess.run(["make", "--dry-run", *words], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("words", commands("foretrain"))
def test_foretrain_commands_are_understood(words):
    group = typer.main.get_command(app)
    if words == ["--help"]:
        return
    command = group.get_command(None, words[0])
    assert command is not None, f"no command {words[0]}"
    command.make_context(words[0], words[1:])


CANDIDATES = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
"""


@pytest.fixture
def at_hand(home, tmp_path) -> None:
    """The files that the pages' commands name: a network, images, curves of runs, and a run."""
    (tmp_path / "candidates.py").write_text(CANDIDATES)
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "images.npz", x=draw.random((12, 1, 8, 8), dtype=np.float32), y=np.arange(12) % 3)
    runs = [
        f"{run},{epoch},{90 - 60 * epoch**-0.5 - run}" for run in range(7) for epoch in range(1, 201 if run else 41)
    ]
    for name in ("history.csv", "runs.csv"):
        (tmp_path / name).write_text("\n".join(["run,epoch,value", *runs]))
    folder = RunFolder(tmp_path / "runs" / "nap2")
    folder.write_config({"name": "nap2"})
    folder.write_metrics({"test/spearman": 0.5})
    folder.write_report("# Report\n")
    folder.write_provenance(0, {})


@pytest.mark.usefixtures("at_hand")
@pytest.mark.parametrize("words", commands("foretrain", ["README.md", "index.md", "tutorials.md"]))
def test_foretrain_commands_run(words, monkeypatch, capsys):
    if words[0] == "doctor":
        return  # its verdict is about the machine
    monkeypatch.setattr(sys, "argv", ["foretrain", *words])
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code
    assert not code, capsys.readouterr().err
    assert capsys.readouterr().out


@pytest.mark.parametrize("words", commands("python"))
def test_scripts_exist(words):
    assert words[0].startswith("-") or (ROOT / words[0]).is_file()


class Tiny(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))

    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.fixture
def names() -> dict[str, object]:
    """What a reader has already: a LightningModule and its data, learning curves, networks with their accuracies."""
    draw = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(320, 4, generator=draw), torch.randint(2, (320,), generator=draw))
    finals = 85 + 10 * torch.rand(8, 1, generator=draw, dtype=torch.float64).numpy()
    whole = finals - 40 * np.arange(1, 201) ** -0.7
    space = NASBench201()
    networks = space.sample(40, draw)
    return {
        "__name__": "page",
        "module": Tiny(),
        "loader": DataLoader(data, batch_size=16),
        "curves": whole[:2, :20],
        "train_curves": whole[:2, :20] + 2,
        "finished": whole[2:],
        "finished_train": whole[2:] + 2,
        "space": space,
        "archs": networks[:30],
        "accuracies": 60 + 5.0 * (networks[:30].ops > 1).sum(dim=1).numpy(),
        "others": networks[30:],
    }


@pytest.fixture
def home(tmp_path, monkeypatch) -> None:
    """A folder of its own, without benchmarks besides those that ship with the package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORETRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FORETRAIN_DATA", raising=False)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_blocks_run(page, names, home):
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    if page.name == "README.md":
        assert names["recorder"].snapshots().features.shape == (2, 2, 2, 100, 12)


def test_each_section_of_the_integrations_is_a_script_of_its_own():
    page = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    scripts = ["".join(re.findall(r"^```py(?:thon)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)) for text in sections]
    assert sum(map(bool, scripts)) >= 4
    for script in scripts:
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--quiet", "--select=F821", "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_has_a_place_and_every_reference_a_thing():
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f": {page.name}\n" in site, f"nav of mkdocs.yml lacks {page.name}"
    for path in re.findall(r"^::: (\S+)", (ROOT / "docs" / "reference.md").read_text(encoding="utf-8"), re.MULTILINE):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
