"""What comes back, recognised: bounces, complaints, unsubscribe mail, and who they are for.

Pure: a scanned message or an address goes in, values come out. Nothing here is believed:
a report's fields are its author's word (RFC 5965 §3, RFC 3464 §4.1), and only a token that
verifies, which the conductor sees to, makes anything of them (RA-4).
"""
