"""The door for recipients' browsers and mail clients, and for whoever looks after the relay.

`recipients.recipient_app` and `admin.admin_app` make the two applications, `server.Server`
serves one on a socket, and `site.Site` is all they are given.
"""
