"""The plan language: its model, its parsing, its validation and its templates."""
