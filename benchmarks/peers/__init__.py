"""Other people's engines and breakers, each in a process of its own that takes jobs and tells times as JSON lines."""
