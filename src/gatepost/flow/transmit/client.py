"""Opens a connection to upstream: aiosmtplib connects, does TLS and EHLO, and logs in.

In: a `Route`. Out: a connected `aiosmtplib.SMTP` and what it offers; `Session` then takes the
transport over.

Opportunistic TLS that cannot be made falls back to a plain connection. A password goes out
in clear text only where the route says `tls = "none"`.

*Fails:* `NoConnectionError`, with a reply in upstream's form.
"""

import ssl

import aiosmtplib

from gatepost.flow.transmit import trouble
from gatepost.flow.transmit.commands import Offer
from gatepost.flow.transmit.route import Route, Tls
from gatepost.flow.transmit.trouble import Stage
from gatepost.mail.reply import Reply


class NoConnectionError(Exception):
    """Upstream cannot be used now; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


async def connect(route: Route, context: ssl.SSLContext | None) -> tuple[aiosmtplib.SMTP, Offer]:
    """A connection that is ready for MAIL. Raises `NoConnectionError`.

    `context` is the route's `tls_context`.
    """
    try:
        return await _Opening(route, context).run()
    except _TlsFailedError as failure:
        if route.tls is not Tls.OPPORTUNISTIC:
            raise NoConnectionError(failure.reply) from failure
    return await _Opening(route, None).run()


class _TlsFailedError(NoConnectionError):
    pass


class _Opening:
    """One try to open a connection; remembers the stage for whoever explains its failure."""

    def __init__(self, route: Route, context: ssl.SSLContext | None) -> None:
        self.route = route
        self.context = context
        self.stage = Stage.CONNECT
        self.client = aiosmtplib.SMTP(
            hostname=route.host,
            port=route.port,
            local_hostname=route.ehlo,
            timeout=route.timeouts.connect,
            use_tls=route.tls is Tls.IMPLICIT,
            start_tls=False,
            tls_context=context,
        )

    async def run(self) -> tuple[aiosmtplib.SMTP, Offer]:
        try:
            await self._steps()
        except Exception as error:
            self.client.close()
            if isinstance(error, NoConnectionError):
                raise
            kind = _TlsFailedError if self.stage is Stage.TLS else NoConnectionError
            raise kind(trouble.reply_for(self.stage, error)) from error
        except BaseException:
            self.client.close()
            raise
        return self.client, Offer.read(self.client.esmtp_extensions)

    async def _steps(self) -> None:
        route, client = self.route, self.client
        await client.connect()
        await self._greet()
        secure = route.tls is Tls.IMPLICIT
        if self.context and (
            route.tls is Tls.STARTTLS
            or (route.tls is Tls.OPPORTUNISTIC and client.supports_extension("starttls"))
        ):
            self.stage = Stage.TLS
            await client.starttls()
            secure = True
            await self._greet()
        if route.username:
            self.stage = Stage.AUTH
            if not secure and route.tls is not Tls.NONE:
                raise NoConnectionError(trouble.NO_TLS_FOR_PASSWORD)
            await client.login(route.username, route.password)
        if not client.is_connected:  # it closed while its last reply was read
            raise NoConnectionError(trouble.LOST)

    async def _greet(self) -> None:
        self.stage = Stage.EHLO
        try:
            await self.client.ehlo()
        except aiosmtplib.SMTPHeloError as error:
            if not 500 <= error.code < 600 or not self.client.is_connected:
                raise
            await self.client.helo()
