"""The message router: mailboxes, deliveries, dead letters, and the log of a trace."""
