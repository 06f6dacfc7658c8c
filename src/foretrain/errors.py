"""The errors a user may meet: each names the culprit, the place and the remedy.

``exit_code`` is what a command ends with: 2 for a wrong usage or config, 1 for something wrong in the data, 130 (as
from a shell) where the user stopped it.
"""

from collections.abc import Iterable


class ForetrainError(Exception):
    """Base of all errors raised on purpose; its text is for the user and needs no traceback."""

    exit_code = 1


class ConfigError(ForetrainError):
    """A key of the config, an option or an argument is unknown, has a wrong type or an impossible value.

    Args:
        key: Its name; of a config's key the full dotted path, e.g. ``data.population``.
        problem: What is wrong with it.
        value: The offending value, left out where there is none (a missing key).
        allowed: What is allowed there: a description or the list of choices.
    """

    exit_code = 2
    _NO_VALUE = object()

    def __init__(
        self, key: str, problem: str, value: object = _NO_VALUE, allowed: str | Iterable[str] | None = None
    ) -> None:
        self.key = key
        self.problem = problem
        shown = "" if value is self._NO_VALUE else f" (value: {value!r})"
        if allowed is not None and not isinstance(allowed, str):
            allowed = ", ".join(sorted(allowed))
        hint = f"Allowed: {allowed}" if allowed else ""
        end = "" if not hint else " " if f"{problem}{shown}".endswith("?") else ". "
        self._text = f"{problem}{shown}{end}{hint}"
        super().__init__(self.told(key))

    def told(self, name: str) -> str:
        """Returns the message with the name by which this user knows the key, e.g. ``--epoch-column``."""
        return f"{name}: {self._text}"


class DataError(ForetrainError):
    """A file or an array is not what it should be.

    Args:
        source: The file (or the name of the array) that is at fault.
        problem: What is wrong, with the row, record or offset where it is.
        remedy: What the user can do about it.
    """

    def __init__(self, source: object, problem: str, remedy: str) -> None:
        self.source = str(source)
        super().__init__(f"{self.source}: {problem}. {remedy}")


class CheckpointError(DataError):
    """A checkpoint cannot be read: damaged, of another schema version or of another class."""


class ItemsFailedError(ForetrainError):
    """Some of many independent jobs failed; the others are finished and kept."""


class InterruptedRunError(ForetrainError):
    """The user stopped a run.

    Args:
        folder: The run's folder.
    """

    exit_code = 130

    def __init__(self, folder: object) -> None:
        super().__init__(f"interrupted; what is finished is kept: the same command with run_dir={folder} goes on")


class ForetrainWarning(UserWarning):
    """Something the user should know that does not stop the work."""
