"""``python -m sidecar``: start the sidecar, its store included, and say where it listens."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # Before all that takes its time, for a reload may be asked for at any moment: the server heeds it once it listens.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})

import argparse
import logging
import os
import sys

from sidecar import settings
from sidecar.errors import StartError
from sidecar.health import product_version
from sidecar.launch.launcher import launch
from sidecar.logs import log_to_stderr


def main() -> int:
    """Start it as the environment says; return the exit status."""
    width = max(len(variable) for variable, _, _ in settings.table())
    lines = [f"  {name:{width}}  {meaning} [{default or 'unset'}]" for name, default, meaning in settings.table()]
    lines += [
        "",
        "Secrets may stand in files instead, which these variables name:",
        *(f"  {name}" for name in settings.files()),
    ]
    parser = argparse.ArgumentParser(
        prog="python -m sidecar",
        description="Serve Ensemble's sidecar. Everything is set by variables of the environment:",
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ensemble {product_version()}")
    parser.parse_args()
    try:
        chosen = settings.Settings.from_environment(os.environ)
        log_to_stderr(chosen.log_level)
        for sentence in settings.unknown(os.environ):
            logging.getLogger("sidecar").warning(sentence)
        launch(chosen)
    except (settings.BadSettingError, StartError) as error:
        print(f"The sidecar did not start. {error}", file=sys.stderr)  # noqa: T201 -- for whoever started it
        return 2 if isinstance(error, settings.BadSettingError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
