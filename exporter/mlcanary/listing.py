"""Long lists in a sentence."""

from __future__ import annotations

from collections.abc import Iterable


def first_of(texts: Iterable[str], most: int, between: str = ", ") -> str:
    """The first ones, and how many more there are.

    >>> first_of(["age", "income"], 2), first_of(["age", "income", "plan", "zip"], 2)
    ('age, income', 'age, income and 2 more')
    >>> first_of(["age 3 %", "income 4 %", "plan 5 %"], 2, between="; ")
    'age 3 %; income 4 %; and 1 more'
    """
    every = list(texts)
    more = len(every) - most
    if more <= 0:
        return between.join(every)
    return f"{between.join(every[:most])}{' ' if between == ', ' else between}and {more} more"
