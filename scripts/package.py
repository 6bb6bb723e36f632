"""Builds the plugin's package: what `.difyignore` lets through, as a zip that is the same every time."""

import sys
import tomllib
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import yaml
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

ROOT = Path(__file__).resolve().parent.parent

MAX_BYTES = 1024 * 1024
"""A package larger than this carries something that is not the plugin."""

PARTS = frozenset(
    {
        "_assets",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "docs",
        "ensemble",
        "LICENSE",
        "main.py",
        "manifest.yaml",
        "plugin",
        "PRIVACY.md",
        "provider",
        "README.md",
        "readme",
        "requirements.txt",
    },
)
"""What may stand at the top of a package; anything else is a file somebody forgot about."""

SECRETS = (".env", ".env.*", "*.pem", "*.key", "*.p12", "id_rsa*", "id_ed25519*", ".netrc")
"""Names of files that nobody means to publish."""

_MOMENT = (1980, 1, 1, 0, 0, 0)  # The earliest a zip can say: the same tree gives the same bytes.


class PackageRefused(Exception):  # noqa: N818 - it says what happened, not that something broke.
    """The package would not be what users should install."""


class IgnoreRules:
    """The patterns of a `.difyignore`, applied as Dify's packager applies them.

    The syntax is that of `.gitignore`, but patterns are tried one by one and the first that excludes a path wins, so
    that a later `!pattern` brings nothing back; a folder that is excluded is not entered
    (dify-plugin-daemon, pkg/plugin_packager/decoder/fs.go).
    """

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        self._patterns = [GitIgnoreSpecPattern(line) for line in lines if line and not line.startswith("#")]

    def exclude(self, path: PurePosixPath, *, is_folder: bool) -> bool:
        """Tell whether *path*, relative to the root, stays out of the package."""
        name = f"{path}/" if is_folder else str(path)
        return any(pattern.include and pattern.match_file(name) for pattern in self._patterns)


def shipped(root: Path) -> list[PurePosixPath]:
    """List the files below *root* that go into the package, sorted, relative to it."""
    rules = IgnoreRules((root / ".difyignore").read_text(encoding="utf-8"))

    def walk(folder: Path) -> Iterator[PurePosixPath]:
        for entry in folder.iterdir():
            path = PurePosixPath(entry.relative_to(root).as_posix())
            if rules.exclude(path, is_folder=entry.is_dir()):
                continue
            if entry.is_dir():
                yield from walk(entry)
            else:
                yield path

    return sorted(walk(root))


def check_contents(paths: list[PurePosixPath]) -> None:
    """Refuse files that look like secrets, and files that are no part of the plugin.

    Raises:
        PackageRefused: naming every such file and the fix.
    """
    secrets = [str(path) for path in paths if any(fnmatch(path.name.lower(), secret) for secret in SECRETS)]
    if secrets:
        raise PackageRefused(f"would publish {', '.join(secrets)}: move it away, or name it in .difyignore")
    strangers = sorted({path.parts[0] for path in paths} - PARTS)
    if strangers:
        raise PackageRefused(f"{', '.join(strangers)} is no part of the plugin: name it in .difyignore")


def version_of(root: Path) -> str:
    """Return the one version that `manifest.yaml` and `pyproject.toml` both state.

    Raises:
        PackageRefused: where they differ, or the manifest is missing.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    try:
        manifest = yaml.safe_load((root / "manifest.yaml").read_text(encoding="utf-8"))["version"]
    except FileNotFoundError as error:
        raise PackageRefused("manifest.yaml is missing: without it there is no plugin") from error
    if str(manifest) != project:
        raise PackageRefused(f"manifest.yaml says version {manifest}, pyproject.toml {project}: make them equal")
    return str(project)


def build(root: Path, folder: Path) -> Path:
    """Write the package of the tree at *root* into *folder* and return its path.

    Raises:
        PackageRefused: when it would hold what it must not, or is larger than `MAX_BYTES`; nothing is left behind.
    """
    version = version_of(root)
    paths = shipped(root)
    check_contents(paths)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"ensemble-{version}.difypkg"
    with zipfile.ZipFile(target, "w") as archive:
        for path in paths:
            entry = zipfile.ZipInfo(str(path), _MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever this machine is.
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (root / path).read_bytes(), compresslevel=9)
    size = target.stat().st_size
    if size > MAX_BYTES:
        target.unlink()
        raise PackageRefused(f"{size:,} bytes are more than {MAX_BYTES:,}: see what .difyignore lets through")
    return target


def main() -> int:
    """Build the package of this tree under `build/`, and say where it is and how large."""
    try:
        target = build(ROOT, ROOT / "build")
    except PackageRefused as refused:
        print(f"No package: {refused}", file=sys.stderr)
        return 1
    print(f"{target.relative_to(ROOT)}  {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
