"""The SMTP door in: sessions, TLS, AUTH, limits and replies.

`Listener` (server.py) listens and gives each accepted transaction to a `Handler`. Below it, in
the order of reading: `session` (commands and transaction), `secured` (AUTH, STARTTLS), `wire`
(lines, time-outs, back pressure), `content` (end of data, newlines), `commands` (MAIL and RCPT
parsed), `clients`, `usage`, `passwords`, and `replies`, the one table of what is answered.
"""
