"""Opt-outs travel on: other systems are told what happened, and the mailer that somebody left.

`couriers` carries one request to where it is allowed to go; `webhooks` and `mailers` know what to
say to whom; `sending` says it, in order, again where it did not arrive, from one gateway at a time.
"""
