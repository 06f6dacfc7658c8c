"""The ``foretrain`` command: imports benchmarks, lists them and says what they hold."""

from __future__ import annotations

import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foretrain import __version__
from foretrain.benchmarks.catalog import CATALOG, Entry, default_folder, find_folder, installed, tables_folder
from foretrain.benchmarks.importers import FORMATS
from foretrain.errors import ConfigError, ForetrainError
from foretrain.integrations.extrapolate_command import extrapolate_command
from foretrain.integrations.score_command import score_command

if TYPE_CHECKING:
    import click

    from foretrain.benchmarks.contents import Description
    from foretrain.benchmarks.table import Benchmark

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

_FORMAT_HELP = "One of: " + ", ".join(FORMATS)


def main() -> None:
    """Runs the command; an error that the user can mend becomes one line and its exit code."""
    try:
        app()
    except ForetrainError as error:
        print(f"error: {_message(error)}", file=sys.stderr)
        sys.exit(error.exit_code)


def _message(error: ForetrainError) -> str:
    """The error's text, in which an argument has the name of its option."""
    if not isinstance(error, ConfigError):
        return str(error)
    commands = typing.cast("click.Group", typer.main.get_command(app)).commands.values()
    options = {name for command in commands for parameter in command.params for name in parameter.opts}
    option = f"--{error.key.replace('_', '-')}"
    return error.told(option if option in options else error.key)


app.command("score")(score_command)
app.command("extrapolate")(extrapolate_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"foretrain {__version__}")
        raise typer.Exit


@app.callback()
def _foretrain(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Know how well a neural network will do before, while and without training it."""


@app.command("import")
def import_command(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help=_FORMAT_HELP)],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file, or the folder of the files.")],
    out: Annotated[Path | None, typer.Option(help="The folder to make; without it, one that opens by name.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the benchmark, where it is not the format's.")] = None,
    space: Annotated[str | None, typer.Option(help="Import path of the search space of a long table.")] = None,
) -> None:
    """Converts published benchmark files once. The converted folder is what is read afterwards."""
    from foretrain.benchmarks.conversion import import_benchmark  # noqa: PLC0415 - keeps --help quick
    from foretrain.benchmarks.table import Benchmark  # noqa: PLC0415

    folder = import_benchmark(format_name, path, out, name, space)
    _describe(Benchmark(folder))


@app.command()
def benchmarks() -> None:
    """Lists the benchmarks that are known by name. Says which of them are on this machine."""
    here = installed()
    for name in sorted({*CATALOG, *here}):
        title = CATALOG[name].title if name in CATALOG else str(here[name])
        print(f"{name:24} {_state(name):12} {title}")


@app.command()
def info(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that 'foretrain benchmarks' lists, or a folder.")],
    verify: Annotated[bool, typer.Option("--verify", help="Compare every file with its SHA-256.")] = False,
) -> None:
    """Says what a benchmark holds. Of one that is missing, where its official files are described."""
    if name in CATALOG and _state(name) == "missing":
        _describe_missing(CATALOG[name])
        return
    from foretrain.benchmarks.table import open_benchmark  # noqa: PLC0415 - keeps --help quick

    benchmark = open_benchmark(name)
    if verify:
        benchmark.verify()
    _describe(benchmark)


@app.command()
def doctor() -> None:
    """Looks at versions, devices, data and extras. Ends with 1 where something has to be mended."""
    from foretrain.integrations.doctor import State, examine  # noqa: PLC0415 - keeps --help quick

    findings = examine()
    for finding in findings:
        print(f"{finding.topic:10} {finding.name:20} {finding.state:7} {finding.text}")
    wrong = sum(finding.state is State.WRONG for finding in findings)
    print(f"{wrong} to mend" if wrong else "nothing to mend")
    raise typer.Exit(int(wrong > 0))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders that hold runs.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
) -> None:
    """Puts runs side by side on one HTML page. Plots to point at, tables to sort, no network needed."""
    from foretrain.integrations.report import write_page  # noqa: PLC0415 - keeps --help quick

    shown = write_page(runs, out)
    print(f"{len(shown)} {'run' if len(shown) == 1 else 'runs'}: {out.resolve()}")


def _state(name: str) -> str:
    if find_folder(name) is not None:
        return "ready"
    entry = CATALOG.get(name)
    has_tables = entry is not None and entry.tables is not None and tables_folder() is not None
    return "from tables" if has_tables else "missing"


def _source(description: Description) -> str:
    if not description.source_file:
        return "no file: it was recorded"
    return f"{description.source_file} (sha256 {description.source_sha256})"


def _describe(benchmark: Benchmark) -> None:
    description = benchmark.description
    lines = {
        "name": description.name,
        "title": description.title,
        "source": description.source,
        "licence": description.licence,
        "read from": _source(description),
        "space": description.space or "none",
        "skeleton": ", ".join(f"{name} {value}" for name, value in description.skeleton.items()) or "as published",
        "folder": f"{benchmark.folder} ({benchmark.num_bytes / 1e6:.1f} MB)",
        "architectures": f"{len(benchmark):,}",
    }
    for key, value in lines.items():
        print(f"{key:14} {value}")
    print("best accuracy, mean over seeds (percent)")
    for path, best, count in benchmark.best_accuracies():
        print(f"  {path:44} {best:7.3f}   of {count:,}")
    for kind in ("curve", "cost", "score"):
        paths = [series.path.removeprefix(f"{kind}/") for series in benchmark.series if series.kind == kind]
        if paths:
            print(f"{kind + 's':14} {', '.join(paths)}")


def _describe_missing(entry: Entry) -> None:
    print(
        f"{entry.name} is not on this machine.\n{entry.title}\nlicence: {entry.licence}\ndescribed: {entry.described}"
    )
    for file in entry.files:
        digest = f", sha256 {file.sha256}" if file.sha256 else ""
        print(f"official file: {file.name}{', ' + file.size if file.size else ''}{digest}")
    if entry.format:
        print(f"then: foretrain import {entry.format} PATH   (makes {default_folder(entry.name)})")
    if entry.tables:
        print(f"or, from the folder of tables: foretrain import {entry.tables} FOLDER, or set FORETRAIN_DATA to it")
