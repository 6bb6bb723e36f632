"""The classics of working in a team, each as a short program.

``python -m examples.python.<name>`` runs one against a Dify of yours, ``python -m examples.python <name>`` against the
stand-in the tests use.
"""

from __future__ import annotations

import os
import sys

__all__ = ["given"]


def given(variable: str) -> str:
    """Return a variable of the environment; without it the program ends, and says what belongs there."""
    value = os.environ.get(variable, "")
    if not value:
        what = (
            "the address an app's page API Access calls API server, such as https://your-dify/v1"
            if variable == "DIFY_URL"
            else f"the API key of the app {variable.removesuffix('_KEY').lower()!r}, such as app-…"
        )
        sys.exit(
            f"{variable} is not set. Put there {what}; or run it without a Dify, by python -m examples.python <name>."
        )
    return value
