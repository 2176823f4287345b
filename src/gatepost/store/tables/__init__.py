"""The tables, as SQLModel classes: what is kept, in which columns.

Times are whole milliseconds since the epoch, in columns named `..._ms`. Ids that leave the
store are random 63-bit integers; row numbers never leave it.
"""
