"""Texts: every page, footer and letter that a recipient reads, in five languages.

In: the shipped `templates/` folder, optionally a folder whose files win over it. Out: filled-in
text. Templates are Jinja2; the sentences in them are translated by the Babel catalogues in
`locale/<language>.po`, read once when `Texts` is made, no compiled catalogue needed. A value
that a template asks for and nobody gives is an error, never an empty space.

The footers carry the literal markers `{{unsubscribe_url}}` and `{{preferences_url}}`, which
the composing of a copy replaces per recipient.

*Fails:* `TextsError` for a template or catalogue that is missing or broken, when `Texts` is made.
*Known limits:* an override folder may change or add sentences; one that its `locale/` does not
translate appears as written.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from babel.messages.pofile import PoFileError, read_po
from jinja2 import (
    BytecodeCache,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    pass_context,
    select_autoescape,
)
from jinja2.bccache import Bucket
from jinja2.runtime import Context

import gatepost
from gatepost.app.dates import day, moment
from gatepost.app.overrides import check_overrides
from gatepost.app.trouble import TextsError
from gatepost.mail.sender import Sender
from gatepost.mail.stream import Stream

LANGUAGES: Mapping[str, str] = MappingProxyType({
    "en": "English", "sv": "Svenska", "da": "Dansk", "de": "Deutsch", "nb": "Norsk",
})  # fmt: skip
FALLBACK = "en"
_ALSO_KNOWN_AS = {"no": "nb", "nn": "nb"}

UNSUBSCRIBE_MARKER = "{{unsubscribe_url}}"
PREFERENCES_MARKER = "{{preferences_url}}"

_TEXT_WIDTH = 72


class _Compiled(BytecodeCache):
    """What this process compiled: reading the texts again compiles only what is new in them."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Gives what is known; the bucket itself holds it against the template's text."""
        if known := self._known.get(bucket.key):
            bucket.bytecode_from_string(known)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Remembers it."""
        self._known[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


class Both(NamedTuple):
    """One piece of writing for a text part and for an HTML part."""

    text: str
    html: str


class Letter(NamedTuple):
    """A letter in both forms, and its subject on one line."""

    subject: str
    text: str
    html: str


class Texts:
    """The templates and catalogues, loaded.

    `overrides` is a folder laid out like `templates/`; what it holds is used in place of the
    shipped files. Raises `TextsError`.
    """

    def __init__(self, overrides: Path | None = None) -> None:
        self.languages = LANGUAGES
        self.load(overrides)

    def load(self, overrides: Path | None) -> None:
        """Reads everything anew; raises `TextsError`, and then nothing has changed."""
        self.use(read_texts(overrides))

    def use(self, read: "ReadTexts") -> None:
        """Renders with these from now on. Cannot fail."""
        self.folders, self._environment = read

    def render(self, name: str, language: str, /, **values: object) -> str:
        """The template `name`, such as `pages/unsubscribe.html`, in `language`."""
        template = self._environment.get_template(name)
        return template.render(values, language=self.language(language) or FALLBACK)

    def language(self, tag: str) -> str:
        """The language of ours that a tag such as `sv-FI` or `no` means, "" for none."""
        primary = tag.strip().lower().replace("_", "-").partition("-")[0]
        primary = _ALSO_KNOWN_AS.get(primary, primary)
        return primary if primary in LANGUAGES else ""

    def footer(self, stream: Stream, sender: Sender, language: str) -> Both:
        """The footer of a bulk mail, with the markers of its links in it (ME-3)."""
        language = self.language(language) or FALLBACK
        return self._both(
            "footer/footer",
            language,
            sender=sender,
            postal_address=_one_line(sender.postal_address),
            title=stream.title_in(language),
            why=_why(stream),
            unsubscribe_url=UNSUBSCRIBE_MARKER,
            preferences_url=PREFERENCES_MARKER,
        )

    def identity(self, sender: Sender, language: str) -> Both:
        """Who sends, in one line: what `{{sender_identity}}` in a body becomes (WP-9, WP-10)."""
        return self._both(
            "footer/identity", language, sender=sender,
            postal_address=_one_line(sender.postal_address),
        )  # fmt: skip

    def confirmation(self, title: str, sender: Sender, language: str) -> tuple[str, str]:
        """Subject and text of the answer to an unsubscribe mail."""
        subject = self.render("mail/unsubscribed-subject.txt", language, title=title)
        text = self.render(
            "mail/unsubscribed.txt", language, title=title, sender=sender,
            postal_address=_one_line(sender.postal_address),
        )  # fmt: skip
        return subject, text

    def letter(self, template: str, sender: Sender, language: str, /, **values: object) -> Letter:
        """A letter on the sender's behalf, by `mail/<template>-subject.txt`, `.txt`, `.html`."""
        given = {
            "sender": sender,
            "name": sender.legal_name or sender.name,
            "postal_address": _one_line(sender.postal_address),
            **values,
        }
        subject = self.render(f"mail/{template}-subject.txt", language, **given)
        both = self._both(f"mail/{template}", language, **given)
        return Letter(" ".join(subject.split()), both.text.strip("\n"), both.html)

    def _both(self, name: str, language: str, /, **values: object) -> Both:
        text = self.render(f"{name}.txt", language, **values)
        return Both(text, self.render(f"{name}.html", language, **values))


class ReadTexts(NamedTuple):
    """Templates and catalogues that were read and found good, but are not yet in use."""

    folders: Sequence[Path]
    environment: Environment


def read_texts(overrides: Path | None) -> ReadTexts:
    """Reads everything; raises `TextsError`."""
    folders = [folder for folder in (overrides, templates_folder()) if folder is not None]
    catalogues = {language: _catalogue(folders, language) for language in LANGUAGES}
    environment = _environment(folders, catalogues)
    for name in environment.list_templates(extensions=("html", "txt", "css")):
        try:
            environment.get_template(name)
        except (TemplateError, UnicodeError) as error:
            raise TextsError(f"template {name}: {error}") from error
    if overrides is not None:
        check_overrides(overrides, templates_folder(), environment)
    return ReadTexts(tuple(folders), environment)


def _environment(
    folders: Sequence[Path], catalogues: Mapping[str, Mapping[str, str]]
) -> Environment:
    environment = Environment(
        bytecode_cache=_COMPILED,
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
        extensions=["jinja2.ext.i18n"],
    )

    @pass_context
    def translate(context: Context, message: str) -> str:
        return catalogues[context["language"]].get(message) or message

    @pass_context
    def translate_plural(context: Context, one: str, many: str, count: int) -> str:
        return translate(context, one if count == 1 else many)

    # The extension's methods are added to the environment when it is loaded.
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        translate, translate_plural, newstyle=True
    )
    environment.filters.update({"wrap": _wrap, "day": day, "moment": moment})
    environment.globals["languages"] = LANGUAGES
    return environment


def templates_folder() -> Path:
    """Where the shipped templates are: inside the installed package, else in the checkout."""
    package = Path(gatepost.__file__).parent
    for folder in (package / "templates", package.parent.parent / "templates"):
        if (folder / "locale").is_dir():
            return folder
    raise TextsError(f"no templates beside {package}: the installation is incomplete")


def _catalogue(folders: Sequence[Path], language: str) -> dict[str, str]:
    """The sentences of one language; those of the first folder win."""
    sentences: dict[str, str] = {}
    for folder in reversed(folders):
        path = folder / "locale" / f"{language}.po"
        if not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                catalogue = read_po(file, locale=language, abort_invalid=True)
        except (PoFileError, UnicodeError, ValueError) as error:
            raise TextsError(f"catalogue {path}: {error}") from error
        for message in catalogue:
            if isinstance(message.id, str) and isinstance(message.string, str) and message.id:
                sentences[message.id] = message.string
    if not sentences:
        raise TextsError(f"no catalogue locale/{language}.po")
    return sentences


def _why(stream: Stream) -> str:
    """Which reason for being mailed the footer gives, by what the stream's policy demands.

    The footer is one for all recipients, so it must be true for each of them.
    """
    if stream.observe:
        return "listed"
    if not stream.requires_explicit:
        return "relation"
    return "customer" if stream.soft_opt_in else "subscribed"


def _one_line(text: str) -> str:
    lines = (" ".join(line.split()).rstrip(",") for line in text.splitlines())
    return ", ".join(line for line in lines if line)


def _wrap(text: str) -> str:
    """`text` in lines of a mail's usual width; a link or a long word is never cut."""
    return textwrap.fill(
        " ".join(str(text).split()),
        width=_TEXT_WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
    )
