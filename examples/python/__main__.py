"""Runs one of the examples against the tests' stand-in for Dify: ``python -m examples.python sequential``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.standin.apps import App, Usage
from tests.standin.failures import Failure, Failures
from tests.standin.service_api import process

DOWN = Failure(kind="node_failed", message="the exchange is closed")
APPS = (
    App(name="research", answer="facts on {query}", usage=Usage(prompt_tokens=30, completion_tokens=12)),
    App(name="analysis", answer="they grow", usage=Usage(prompt_tokens=40, completion_tokens=8)),
    App(name="market", answer="it grows"),
    App(name="rivals", answer="two of them"),
    App(name="slow", answer="too late", latency_s=30),
    App(name="writer", answer="written of: {query}"),
    App(name="prices", answer="{query} at 9", failures=Failures(sequence=(None,), always=DOWN)),
)
"""Every app the examples name."""
KEYS = {f"{app.name.upper()}_KEY": app.key for app in APPS}


def main() -> int:
    """Start the stand-in, run the example, and return its exit status."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    parser = argparse.ArgumentParser(prog="python -m examples.python", description=__doc__)
    parser.add_argument("name", choices=names)
    name = parser.parse_args().name
    with process(*APPS) as dify:
        env = {**os.environ, "DIFY_URL": dify.url, **KEYS}
        return subprocess.run([sys.executable, "-m", f"examples.python.{name}"], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
