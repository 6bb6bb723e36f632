"""What the plugin and the sidecar share: contract, plan language, engine, agents and rules."""
