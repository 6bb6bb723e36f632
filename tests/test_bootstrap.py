"""How a bare machine comes to uv and Python 3.12: the scripts under `scripts/`, run as make runs them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FAILS = "#!/bin/sh\nexit 1\n"
RUNS = "#!/bin/sh\nexit 0\n"
THIS_PYTHON = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
OTHER_PYTHON = "#!/bin/sh\nexit 1  # What a pyenv shim, or a Python of another version, answers to the question.\n"


class Machine:
    """A copy of the scripts in a folder with a space in its name, and a PATH with little more than a shell."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a tree"
        self.bin = folder / "bin"
        self.home = folder / "home"
        for path in (self.root / "requirements", self.bin, self.home):
            path.mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        for tool in ("cat", "cmp", "cp", "dirname", "head", "mkdir", "rm", "sh"):
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)

    def program(self, path: Path, text: str) -> Path:
        """Put an executable with this text at *path*."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the scripts there, with nothing of this machine's environment."""
        environment = {"PATH": str(self.bin), "HOME": str(self.home), "LC_ALL": "C"}
        command = [str(self.root / "scripts" / script), *arguments]
        return subprocess.run(
            command, cwd=self.home, env=environment, capture_output=True, text=True, timeout=30, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine without uv and without Python."""
    return Machine(tmp_path)


def test_a_python_3_12_on_path_is_taken(machine: Machine) -> None:
    """The first place to look is PATH."""
    machine.program(machine.bin / "python3.12", THIS_PYTHON)

    result = machine.run("find-python", str(machine.program(machine.bin / "uv", FAILS)))

    assert (0, sys.executable) == (result.returncode, result.stdout.strip())


def test_a_shim_that_does_not_run_is_passed_over_for_pyenv_s_own(machine: Machine) -> None:
    """A pyenv shim stands on PATH for every version installed, and fails for those not selected."""
    machine.program(machine.bin / "python3.12", OTHER_PYTHON)
    machine.program(machine.home / ".pyenv/versions/3.12.9/bin/python3.12", THIS_PYTHON)

    result = machine.run("find-python", str(machine.program(machine.bin / "uv", FAILS)))

    assert (0, sys.executable) == (result.returncode, result.stdout.strip())


def test_uv_is_asked_for_a_python_it_knows(machine: Machine) -> None:
    """It knows places of its own, and those of other systems."""
    python = machine.program(machine.home / "elsewhere/python", THIS_PYTHON)
    uv = machine.program(machine.bin / "uv", f'#!/bin/sh\n[ "$2" = find ] && echo "{python}"\n')

    result = machine.run("find-python", str(uv))

    assert (0, sys.executable) == (result.returncode, result.stdout.strip())


def test_uv_fetches_a_python_where_there_is_none(machine: Machine) -> None:
    """The last way is to download one."""
    python = machine.home / "fetched/python"
    source = machine.program(machine.home / "source", THIS_PYTHON)
    text = f"""#!/bin/sh
    case $2 in
    install) mkdir -p "{python.parent}" && cp "{source}" "{python}" ;;
    find) [ -x "{python}" ] && echo "{python}" ;;
    esac
    """

    result = machine.run("find-python", str(machine.program(machine.bin / "uv", text)))

    assert (0, sys.executable) == (result.returncode, result.stdout.strip())


def test_without_any_python_one_line_says_what_to_install(machine: Machine) -> None:
    """Nothing is left half made."""
    result = machine.run("find-python", str(machine.program(machine.bin / "uv", FAILS)))

    assert (1, "") == (result.returncode, result.stdout)
    assert ["Fetching Python 3.12 with uv", "No Python 3.12"] == [
        line.split(":")[0] for line in result.stderr.splitlines()
    ]


def test_a_uv_that_runs_is_taken_from_path(machine: Machine) -> None:
    """The user's own uv, with the user's own settings, comes first."""
    uv = machine.program(machine.bin / "uv", RUNS)

    assert machine.run("find-uv").stdout.strip() == str(uv)


def test_uv_is_installed_by_the_first_python_that_can(machine: Machine) -> None:
    """A shim that fails is no uv, and a python3 without venv installs by pip alone, with the hashes checked."""
    machine.program(machine.bin / "uv", FAILS)
    python = """#!/bin/sh
    case "$*" in
    --version) ;;
    "-m venv"*) exit 1 ;;
    "-m pip install -q --target build/uv --require-hashes -r requirements/uv.txt")
        mkdir -p build/uv/bin && cp "$(dirname "$0")/a-uv" build/uv/bin/uv ;;
    *) exit 2 ;;
    esac
    """
    machine.program(machine.bin / "python3", python)
    machine.program(machine.bin / "a-uv", RUNS)

    assert machine.run("find-uv").stdout.strip() == str(machine.root / "build/uv/bin/uv")
    machine.program(machine.bin / "python3", FAILS)
    assert machine.run("find-uv").stdout.strip() == str(machine.root / "build/uv/bin/uv")  # It is there already.


def test_without_uv_and_pip_one_line_says_what_to_install(machine: Machine) -> None:
    """A machine without even a python3 is told."""
    result = machine.run("find-uv")

    assert (1, "") == (result.returncode, result.stdout)
    assert result.stderr.startswith("No uv: install it")
    assert result.stderr.count("\n") == 1


def test_an_environment_is_made_once_and_again_when_its_file_changes(machine: Machine) -> None:
    """The copy of the requirement file inside the environment tells whether anything is to do."""
    calls = machine.home / "calls"
    uv = f"""#!/bin/sh
    case $1 in
    --version) exit ;;
    venv) for venv; do :; done; mkdir -p "$venv/bin" && cp "{machine.bin}/python3.12" "$venv/bin/python" ;;
    esac
    echo "$1 $2" >> "{calls}"
    """
    machine.program(machine.bin / "uv", uv)
    machine.program(machine.bin / "python3.12", THIS_PYTHON)
    wanted = machine.root / "requirements/dev.txt"
    wanted.write_text("one\n")

    def make() -> list[str]:
        calls.write_text("")
        result = machine.run("make-venv", "a venv", "requirements/dev.txt")
        assert result.returncode == 0, result.stderr
        return calls.read_text().splitlines()

    assert make() == ["venv --quiet", "pip sync"]
    assert make() == []
    wanted.write_text("two\n")
    assert make() == ["pip sync"]
    (machine.root / "a venv/bin/python").unlink()
    assert make() == ["venv --quiet", "pip sync"]


def test_the_scripts_are_executable() -> None:
    """Make calls them by name in a fresh clone."""
    for name in ("find-python", "find-uv", "lock", "make-venv"):
        assert os.access(ROOT / "scripts" / name, os.X_OK), name
