"""The Dify side: reads a tool's parameters, runs the engine and yields messages."""
