"""The plugin's ends of the engine's ports: greenlets, the sidecar's client, reverse calls into Dify."""
