"""Writes a tiny plugin, real enough for the SDK, for the tests of the harness."""

from pathlib import Path

MANIFEST = """
version: 0.0.1
type: plugin
author: tests
name: sample
label: {en_US: Sample}
description: {en_US: A plugin for the tests of the harness.}
icon: icon.svg
created_at: 2026-01-01T00:00:00Z
resource: {memory: 1048576, permission: {app: {enabled: true}, storage: {enabled: true, size: 1048576}}}
plugins: {tools: [provider/sample.yaml]}
meta: {version: 0.0.1, arch: [amd64, arm64], runner: {language: python, version: "3.12", entrypoint: main}}
"""

PROVIDER_YAML = """
identity: {author: tests, name: sample, label: {en_US: Sample}, description: {en_US: Sample.}, icon: icon.svg}
credentials_for_provider:
  token: {type: secret-input, required: true, label: {en_US: Token}}
tools: [tools/act.yaml]
extra: {python: {source: provider/sample.py}}
"""

PROVIDER = """
from dify_plugin import ToolProvider
from dify_plugin.errors.tool import ToolProviderCredentialValidationError


class SampleProvider(ToolProvider):
    def _validate_credentials(self, credentials):
        if credentials["token"] != "good":
            raise ToolProviderCredentialValidationError("the token is not good")
"""

TOOL_YAML = """
identity: {name: act, author: tests, label: {en_US: Act}}
description: {human: {en_US: Acts.}, llm: Acts.}
parameters:
  - {name: do, type: string, required: true, form: llm, label: {en_US: Do}, human_description: {en_US: Do.}, llm_description: Do.}
  - {name: value, type: string, required: false, form: llm, label: {en_US: V}, human_description: {en_US: V.}, llm_description: V.}
  - {name: count, type: number, required: false, form: llm, label: {en_US: C}, human_description: {en_US: C.}, llm_description: C.}
extra: {python: {source: tools/act.py}}
"""

TOOL = """
import time
from dify_plugin import Tool


class ActTool(Tool):
    def _invoke(self, tool_parameters):
        do, value = tool_parameters["do"], tool_parameters.get("value", "")
        if do == "echo":
            yield self.create_json_message(dict(tool_parameters))
        elif do == "say":
            for word in value.split():
                yield self.create_text_message(word + " ")
                yield self.create_stream_variable_message("progress", word + "\\n")
            yield self.create_variable_message("words", value.split())
            yield self.create_json_message({"user": self.runtime.user_id, "app": self.session.app_id})
            yield self.create_blob_message(b"x" * 20000, meta={"mime_type": "text/plain"})
        elif do == "raise":
            yield self.create_text_message("before")
            raise RuntimeError(value)
        elif do == "variable":
            yield self.create_variable_message(value, "anything")
        elif do == "none":
            yield self.create_variable_message("nothing", None)
        elif do == "print":
            print(value, flush=True)
            yield self.create_text_message("printed")
        elif do == "big":
            yield self.create_text_message("x" * int(value))
        elif do == "wait":
            yield self.create_text_message("waiting")
            time.sleep(float(value))
            yield self.create_text_message("awake")
        elif do == "call":
            answer = self.session.app.workflow.invoke(app_id=value, inputs={"q": 1}, response_mode="blocking")
            yield self.create_json_message(answer)
        elif do == "stream":
            for event in self.session.app.workflow.invoke(app_id=value, inputs={}, response_mode="streaming"):
                yield self.create_json_message(event)
        elif do == "store":
            self.session.storage.set("key", value.encode())
            yield self.create_text_message(self.session.storage.get("key").decode())
"""

MAIN = """
from dify_plugin import DifyPluginEnv, Plugin

Plugin(DifyPluginEnv()).run()
"""


def write(root: Path) -> Path:
    """Write the plugin into a folder."""
    files = {
        "manifest.yaml": MANIFEST,
        "main.py": MAIN,
        "provider/sample.yaml": PROVIDER_YAML,
        "provider/sample.py": PROVIDER,
        "tools/act.yaml": TOOL_YAML,
        "tools/act.py": TOOL,
        "_assets/icon.svg": '<svg xmlns="http://www.w3.org/2000/svg"/>',
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip(), "utf-8")
    return root
