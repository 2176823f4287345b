"""Evidence of consent, the standing that follows from it, and the links that carry proof.

Pure: facts go in, values come out; `now` and randomness are arguments.
"""
