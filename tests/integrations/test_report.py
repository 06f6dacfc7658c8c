"""``foretrain report``: what is in the run folders is on the page, and nothing in them is run by a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretrain.errors import DataError
from foretrain.integrations.command import main
from foretrain.integrations.report import write_page
from foretrain.integrations.report.markdown import render
from foretrain.integrations.report.measures import direction_of, measures_of
from foretrain.integrations.report.points import MOST_ROWS, points_of
from foretrain.integrations.report.runs import Run, find_runs
from foretrain.runtime.folder import RunFolder

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


class Page(HTMLParser):
    """The elements of a page with their attributes and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.within: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in self.within:
            self.within[tag].append("")

    def handle_data(self, text):
        tag = self.elements[-1][0] if self.elements else ""
        if tag in self.within and self.cdata_elem == tag:
            self.within[tag][-1] += text
        else:
            self.texts.append(text)

    @property
    def data(self) -> dict:
        return json.loads(self.within["script"][0])


def make_run(path: Path, metrics: dict[str, float], report: str = "# Title\n\nText.\n", **config: object) -> Path:
    folder = RunFolder(path)
    folder.write_config({"name": "demo", "run_dir": str(path)} | config)
    folder.write_metrics(metrics)
    folder.write_report(report)
    folder.write_timings({"fit": 1.5, "total": 2.0})
    folder.write_provenance(3, {"data": "0" * 64})
    folder.figures.mkdir(exist_ok=True)
    (folder.figures / "a.png").write_bytes(PNG)
    return path


@pytest.fixture
def two(tmp_path):
    first = make_run(tmp_path / "runs" / "one", {"emprox/spearman": 0.8, "emprox/spearman_std": 0.1}, n=121)
    second = make_run(tmp_path / "runs" / "two", {"emprox/spearman": 0.7, "nao/mae": float("nan")}, n=50)
    RunFolder(first).write_predictions(
        pd.DataFrame({"predictor": ["a", "b"], "truth": [1.0, 2.0], "mean": [1.5, np.nan]})
    )
    RunFolder(first).write_table("comparison", pd.DataFrame({"predictor": ["a"], "mae": [1.23456]}))
    return first, second


def test_runs_stand_side_by_side(two, tmp_path):
    runs = write_page([tmp_path / "runs"], tmp_path / "page.html")
    assert [run.name for run in runs] == ["runs/one", "runs/two"]
    page = Page(tmp_path / "page.html")
    text = " ".join(page.texts)
    for expected in ("runs/one", "runs/two", "0.8000", "1.2346", "Title", "121", "torch"):
        assert expected in text
    assert "run_dir" in text
    assert "Where their configs differ (1 keys)" in text
    measures = {(item["method"], item["metric"]): item for item in page.data["measures"]}
    assert measures["emprox", "spearman"]["values"] == [0.8, 0.7]
    assert measures["emprox", "spearman"]["lower"] == [pytest.approx(0.7), None]
    assert measures["nao", "mae"]["values"] == [None, None]
    assert page.data["predictions"][0]["numbers"]["mean"] == [1.5, None]
    assert page.data["predictions"][1] is None


def test_the_page_needs_no_network_and_is_the_same_every_time(two, tmp_path):
    for name in ("a.html", "b.html"):
        write_page(two, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    for _, attributes in Page(tmp_path / "a.html").elements:
        for name in ("src", "href"):
            assert re.match(r"data:|#|$", attributes.get(name) or ""), attributes


def test_text_of_files_stays_text(tmp_path):
    report = (
        f'# {EVIL}\n\n[link](javascript:alert(3)) ![x](figures/a.png "{EVIL}")\n\n| {EVIL} |\n| --- |\n| {EVIL} |\n'
    )
    run = make_run(tmp_path / "run", {f"{EVIL}/spearman": 1.0}, report, key=EVIL)
    RunFolder(run).write_predictions(pd.DataFrame({EVIL: [EVIL], "truth": [1.0], "mean": [1.0]}))
    RunFolder(run).write_table("comparison", pd.DataFrame({EVIL: [EVIL]}))
    (run / "timings.json").write_text(json.dumps({EVIL: EVIL}))
    (run / "provenance.json").write_text(json.dumps({EVIL: EVIL, "versions": EVIL, "devices": [EVIL]}))
    write_page([run], tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert [attributes for tag, attributes in page.elements if tag == "script"] == [
        {"id": "data", "type": "application/json"},
        {},
    ]
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert all(attributes.get("src", "").startswith("data:") for tag, attributes in page.elements if tag == "img")
    assert "javascript:" not in "".join(str(attributes) for _, attributes in page.elements)
    assert page.data["measures"][0]["method"] + "/" in f"{EVIL}/spearman"


def test_the_browser_may_run_our_script_only(two, tmp_path):
    write_page(two, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    (policy,) = (a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    for text in (page.within["script"][1], page.within["style"][0]):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy
    assert not any("style" in attributes for _, attributes in page.elements)


def test_only_the_runs_own_figures_are_put_in(tmp_path):
    (tmp_path / "secret.png").write_bytes(PNG + b"secret")
    run = make_run(tmp_path / "run", {"a/b": 1.0}, "![s](../secret.png) ![t](figures/text.png) ![a](figures/a.png)\n")
    (run / "figures" / "text.png").write_text("password")
    (run / "figures" / "more.png").write_bytes(PNG + b"more")
    write_page([run], tmp_path / "page.html")
    sources = [attributes["src"] for tag, attributes in Page(tmp_path / "page.html").elements if tag == "img"]
    images = [base64.b64decode(source.partition(",")[2]) for source in sources]
    assert images == [b"", b"", PNG, PNG + b"more"]


def test_measures_are_read_off_their_names(tmp_path):
    metrics = {"test/mae@3": 2.0, "baseline/last_val/mae": 1.0, "plain": 4.0, "x/mae": 1.0, "x/mae_lower": 0.5}
    make_run(tmp_path / "run", metrics | {"x/mae_upper": 2.0, "params/spearman": 0.1})
    found = {(m.method, m.metric, m.at): m for m in measures_of(find_runs([tmp_path / "run"]))}
    assert found.keys() == {
        ("test", "mae", 3),
        ("baseline/last_val", "mae", None),
        ("", "plain", None),
        ("x", "mae", None),
        ("params", "spearman", None),
    }
    assert found["x", "mae", None].upper == [2.0]
    assert [key[0] for key, measure in found.items() if measure.baseline] == ["baseline/last_val", "params"]


@pytest.mark.parametrize(
    ("metrics", "lower"),
    [
        ({"a/mae": 1.0, "a/mae_std": 0.25}, {"mae": 0.75}),
        ({"a/mae": 1.0, "a/mae/lower": 0.5, "a/mae/upper": 2.0}, {"mae": 0.5}),
        ({"a/spearman": 0.5, "a/lower": 0.4, "a/upper": 0.6, "a/mae": 1.0}, {"spearman": 0.4, "mae": None}),
        ({"a/spearman": 0.5, "a/minus_reference": 0.0, "a/lower": -1.0}, {"spearman": None, "minus_reference": -1.0}),
        ({"a/lower": 3.0}, {"lower": None}),
    ],
)
def test_ends_are_found_by_their_names(tmp_path, metrics, lower):
    make_run(tmp_path / "run", metrics)
    assert {m.metric: m.lower[0] for m in measures_of(find_runs([tmp_path / "run"]))} == lower


@pytest.mark.parametrize(
    ("metric", "direction"),
    [("spearman", "higher"), ("top3_precision", "higher"), ("accuracy_difference", "lower"), ("networks", "")],
)
def test_directions_of_metrics(metric, direction):
    assert direction_of(metric) == direction


def test_large_predictions_are_sampled_and_it_is_said():
    table = pd.DataFrame({"truth": np.arange(MOST_ROWS + 5.0), "fold": np.arange(MOST_ROWS + 5) % 4})
    points = points_of(table)
    assert (points["rows"], points["shown"]) == (MOST_ROWS + 5, MOST_ROWS)
    assert len(points["numbers"]["truth"]) == MOST_ROWS
    assert set(points["choices"]["fold"]) == {"0", "1", "2", "3"}
    assert points == points_of(table)


def test_rows_are_named_by_what_has_too_many_values_to_choose():
    table = pd.DataFrame({"arch_id": [f"net-{i}" for i in range(100)], "mean": np.arange(100.0)})
    points = points_of(table)
    assert points["names"][99] == "net-99"
    assert points["choices"] == {}


def test_names_are_as_long_as_they_must_be(tmp_path):
    for name in ("a/nap2/0", "b/nap2/0"):
        make_run(tmp_path / name, {"a/b": 1.0})
    assert [run.name for run in find_runs([tmp_path])] == ["a/nap2/0", "b/nap2/0"]
    assert [run.name for run in find_runs([tmp_path / "a", tmp_path / "a" / "nap2" / "0"])] == ["nap2/0"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.json", "{", "metrics.json: not a JSON file"),
        ("metrics.json", '{"a": {"b": 1}}', "metrics.json: is not a flat table of numbers"),
        ("metrics.json", f'{{"a": 1{"0" * 400}}}', "metrics.json: is not a flat table of numbers"),
        ("predictions.parquet", "none", "predictions.parquet: not a Parquet file"),
        ("config.yaml", "a: [", "config.yaml: not a YAML file"),
        ("timings.json", "[]", "timings.json: is not a table"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_is_written(two, tmp_path, name, content, message):
    (two[0] / name).write_text(content)
    with pytest.raises(DataError, match=re.escape(message)):
        write_page(two, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_provenance_of_other_types_is_shown_as_it_is(two, tmp_path):
    (two[0] / "provenance.json").write_text('{"devices": 1.5, "versions": 2, "git_commit": [], "seed": {}}')
    (two[0] / "timings.json").write_text(f'{{"total": 1{"0" * 400}}}')
    write_page(two, tmp_path / "page.html")
    assert "<td>1.5</td>" in (tmp_path / "page.html").read_text()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        find_runs([tmp_path / "nowhere"])


def test_links_of_a_report_lead_to_the_web_only():
    page = render("[a](https://a.org) [b](javascript:alert(1)) [c](file:///etc/passwd)\n\n| n |\n| -: |\n| 1 |", {})
    assert re.findall('href="([^"]*)"', page) == ["https://a.org"]
    assert page.count('rel="noopener noreferrer"') == page.count("<a ")
    assert '<td class="number">1</td>' in page


def test_the_command_ends_with_1_where_there_is_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["foretrain", "report", str(tmp_path), "--out", str(tmp_path / "page.html")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "holds no finished run" in capsys.readouterr().err


def test_a_run_without_predictions_or_config_is_welcome(tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "metrics.json").write_text("{}")
    write_page([folder], tmp_path / "page.html")
    assert Run(folder, "bare").predictions is None


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_a_browser_draws_the_plots(two, tmp_path):
    write_page(two, tmp_path / "page.html")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        ["chromium", *flags, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.count("<circle") == 2
    assert "<canvas" in done.stdout
    assert "1 points" in done.stdout
    assert 'class="sortable"' in done.stdout
