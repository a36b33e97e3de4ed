"""The part that only thinks: rows, state machines, decisions, proof. Pure."""
