"""What to train next: the searches, the selection agent, halving."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretrain.search.sweep import SelectionAgent
    from foretrain.search.training import Contestant

__all__ = ["Contestant", "SelectionAgent"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562
    """Imports what needs Lightning when it is asked for: figures and tables use this room too."""
    if name == "SelectionAgent":
        from foretrain.search.sweep import SelectionAgent  # noqa: PLC0415

        return SelectionAgent
    if name == "Contestant":
        from foretrain.search.training import Contestant  # noqa: PLC0415

        return Contestant
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
