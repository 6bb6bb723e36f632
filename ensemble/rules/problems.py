"""What makes an exchange impossible to decide."""

from __future__ import annotations

__all__ = ["Conflict", "UnknownBudget", "UnknownCall", "UnknownRun"]


class Conflict(Exception):  # noqa: N818 - the word of the contract
    """The ask contradicts what is on record, or itself; nothing is written."""

    def __init__(self, field: str, problem: str, fix: str = "") -> None:
        """Name the dotted *field* of the ask, what is wrong with it and what to do."""
        self.field, self.problem, self.fix = field, problem, fix
        super().__init__(f"{field}: {problem}")


class UnknownRun(Exception):  # noqa: N818 - the word of the contract
    """No run of this id is on record: it was never opened, or its time to be kept has passed."""

    def __init__(self, run_id: str) -> None:
        """Name the run."""
        self.run_id = run_id
        super().__init__(f"no run {run_id} is on record: open it first, or again")


class UnknownCall(Exception):  # noqa: N818 - the word of the contract
    """No call of this ticket was admitted by this breaker, or its time to be kept has passed."""

    def __init__(self, ticket: str) -> None:
        """Name the ticket."""
        self.ticket = ticket
        super().__init__(f"no call {ticket} is on record: ask for its admission first")


class UnknownBudget(Exception):  # noqa: N818 - the word of the contract
    """Nobody has defined a budget of this name."""

    def __init__(self, name: str) -> None:
        """Name the budget."""
        self.name = name
        super().__init__(f"no budget {name!r} is defined")
