"""The path of a mail: read the folders downwards, they stand in the order it meets them.

The six rooms are strangers to each other; the conductors `inbound`, `outbound`, `returns` and
`audience` know the order.
"""
