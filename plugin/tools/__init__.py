"""The tools a workflow can drop in: one description and one class each."""
