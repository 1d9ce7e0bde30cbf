"""Three ways to guess whether a support ticket is urgent, in plain Python: what an application starts with.

A row is a JSON object such as `{"subject": "Cannot log in", "amount": 120.0, "waiting_h": 30}`.
"""

from typing import Any

Ticket = dict[str, Any]

ALARMING = ("cannot", "down", "lost", "error")


def words(batch: list[Ticket]) -> list[str]:
    """Urgent if the subject sounds so."""
    return [_verdict(any(word in ticket["subject"].lower() for word in ALARMING)) for ticket in batch]


def amount(batch: list[Ticket]) -> list[str]:
    """Urgent if there is much money in it."""
    return [_verdict(ticket["amount"] >= 100.0) for ticket in batch]


class Patience:
    """Urgent if it has waited for longer than most. A class is made once, when the worker starts."""

    input = "json"

    def __init__(self) -> None:
        self.hours = 24.0

    def predict(self, batch: list[Ticket]) -> list[str]:
        """A verdict for each ticket."""
        return [_verdict(ticket["waiting_h"] > self.hours) for ticket in batch]


def _verdict(urgent: bool) -> str:
    return "urgent" if urgent else "normal"
