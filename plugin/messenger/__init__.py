"""The messenger: messages between agents, workflows and apps of one trace."""
