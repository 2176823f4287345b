"""A sender's own words on our pages: titles and descriptions, marked with their language.

In: a stream and the language of the page. Out: text that HTML templates put into an element
with `lang` where it is in another language than the page around it, so that a screen reader
pronounces it right (WCAG 2.2 §3.1.2). Everywhere else it is plain text.
"""

from html import escape
from typing import Self

from gatepost.mail.stream import Stream


class Words(str):
    """Text that knows its language; "" is that of the page."""

    __slots__ = ("language",)
    language: str

    def __new__(cls, text: str, language: str = "") -> Self:
        """`text`, said in `language`."""
        words = super().__new__(cls, text)
        words.language = language
        return words

    def __html__(self) -> str:
        """What a template with autoescape writes."""
        if not self.language:
            return escape(self)
        return f'<span lang="{escape(self.language)}">{escape(self)}</span>'


def title(stream: Stream, page: str) -> Words:
    """What recipients know the stream as, on a page in the language `page`."""
    return Words(stream.title_in(page), _elsewhere(stream.title_language(page), page))


def description(stream: Stream, page: str) -> Words:
    """The stream's description, "" for none."""
    return Words(stream.description_in(page), _elsewhere(stream.description_language(page), page))


def _elsewhere(language: str, page: str) -> str:
    """`language`, if it is another one than that of the page."""
    return "" if language.partition("-")[0].lower() == page.partition("-")[0].lower() else language
