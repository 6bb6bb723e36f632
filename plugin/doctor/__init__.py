"""The doctor: looks at everything a run depends on, and says in words what will bite and which setting changes it."""
