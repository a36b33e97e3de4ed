"""What the rules choose from. A word that stands twice is drawn twice as often."""

from __future__ import annotations

from hypothesis import strategies as st

from handler.invariants.memory_router import APPLY_ANSWERS, Answer

ANSWERS = st.sampled_from((*(Answer.OK,) * 8, *APPLY_ANSWERS, "open", "crash", "crash, landed"))
SECONDS = st.sampled_from((0.0, 0.5, 2.0, 6.0, 12.0, 35.0, 100.0))
NUMBERS = st.sampled_from((0, 0, 0, 1, 2, 3))
SCENES = (
    ("react",),
    ("drive",),
    ("drive", "observe"),
    ("capacity",),
    ("approval", "drive"),
    ("react", "react", "react", "react"),
    ("eyes", "capacity"),
    ("drive",),
)
ORDERS = (
    "rollback", "rollback", "force", "approve", "approve", "approve another plan", "refuse", "promote", "push",
    "withdraw", "submit",
)  # fmt: skip
WORDS = ("promote", "promote", "hold", "rollback", "no_data", "nobody", "slower", "deaf")
KINDS = (("accuracy", "5m"), ("accuracy", "1h"), ("verdict", "judge"), ("errors", "5m"))
BREAKS = (
    "scraping", "source", "roles", "old rule", "hidden", "alert", "good falls", "good falls", "bad recovers",
    "good dies", "bad dies", "counters of good", "counters of bad", "judged", "verdict", "unreadable", "disobeys",
    "capacity", "capacity", "owned",
)  # fmt: skip
PERSON = (
    "freeze", "freeze all", "freeze promotions", "unfreeze", "touch", "remove", "quarantine good", "quarantine bad",
    "prove good", "forget",
)  # fmt: skip
OPERATIONS = (
    "restart",
    "reload",
    "observe",
    "react",
    "judge",
    "drive",
    "second",
    "store breaks",
    "disk full",
    "store heals",
)
AFTERWARDS = st.sampled_from((
    "", "", "", "good falls", "approve", "more servers", "freeze", "store", "deaf", "worse", "other writer",
    "other writer again",
        "quarantine bad", "withdraw", "rollback", "unreadable", "crash",
))  # fmt: skip
"""What may follow on a write at once: the way to states that chance alone reaches too seldom."""
