"""The repository's documents, read: fenced blocks, tables, links."""

import re
from pathlib import Path

TOP = Path(__file__).parents[2]
DOCUMENTS = sorted([TOP / "README.md", TOP / "CHANGELOG.md", *(TOP / "docs").rglob("*.md")])

_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


def name_of(document):
    return str(document.relative_to(TOP))


def blocks(document, language):
    """The fenced blocks of one language, in order; `toml title` counts as `toml`."""
    text = document.read_text("utf-8")
    return [body for _, info, body in _FENCE.findall(text) if info.split()[:1] == [language]]


def prose(document):
    """The text without its fenced blocks."""
    return _FENCE.sub("", document.read_text("utf-8"))


def links(document):
    """Where links and pictures lead to, without what is behind a #."""
    return [(plain or picture) for plain, picture in _LINK.findall(prose(document))]


def code_words(document):
    """What stands between single backticks in the prose."""
    return _CODE.findall(prose(document))


def tables(document):
    """Every table as (heading of its section, names of columns, rows of cells)."""
    heading, found, rows = "", [], []
    for line in [*prose(document).splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]])
            continue
        if rows:
            found.append((heading, rows[0], rows[2:]))
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("# ")
    return found


def in_section(document, heading, language):
    """The fenced blocks of one language below a heading, up to the next heading."""
    text = document.read_text("utf-8")
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"{name_of(document)} has no section {heading}"
    section = rest.partition("\n## ")[0]
    return [body for _, info, body in _FENCE.findall(section) if info.split()[:1] == [language]]
