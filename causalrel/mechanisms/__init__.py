"""How a variable answers its causes: regressions, event rates, noise with memory, and which of them to take."""
