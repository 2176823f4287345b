"""5 · What is accepted and not finished: states and schedule (pure), queue and hand (I/O)."""
