"""Other people's tools, and the ``foretrain`` command."""
