"""The provider: checks the credentials when a builder saves them."""

from __future__ import annotations

from typing import Any

from dify_plugin import ToolProvider
from dify_plugin.errors.tool import ToolProviderCredentialValidationError

from plugin.checking import problems


class EnsembleProvider(ToolProvider):
    """Holds where the sidecar is, the agents' keys and the operator's ceilings."""

    def _validate_credentials(self, credentials: dict[str, Any]) -> None:
        found = problems(credentials)
        if found:
            raise ToolProviderCredentialValidationError("\n".join(found))
