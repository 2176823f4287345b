"""Mail that comes back, as servers and mailbox providers write it."""

TO = "anna@example.org"


def lines(text):
    """The message with CRLF, without the line that opens the literal."""
    return text.lstrip("\n").replace("\n", "\r\n").encode("utf-8")


def original(*, unsubscribe="", mailto="", return_path="", header="", body="Good news.\n"):
    """A copy of ours, as a report carries it."""
    fields = "From: Acme AB <news@acme.example>\nTo: undisclosed\nSubject: Monthly news\n"
    if return_path:
        fields = f"Return-Path: <{return_path}>\n" + fields
    if unsubscribe:
        mailto = f", <mailto:leave@acme.example?subject={mailto}>" if mailto else ""
        fields += f"List-Unsubscribe: <https://mail.example.org/u/{unsubscribe}>{mailto}\n"
        fields += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
    return f"{fields}{header}\n{body}"


def dsn(
    *,
    action="failed",
    status="5.1.1",
    diagnostic="smtp; 550 5.1.1 <anna@example.org>: Recipient address rejected: User unknown",
    recipient=TO,
    more="",
    copy="",
):
    """A report as Postfix writes it."""
    copy = copy or original()
    return lines(f"""
From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: bounces@acme.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4V/mx.example"

This is a MIME-encapsulated message.

--4V/mx.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.

<{recipient}>: host 192.0.2.1 said: {diagnostic}

--4V/mx.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
X-Postfix-Queue-ID: 4VqXkz0F
Arrival-Date: Sun,  1 Mar 2026 12:00:00 +0000 (UTC)

Final-Recipient: rfc822; {recipient}
Original-Recipient: rfc822;{recipient}
Action: {action}
Status: {status}
Remote-MTA: dns; mail.example
Diagnostic-Code: {diagnostic}
{more}
--4V/mx.example
Content-Description: Undelivered Message
Content-Type: message/rfc822

{copy}
--4V/mx.example--
""")


EXCHANGE = lines("""
From: postmaster@exchange.example
To: bounces@acme.example
Subject: Undeliverable: Monthly news
Content-Type: multipart/report; report-type=delivery-status;
 boundary="_b29f_"
X-MS-Exchange-Message-Is-Ndr:
MIME-Version: 1.0

--_b29f_
Content-Type: multipart/alternative; differences=Content-Type;
 boundary="_a1_"

--_a1_
Content-Type: text/plain; charset="us-ascii"

Your message to anna@example.org couldn't be delivered.

--_a1_
Content-Type: text/html; charset="us-ascii"

<p>Your message to anna@example.org couldn't be delivered.</p>

--_a1_--

--_b29f_
Content-Type: message/delivery-status

Reporting-MTA: dns;HE1PR01.exchange.example
Received-From-MTA: dns;mail.acme.example
Arrival-Date: Sun, 1 Mar 2026 12:00:00 +0000

Final-Recipient: rfc822;anna@example.org
Action: failed
Status: 5.1.10
Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient
 anna@example.org not found by SMTP address lookup

--_b29f_
Content-Type: message/rfc822

From: news@acme.example
Subject: Monthly news

Good news.

--_b29f_--
""")

QMAIL = lines("""
From: MAILER-DAEMON@qmail.example
To: bounces@acme.example
Subject: failure notice

Hi. This is the qmail-send program at qmail.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<anna@example.org>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Return-Path: <bounces@acme.example>
From: news@acme.example
Subject: 5.7.1 reasons to read this

Good news.
""")

ABSENCE = lines("""
From: Anna <anna@example.org>
To: bounces@acme.example
Subject: Out of office
Auto-Submitted: auto-replied

I am back on Monday.
""")

LETTER = lines("""
From: Anna <anna@example.org>
To: abuse@bounce.acme.example
Subject: Your mails
Message-ID: <1@example.org>

How did you get my address?
""")


def arf(copy, *, kind="abuse", fields="", header=True):
    """A feedback report (RFC 5965), the addresses redacted."""
    media = "text/rfc822-headers" if header == "only" else "message/rfc822"
    return lines(f"""
From: <feedback@isp.example>
To: <fbl@bounce.acme.example>
Subject: FW: Monthly news
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
 boundary="part1_13d"

--part1_13d
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report for a message received from 192.0.2.1.

--part1_13d
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Loop/1.0
Version: 1
Original-Rcpt-To: redacted-4d5a@isp.example
Source-IP: 192.0.2.1
X-Isp-Score: {fields or "9"}

--part1_13d
Content-Type: {media}
Content-Disposition: inline

{copy}
--part1_13d--
""")


def leaving(subject, *, sender="anna@example.org", header=""):
    """What a mail client sends for a mailto: unsubscribe."""
    return lines(f"""
From: {sender}
To: leave@acme.example
Subject: {subject}
Message-ID: <leave-1@example.org>
{header}
Please.
""")
