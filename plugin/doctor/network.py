"""What the doctor makes of the way to the apps: who is reached through the proxy, and whose certificates are trusted."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.http1.asking import locate
from plugin.app_keys import AppKey
from plugin.credentials import Credentials
from plugin.doctor.findings import Finding, note, ok

__all__ = ["judge_network"]

NETWORK = "network"


def judge_network(credentials: Credentials) -> list[Finding]:
    """Return what is to be said of it; nothing where neither a proxy nor certificates are saved."""
    findings = []
    proxy = credentials.passage.proxy
    if proxy is not None:
        through = [app for app in credentials.app_keys if _through_proxy(app)]
        near = [app for app in credentials.app_keys if app not in through]
        if through or not near:
            text = (
                f"Through the proxy {proxy.origin.authority} go calls to: {_names(through)}; directly: {_names(near)}."
            )
            findings.append(ok(NETWORK, text))
        else:
            text = f"Nobody is reached through the proxy {proxy.origin.authority}: every app's address is near."
            findings.append(note(NETWORK, text, "Leave Proxy URL empty, or write the Dify's full name in its address."))
    if credentials.passage.certificates:
        text = "The CA certificates in the plugin's credentials are trusted besides the system's, for apps and sidecar."
        findings.append(ok(NETWORK, text))
    return findings


def _through_proxy(app: AppKey) -> bool:
    return app.base_url is not None and app.passage.proxy_to(locate(app.base_url)[0]) is not None


def _names(apps: Sequence[AppKey]) -> str:
    return ", ".join(app.name for app in apps) or "nobody"
