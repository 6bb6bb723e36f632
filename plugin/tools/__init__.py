"""The tools that can be dropped into a workflow: one description and one class each."""
