"""What goes into the plugin's package, and what never does."""

import random
import re
import subprocess
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from scripts.package import MAX_BYTES, ROOT, IgnoreRules, PackageRefused, build, shipped


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return the smallest tree that makes a package."""
    files = {
        ".difyignore": "/.difyignore\n/pyproject.toml\n/sidecar/\n__pycache__/\n",
        "manifest.yaml": "version: 1.2.3\n",
        "pyproject.toml": '[project]\nversion = "1.2.3"\n',
        "main.py": "",
        "plugin/sidecar/client.py": "inside the plugin",
        "plugin/__pycache__/client.pyc": "",
        "sidecar/app.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("patterns", "path", "excluded"),
    [
        ("/sidecar/", "sidecar/", True),
        ("/sidecar/", "plugin/sidecar/", False),
        ("sidecar/", "plugin/sidecar/", True),
        ("/sidecar/", "sidecar", False),
        ("*.pyc", "plugin/deep/x.pyc", True),
        (".env", "plugin/.env", True),
        (".env", "plugin/.environment", False),
        ("*.md\n!README.md", "README.md", True),
        ("!README.md\n*.md", "README.md", True),
        ("!README.md", "README.md", False),
        ("# *.md\n\n  *.txt  ", "a.md", False),
        ("# *.md\n\n  *.txt  ", "a.txt", True),
    ],
)
def test_the_first_pattern_that_excludes_wins(patterns: str, path: str, excluded: bool) -> None:  # noqa: FBT001 - a table
    """A negation never brings a file back, and a leading slash anchors."""
    rules = IgnoreRules(patterns)

    assert excluded == rules.exclude(PurePosixPath(path), is_folder=path.endswith("/"))


def test_a_package_holds_what_the_rules_let_through(tree: Path, tmp_path: Path) -> None:
    """Nothing of an excluded folder is packed, and names are sorted."""
    package = build(tree, tmp_path / "out")

    assert package.name == "ensemble-1.2.3.difypkg"
    with zipfile.ZipFile(package) as archive:
        assert archive.namelist() == ["main.py", "manifest.yaml", "plugin/sidecar/client.py"]
        assert archive.read("plugin/sidecar/client.py") == b"inside the plugin"


def test_the_same_tree_gives_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    """Neither the time of day nor a file's own time shows in a package."""
    first = build(tree, tmp_path / "first").read_bytes()
    (tree / "main.py").touch()
    (tree / "main.py").chmod(0o600)

    assert first == build(tree, tmp_path / "second").read_bytes()


@pytest.mark.parametrize("name", [".env", "plugin/.env.local", "plugin/server.pem", "provider/ID_RSA"])
def test_a_secret_is_never_packed(tree: Path, tmp_path: Path, name: str) -> None:
    """The package is refused and the file named, so that nobody publishes a key by accident."""
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).write_text("SECRET=1")

    with pytest.raises(PackageRefused, match=name):
        build(tree, tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


def test_a_forgotten_file_is_named(tree: Path, tmp_path: Path) -> None:
    """What stands in the root and is no part of the plugin has to be named in .difyignore."""
    (tree / "notes.txt").write_text("")

    with pytest.raises(PackageRefused, match=r"notes\.txt.*\.difyignore"):
        build(tree, tmp_path / "out")


def test_two_versions_make_no_package(tree: Path, tmp_path: Path) -> None:
    """The manifest's version and the project's are one version."""
    (tree / "manifest.yaml").write_text("version: 1.2.4\n")

    with pytest.raises(PackageRefused, match=r"1\.2\.4.*1\.2\.3"):
        build(tree, tmp_path / "out")


def test_without_a_manifest_there_is_no_package(tree: Path, tmp_path: Path) -> None:
    """The missing file is named."""
    (tree / "manifest.yaml").unlink()

    with pytest.raises(PackageRefused, match=r"manifest\.yaml"):
        build(tree, tmp_path / "out")


def test_a_package_over_one_mebibyte_is_refused_and_removed(tree: Path, tmp_path: Path) -> None:
    """Size is counted compressed, as users download it."""
    (tree / "plugin/big.bin").write_bytes(random.Random(7).randbytes(MAX_BYTES + 1))

    with pytest.raises(PackageRefused, match="bytes"):
        build(tree, tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


@pytest.fixture
def own_tree(tmp_path: Path) -> Path:
    """Return a copy of the tracked files."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if not (ROOT / name).is_file():
            continue
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())

    return tmp_path.resolve()


def test_our_own_rules_ship_the_plugin_and_nothing_else(own_tree: Path) -> None:
    """Of the tracked files, those below the plugin's own parts go in, without tests or server."""
    tops = {path.parts[0] for path in shipped(own_tree)}

    assert {"LICENSE", "README.md", "docs", "ensemble", "plugin", "provider", "requirements.txt"} <= tops
    assert not tops & {"pyproject.toml", "requirements", "tests", "sidecar", "scripts", "Makefile", ".git"}


def test_every_link_of_a_packed_page_leads_to_a_packed_file(own_tree: Path) -> None:
    """Whoever has nothing but the package can read on."""
    packed = {own_tree / path for path in shipped(own_tree)}
    pages = [path for path in packed if path.suffix == ".md"]
    links = {
        (page.relative_to(own_tree), target)
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    }

    assert len(links) > len(pages)
    assert {link for link in links if (own_tree / link[0].parent / link[1]).resolve() not in packed} == set()
