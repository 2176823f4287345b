"""What a page looks like: the style sheet, a sender's own colours, and its logo.

In: texts, senders and logos as they are configured. Out: for each sender a `Look`, paths
relative to the pages' root, and the file behind each path. A path holds a hash of what is behind
it, so that it may be kept for ever; after a reload the paths of the time before still work,
for pages that are open in somebody's browser.

*Fails:* never; what is configured was checked when it was read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from gatepost.mail.picture import SVG, Picture
from gatepost.mail.sender import Sender
from gatepost.web import colours
from gatepost.web.answer import CSS, Answer
from gatepost.web.site import Site

STATIC = "static/"
_FALLBACK_LANGUAGE = "en"
_VARIABLES = """\
{indent}:root {{
{indent}  --accent: {shades.fill};
{indent}  --accent-strong: {shades.strong};
{indent}  --on-accent: {shades.on_fill};
{indent}  --accent-ink: {shades.ink};
{indent}}}
"""
# A drawing that somebody opens by itself is a document: it may style itself, and no more.
_ONLY_DRAW = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; sandbox"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """Paths of the style sheets, in order, and of the logo, "" without one."""

    stylesheets: tuple[str, ...]
    logo: str = ""


class Branding:
    """The looks in force. They are made anew when what they rest on was reloaded."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._made_from: tuple[object, object] = (None, None)
        self._files: dict[str, Answer] = {}
        self._before: dict[str, Answer] = {}
        self._looks: dict[str, Look] = {}
        self._plain = Look(())

    def look(self, sender: Sender | None) -> Look:
        """How pages of `sender` look; `None` is a page of nobody's."""
        self._renew()
        return self._looks.get(sender.name, self._plain) if sender else self._plain

    def file(self, path: str) -> Answer | None:
        """What is behind a path of a look, such as `static/0a1b2c.css`."""
        self._renew()
        return self._files.get(path) or self._before.get(path)

    def _renew(self) -> None:
        senders, logos = self._site.senders(), self._site.logos()
        if self._made_from[0] is senders and self._made_from[1] is logos:
            return
        self._before, self._files = self._files, {}
        style = self._site.texts.render("pages/style.css", _FALLBACK_LANGUAGE)
        self._plain = Look((self._keep(style.encode(), "css", CSS),))
        self._looks = {name: self._look(sender, logos) for name, sender in senders.items()}
        self._made_from = senders, logos

    def _look(self, sender: Sender, logos: Mapping[str, Picture]) -> Look:
        sheets = self._plain.stylesheets
        if sender.accent:
            own = stylesheet(sender.accent).encode()
            sheets = (*sheets, self._keep(own, "css", CSS))
        logo = logos.get(sender.name)
        if logo is None:
            return Look(sheets)
        return Look(sheets, self._keep(logo.content, logo.extension, logo.media_type.encode()))

    def _keep(self, content: bytes, extension: str, media_type: bytes) -> str:
        path = f"{STATIC}{hashlib.sha256(content).hexdigest()[:16]}.{extension}"
        policy = _ONLY_DRAW if media_type == SVG.encode() else ()
        self._files[path] = Answer(200, content, media_type, policy, cached=True)
        return path


def stylesheet(accent: str) -> str:
    """The style sheet that gives pages a sender's colour, in light and in dark."""
    by_day = _VARIABLES.format(indent="", shades=colours.light(accent))
    by_night = _VARIABLES.format(indent="  ", shades=colours.dark(accent))
    return f"{by_day}\n@media (prefers-color-scheme: dark) {{\n{by_night}}}\n"
