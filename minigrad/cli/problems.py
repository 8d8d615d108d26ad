"""What a command says when it cannot do what it was asked: one line, exit status 2."""

from __future__ import annotations


class Problem(Exception):
    """Wrong input or options. The message is one line that says what was given, what was expected, what to do."""

    def __str__(self) -> str:
        return " ".join(super().__str__().split())
