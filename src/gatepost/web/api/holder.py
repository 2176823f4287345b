"""Who asks, and what is theirs: the key of a request, streams and senders as it may see them.

In: a request. Out: a `Holder`. What another sender owns is answered as what does not exist.

*Fails:* `Problem`: 403 without the scope, 404 for what is not theirs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import Request

from gatepost.mail.stream import Stream
from gatepost.store.api_keys import ApiKey
from gatepost.web.api import problems
from gatepost.web.api.gate import KEY
from gatepost.web.api.problems import Problem
from gatepost.web.site import Site

EVERY_SENDER = "*"


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a key, before the site as it is configured now."""

    key: ApiKey
    site: Site

    @property
    def is_restricted(self) -> bool:
        """Whether there are senders that this key does not see."""
        return bool(self.key.senders)

    @property
    def senders(self) -> tuple[str, ...] | None:
        """The senders to look for; `None` for all there ever were."""
        return self.key.senders or None

    def streams(self) -> Mapping[str, Stream]:
        """The configured streams that belong to the holder's senders."""
        known = self.site.streams()
        return {name: one for name, one in known.items() if self.key.sees(one.sender)}

    def stream(self, name: str) -> Stream:
        """One of them. Raises `Problem`."""
        stream = self.streams().get(name)
        if stream is None:
            raise Problem(404, "there is no such stream")
        return stream

    def sender(self, name: str | None) -> str:
        """A sender by name or, where none is given, the only one there is; "" for "*".

        Raises `Problem`.
        """
        if name == EVERY_SENDER and not self.is_restricted:
            return ""
        visible = [one for one in self.site.senders() if self.key.sees(one)]
        if name is None and len(visible) == 1:
            return visible[0]
        if name is None:
            raise Problem(422, "say which sender")
        if name not in visible:
            raise Problem(404, "there is no such sender")
        return name


def holder(site: Site, scope: str) -> Callable[[Request], Holder]:
    """What finds the holder of a request's key. Raises `Problem` if it lacks `scope`."""

    def find(request: Request) -> Holder:
        key: ApiKey = request.scope[KEY]
        if not key.may(scope):
            raise problems.forbidden(scope)
        return Holder(key, site)

    return find
