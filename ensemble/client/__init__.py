"""For Python programs beside Dify: changing shared state atomically, and handling messages. No SDK, no server."""
