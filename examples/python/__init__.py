"""The classics of working in a team, each as a short program: run it as ``python -m examples.python.<name>``."""
