"""The shared state of a trace: one hash per namespace, a version per value, a life counted from the last use."""
