"""The figures: what is drawn, that nothing covers anything, that files are whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from foretrain.evaluation import figures
from foretrain.evaluation.nap2 import figures as nap2_figures
from foretrain.search.pareto import pareto_front

METHODS = ["NAP2 (weights and gradients)", "last validation accuracy", "best validation accuracy so far", "params"]


def settings_table(sizes: tuple[int, ...] = (3, 10)) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = 12 * len(sizes) * 2
    return pd.DataFrame(
        {
            "method": np.repeat(["agent", "halving"], rows // 2),
            "final_size": np.tile(sizes, rows // len(sizes)),
            "resources": rng.integers(60, 500, rows).astype(float),
            "accuracy_difference": rng.choice([0, 0.5, 1.5, 4], rows),
            "top3_precision": rng.choice([0, 1 / 3, 2 / 3, 1], rows),
            "top5_precision": rng.choice([0, 0.2, 0.4, 1], rows),
        }
    )


def snapshots_table(intervals: bool = True) -> pd.DataFrame:
    table = pd.DataFrame([(method, k) for method in METHODS for k in range(1, 11)], columns=["method", "snapshots"])
    table["value"] = np.random.default_rng(0).uniform(0.2, 0.9, len(table))
    width = 0.1 if intervals else np.nan
    return table.assign(lower=table["value"] - width, upper=table["value"] + width)


def draw_selection(path: Path) -> None:
    nap2_figures.selection_over_resources(settings_table(), path, unit_steps=30, about="48 networks on digits")


def draw_scatter(path: Path) -> None:
    truth, *means = np.random.default_rng(0).uniform(60, 99, size=(4, 48))
    forecasts = dict(zip(["from 1 snapshot", "from 3 snapshots", "from 10 snapshots"], means, strict=True))
    figures.forecast_scatter(truth, forecasts, path, about="48 networks on digits, each predicted out of fold")


def draw_single_scatter(path: Path) -> None:
    figures.forecast_scatter([80, 90, 95], {"from 10 snapshots": [82, 91, 93]}, path, about="3 networks " * 10)


def draw_spearman(path: Path) -> None:
    nap2_figures.spearman_over_snapshots(snapshots_table(), path, every_n_steps=100, about="48 networks on digits " * 5)


def draw_error(path: Path) -> None:
    nap2_figures.error_over_snapshots(snapshots_table(intervals=False), path, every_n_steps=100)


def draw_populations(path: Path) -> None:
    rng = np.random.default_rng(0)
    populations = {name: (rng.uniform(10, 99, 48), rng.integers(4, 22, 48)) for name in ("48 on digits", "48 on CIFAR")}
    nap2_figures.population_histograms(populations, path)


def draw_searches(path: Path) -> None:
    parts = [
        pd.DataFrame({"method": name, "x": np.arange(1, 101), "value": 10 / np.arange(1, 101) + place, "lower": np.nan})
        for place, name in enumerate([*METHODS, "the whole space"])
    ]
    parts[0].loc[50:, "value"] = -np.inf
    best = [figures.Reference(0.0, "best network")]
    labels = ("networks evaluated", "error (%)")
    table = pd.concat(parts).assign(upper=np.nan)
    figures.lines_with_bands(table, path, "Searches", labels, "", best, background="the whole space", log_x=True)


DRAWINGS = [
    draw_selection,
    draw_scatter,
    draw_single_scatter,
    draw_spearman,
    draw_error,
    draw_populations,
    draw_searches,
]


@dataclass
class Drawing:
    path: Path
    figure: Figure


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drawing]:
    """Each drawing once: its file, and the figure as an object."""
    kept: list[Figure] = []

    class KeptFigure(Figure):
        def savefig(self, *args, **kwargs) -> None:
            super().savefig(*args, **kwargs)
            kept.append(self)

    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "Figure", KeptFigure)
        for draw in DRAWINGS:
            path = tmp_path_factory.mktemp("figures") / draw.__name__ / "a.png"
            draw(path)
            found[draw.__name__] = Drawing(path, kept.pop())
    return found


@pytest.fixture(params=[draw.__name__ for draw in DRAWINGS])
def drawing(request: pytest.FixtureRequest, drawings: dict[str, Drawing]) -> Drawing:
    return drawings[request.param]


def test_file_is_an_image_and_alone(drawing: Drawing) -> None:
    assert list(drawing.path.parent.iterdir()) == [drawing.path]
    image = matplotlib.image.imread(drawing.path)
    assert image[..., :3].mean() < 0.99, "an empty page"


def test_title_legend_and_panels_do_not_cover_each_other(drawing: Drawing) -> None:
    figure = drawing.figure
    outer = [figure._suptitle.get_window_extent(), figure.legends[0].get_window_extent()]
    panels = [axes.get_tightbbox() for axes in figure.axes]
    for box in (*outer, *panels):
        assert Bbox.intersection(box, figure.bbox).get_points() == pytest.approx(box.get_points())
    for panel in panels:
        assert not any(panel.overlaps(box) for box in outer)


def test_outer_panels_say_what_their_axes_are(drawing: Drawing) -> None:
    for axes in drawing.figure.axes:
        place = axes.get_subplotspec()
        assert bool(axes.get_xlabel()) or not place.is_last_row()
        assert bool(axes.get_ylabel()) or not place.is_first_col()


def test_lines_are_the_pareto_fronts(drawings: dict[str, Drawing]) -> None:
    table = settings_table()
    columns = [("accuracy_difference", False), ("top3_precision", True), ("top5_precision", True)]
    places = [(metric, higher, size) for metric, higher in columns for size in (3, 10)]
    for axes, (metric, higher, size) in zip(drawings["draw_selection"].figure.axes, places, strict=True):
        assert len(axes.get_lines()) == 2
        for line in axes.get_lines():
            rows = table[(table["method"] == line.get_label()) & (table["final_size"] == size)]
            front = rows[pareto_front(rows["resources"], rows[metric], higher)].sort_values("resources", kind="stable")
            assert line.get_xydata()[:-1].tolist() == front[["resources", metric]].to_numpy().tolist()


def test_a_method_without_settings_of_a_size_is_left_out_there(tmp_path: Path) -> None:
    table = settings_table()
    table = table[(table["method"] == "agent") | (table["final_size"] == 10)]
    nap2_figures.selection_over_resources(table, tmp_path / "a.png", unit_steps=30)
    assert (tmp_path / "a.png").is_file()


def test_each_method_has_its_own_look(drawings: dict[str, Drawing]) -> None:
    lines = drawings["draw_spearman"].figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == METHODS
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == len(METHODS)


def test_what_is_no_method_stays_in_the_background(drawings: dict[str, Drawing]) -> None:
    axes = drawings["draw_searches"].figure.axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines) == ["best network", *METHODS, "the whole space"]
    assert min(lines, key=lambda name: lines[name].get_zorder()) == "the whole space"
    assert lines["the whole space"].get_marker() == "None"
    assert len({lines[name].get_color() for name in METHODS}) == len(METHODS)
    assert [label.get_text() for label in axes.get_xticklabels() if label.get_text() in {"1", "10", "100"}]


def test_scatter_has_the_same_scale_on_both_axes(drawings: dict[str, Drawing]) -> None:
    panels = drawings["draw_scatter"].figure.axes
    for axes in panels:
        assert axes.get_xlim() == axes.get_ylim() == panels[0].get_xlim()


def test_scatter_tells_its_quality(drawings: dict[str, Drawing]) -> None:
    title = drawings["draw_single_scatter"].figure.axes[0].get_title()
    assert title == "from 10 snapshots\nMAE 1.67 points, Spearman 1.00"


def test_same_data_give_the_same_file(drawings: dict[str, Drawing], tmp_path: Path) -> None:
    draw_spearman(tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == drawings["draw_spearman"].path.read_bytes()
