"""The SMTP door out: copies to upstream, and what came of each.

`pool` is the way in (`Pool`, `route.Route`, `copy.Copy`); `client` opens connections with
aiosmtplib, `session` speaks on them, `transaction` matches replies, `trouble` judges them.
"""
