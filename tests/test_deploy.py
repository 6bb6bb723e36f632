"""What stands under deploy: the image holds what the sidecar loads and works as it is told, and no file names what is not there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ensemble.contract import endpoints
from sidecar.launch.embedded import STOP_TIMEOUT_S
from sidecar.launch.server import GRACE_S
from sidecar.parsing import read_memory
from sidecar.settings import BadSettingError, Settings, files, table

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
DEFAULTS = {variable: default for variable, default, _ in table()}
OPEN = {endpoint.path for endpoint in endpoints.ALL if endpoint.public}
"""Paths that are answered without a token."""
PATIENCE_S = 30.0

type Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """Return the Dockerfile's instructions in order, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def told(word: str) -> list[str]:
    """Return what the Dockerfile says with an instruction."""
    return [rest for name, rest in instructions() if name == word]


def copies() -> list[tuple[str, str]]:
    """Return source and target of every COPY."""
    return [(source, target) for source, target in (shlex.split(rest) for rest in told("COPY"))]


def image_env() -> dict[str, str]:
    """Return the variables the image sets."""
    return dict(pair.partition("=")[::2] for rest in told("ENV") for pair in shlex.split(rest))


def manifests(name: str) -> dict[str, Any]:
    """Return a file's Kubernetes objects by their kind."""
    documents = list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))
    assert len({each["kind"] for each in documents}) == len(documents)
    return {each["kind"]: each for each in documents}


def compose(name: str) -> dict[str, Any]:
    """Return a compose file."""
    return dict(yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8")))


def version() -> str:
    """Return the project's version."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


COMPOSE = sorted(path.name for path in DEPLOY.glob("docker-compose.*.yaml"))
KUBERNETES = sorted(path.name for path in DEPLOY.glob("kubernetes*.yaml"))


# --- The image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the Dockerfile copies, and nothing else."""
    folder = tmp_path_factory.mktemp("image")
    for source, target in copies():
        place = folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    return folder


def environment(**more: str) -> dict[str, str]:
    """Return the image's variables beside what a process needs of this machine's."""
    return {"PATH": os.environ["PATH"]} | image_env() | more


def test_what_is_copied_is_let_through() -> None:
    """Everything is ignored but for what the image is made of."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {source for source, _ in copies()}


def test_the_image_installs_by_hash_what_it_copied() -> None:
    """The compiled file of the sidecar's group, and nothing without a hash."""
    (install,) = (rest for rest in told("RUN") if "pip install" in rest)

    assert re.search(r"--require-hashes -r (\S+)", install).group(1) in {target for _, target in copies()}  # type: ignore[union-attr]
    (base,) = told("FROM")
    (wanted,) = re.findall(r"^requires-python = \">=([\d.]+)", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert base == f"python:{wanted}-slim"


def test_every_setting_of_the_image_is_one_and_its_ports_and_folders_agree() -> None:
    """The port that is exposed is the one it listens at, and the volume is its data directory."""
    env = image_env()

    assert {name for name in env if name.startswith("ENSEMBLE_")} <= {*DEFAULTS, *files()}
    assert told("EXPOSE") == [env["ENSEMBLE_PORT"]] == [DEFAULTS["ENSEMBLE_PORT"]]
    assert [json.loads(rest) for rest in told("VOLUME")] == [[env["ENSEMBLE_DATA_DIR"]]]
    assert env["ENSEMBLE_HOST"] == "0.0.0.0"
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", told("USER")[0])


LOADS = """
import importlib, importlib.metadata, pkgutil, re, sys

pinned = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", open("requirements/sidecar.txt").read(), re.MULTILINE))
owners = importlib.metadata.packages_distributions()

class NotInTheImage:
    def find_spec(self, name, path=None, target=None):
        names = {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners.get(name.partition(".")[0], ())}
        if names and not names & pinned:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, NotInTheImage())
sys.path.insert(0, ".")
import sidecar
for module in pkgutil.walk_packages(sidecar.__path__, "sidecar."):
    importlib.import_module(module.name)
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


@pytest.mark.parametrize(("beside", "fails"), [((), False), (("hypothesis",), True), (("plugin",), True)])
def test_all_the_sidecar_loads_is_in_the_image(image: Path, beside: tuple[str, ...], *, fails: bool) -> None:
    """Of ours what was copied, of others' what the requirement file pins; anything else would be noticed."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOADS, *beside],
        cwd=image,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    assert (done.returncode != 0) == fails, done.stderr
    assert [each for each in beside if each not in done.stderr] == []


@pytest.fixture
def running(image: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Start the image's command with its variables, at a free port and on a folder of this test."""
    start = [sys.executable, *json.loads(told("CMD")[0])[1:]]
    env = environment(ENSEMBLE_DATA_DIR=str(tmp_path / "data"), ENSEMBLE_PORT="0", TMPDIR=str(tmp_path))
    process = subprocess.Popen(
        start, cwd=image, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert "listens" in process.stdout.readline()
        port = (tmp_path / "data/address").read_text().strip().rpartition(":")[2]
        yield process, env | {"ENSEMBLE_PORT": port}
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=PATIENCE_S)


def test_the_image_holds_the_pages_of_the_console_and_what_they_load(
    running: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    """Templates and files are no modules, and would be missed by nothing else."""
    _, env = running
    start = f"http://localhost:{env['ENSEMBLE_PORT']}/console/"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read(page: str) -> str:
        with opener.open(start + page, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    form = read("sign-in")
    files = re.findall(r'(?:href|src)="\./(static/[^"]+)"', form)
    assert "<h1>Sign in</h1>" in form
    assert len(files) == len(list((ROOT / "sidecar/console/static").iterdir()))
    assert all(read(file) for file in files)


def test_the_image_starts_is_found_healthy_and_ends_on_sigterm(
    running: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    """By the Dockerfile's own command and check; and the check fails once nothing listens."""
    process, env = running
    (health,) = told("HEALTHCHECK")
    check = [sys.executable, *json.loads(health.partition("CMD ")[2])[1:]]

    def checked() -> int:
        proxied = env | {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
        return subprocess.run(check, env=proxied, capture_output=True, timeout=PATIENCE_S, check=False).returncode

    assert checked() == 0
    assert told("STOPSIGNAL") == ["SIGTERM"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert checked() != 0


# --- Compose


@pytest.mark.parametrize("name", COMPOSE)
def test_a_compose_file_names_only_what_is_there(name: str) -> None:
    """Settings, volumes, networks and secrets; `default` is Dify's own network, and ours is the base's volume."""
    file = compose(name)
    base = compose("docker-compose.override.yaml")

    assert set(file["services"]["ensemble"].get("environment", {})) <= {*DEFAULTS, *files()}
    for service in file["services"].values():
        volumes = {each.partition(":")[0] for each in service.get("volumes", ())}
        assert volumes <= {*file.get("volumes", {}), *base["volumes"]}
        assert set(service.get("networks", ())) <= {"default", *file.get("networks", {})}
        assert set(service.get("secrets", ())) <= {*file.get("secrets", {})}
        assert set(service.get("depends_on", ())) <= {*file["services"]}
    assert not any(service.get("ports") for service in file["services"].values())


def test_the_compose_service_is_what_the_providers_form_expects() -> None:
    """Its name and port, its folder, its version; and it has time to end."""
    service = compose("docker-compose.override.yaml")["services"]["ensemble"]
    provider = yaml.safe_load((ROOT / "provider/ensemble.yaml").read_text(encoding="utf-8"))
    placeholder = provider["credentials_for_provider"]["sidecar_url"]["placeholder"]["en_US"]

    assert placeholder == f"http://ensemble:{image_env()['ENSEMBLE_PORT']}"
    assert service["networks"] == ["default"]
    assert service["image"] == f"ensemble-sidecar:{version()}"
    assert [each.partition(":")[2] for each in service["volumes"]] == [image_env()["ENSEMBLE_DATA_DIR"]]
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_TIMEOUT_S + GRACE_S


def test_the_store_beside_the_sidecar_never_evicts_and_is_the_one_its_url_names() -> None:
    """Else the sidecar would refuse to start."""
    services = compose("docker-compose.redis.yaml")["services"]
    url = services["ensemble"]["environment"]["ENSEMBLE_REDIS_URL"]
    command = services["ensemble-store"]["command"]

    assert Settings.from_environment({"ENSEMBLE_REDIS_URL": url}).redis_url == url == "redis://ensemble-store:6379/0"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert all(isinstance(each, str) for each in command)


def test_a_secret_file_becomes_the_tokens(tmp_path: Path) -> None:
    """By the setting that reads a file, at the place where compose puts the secret."""
    file = compose("docker-compose.secret.yaml")
    (secret,) = file["secrets"]
    assert file["services"]["ensemble"]["secrets"] == [secret]
    environment = file["services"]["ensemble"]["environment"]
    assert environment == {"ENSEMBLE_TOKENS_FILE": f"/run/secrets/{secret}"}
    (tmp_path / secret).write_text("team-a=a-long-enough-token\nteam-a=the-next-one-of-it\nteam-b=another-such-token\n")

    tokens = Settings.from_environment({"ENSEMBLE_TOKENS_FILE": str(tmp_path / secret)}).tokens or {}

    assert sorted(tokens.values()) == ["team-a", "team-a", "team-b"]


# --- Kubernetes


@pytest.mark.parametrize("name", KUBERNETES)
def test_the_manifests_agree_with_the_image_and_with_each_other(name: str) -> None:
    """Settings, ports, probes, volumes, labels, and secrets that are there."""
    objects = manifests(name)
    pod = objects["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    env: list[Mapping[str, Any]] = container["env"]

    assert {each["name"] for each in env} <= {*DEFAULTS, *files()}
    refs = [each["valueFrom"]["secretKeyRef"] for each in env if "valueFrom" in each]
    assert {ref["name"] for ref in refs} == {objects["Secret"]["metadata"]["name"]}
    assert {ref["key"] for ref in refs if not ref.get("optional")} == {*objects["Secret"]["stringData"]}
    assert container["image"] == f"ensemble-sidecar:{version()}"
    (port,) = container["ports"]
    (served,) = objects["Service"]["spec"]["ports"]
    assert port["containerPort"] == served["port"] == int(image_env()["ENSEMBLE_PORT"])
    assert served["targetPort"] == port["name"]
    labels = pod["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    probes = [probe["httpGet"] for key, probe in container.items() if key.endswith("Probe")]
    assert {probe["path"] for probe in probes} == OPEN
    assert {probe["port"] for probe in probes} == {port["name"]}
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounted["data"] == image_env()["ENSEMBLE_DATA_DIR"]
    assert {*mounted} == {each["name"] for each in pod["spec"]["volumes"]}
    user, group = (int(each) for each in told("USER")[0].split(":"))
    security = pod["spec"]["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["fsGroup"]) == (user, group, group)
    assert pod["spec"]["terminationGracePeriodSeconds"] > STOP_TIMEOUT_S + GRACE_S


def test_a_full_store_is_told_of_before_the_memory_of_its_container_ends() -> None:
    """Twice the store, as it may be while it rewrites its file, and the processes of a sidecar with two workers."""
    (container,) = manifests("kubernetes.yaml")["Deployment"]["spec"]["template"]["spec"]["containers"]
    (memory,) = (each["value"] for each in container["env"] if each["name"] == "ENSEMBLE_STORE_MEMORY")
    processes = 250 * 2**20

    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert 2 * read_memory(memory) + processes <= 2**30


@pytest.mark.parametrize("name", KUBERNETES)
def test_a_service_of_this_name_does_not_set_the_sidecars_port(name: str) -> None:
    """Kubernetes would set ENSEMBLE_PORT to an address; the sidecar refuses that, so the links are off."""
    objects = manifests(name)

    assert objects["Service"]["metadata"]["name"] == "ensemble"
    assert objects["Deployment"]["spec"]["template"]["spec"]["enableServiceLinks"] is False
    with pytest.raises(BadSettingError, match="ENSEMBLE_PORT"):
        Settings.from_environment({"ENSEMBLE_PORT": "tcp://10.0.0.1:8787"})


@pytest.mark.parametrize("name", KUBERNETES)
def test_the_token_in_the_file_is_refused(name: str) -> None:
    """Nobody runs with a token that everybody knows."""
    with pytest.raises(BadSettingError, match="ENSEMBLE_TOKENS"):
        Settings.from_environment({"ENSEMBLE_TOKENS": manifests(name)["Secret"]["stringData"]["tokens"]})


def test_one_sidecar_holds_a_volume_and_several_hold_none() -> None:
    """Two launchers never meet on one data directory."""
    alone, several = manifests("kubernetes.yaml"), manifests("kubernetes-redis.yaml")

    assert alone["Deployment"]["spec"]["replicas"] == 1
    assert alone["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    claims = [each.get("persistentVolumeClaim") for each in alone["Deployment"]["spec"]["template"]["spec"]["volumes"]]
    assert {"claimName": alone["PersistentVolumeClaim"]["metadata"]["name"]} in claims
    assert several["Deployment"]["spec"]["replicas"] > 1
    volumes = several["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert all(each["emptyDir"] == {} for each in volumes)


# --- A machine of one's own


def test_the_unit_starts_the_sidecar_on_its_own_folder_and_lets_it_end_in_order() -> None:
    """Its settings are settings, and a wrong one is not tried for ever."""
    lines = (DEPLOY / "ensemble.service").read_text(encoding="utf-8").splitlines()
    pairs = [(key, value) for key, found, value in (line.partition("=") for line in lines) if found]
    unit = dict(pairs)
    set_here = dict(value.partition("=")[::2] for key, value in pairs if key == "Environment")

    assert {name for name in set_here if name.startswith("ENSEMBLE_")} <= {*DEFAULTS, *files()}
    assert set_here["ENSEMBLE_DATA_DIR"] == f"/var/lib/{unit['StateDirectory']}"
    assert unit["StateDirectoryMode"] == "0700"
    assert unit["ExecStart"].split()[1:] == json.loads(told("CMD")[0])[1:]
    assert unit["ExecStart"].startswith(unit["WorkingDirectory"])
    assert unit["KillMode"] == "mixed"
    assert int(unit["TimeoutStopSec"]) > STOP_TIMEOUT_S + GRACE_S
    assert unit["RestartPreventExitStatus"] == "2"


def test_every_page_names_this_version_of_the_image() -> None:
    """Whoever copies a command builds what the files beside it start."""
    named = {
        tag
        for path in (ROOT / "README.md", *DEPLOY.iterdir())
        for tag in re.findall(r"ensemble-sidecar:([\w.]*\w)", path.read_text(encoding="utf-8"))
    }

    assert named == {version()}


def test_every_file_is_told_of() -> None:
    """In the folder's page, which names no other."""
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in DEPLOY.iterdir()} - {"README.md"}
    named = set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))

    assert named == files
