"""One call of an agent: prepared, out, settled; tried again, or stood in for."""
