"""The nouns of mail: values without behaviour that reaches outside themselves.

Everything here is frozen, checked at birth and free of I/O, clock and randomness.
"""
