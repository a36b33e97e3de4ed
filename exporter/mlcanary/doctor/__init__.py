"""`mlcanary doctor`: says what a log holds, how to read it and what is missing; and where the chain is broken."""
