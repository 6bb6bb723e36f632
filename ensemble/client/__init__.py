"""The sidecar's client, for the plugin and for Python programs beside Dify. No SDK, no server."""
