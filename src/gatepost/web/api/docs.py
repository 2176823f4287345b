"""`/api/docs`: the OpenAPI document as one quiet page, without scripts and from nobody else.

In: the document. Out: HTML: per operation what it does, what it takes, what it answers.
"""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: .2rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid; padding-bottom: .2rem; }
h3 { font-family: ui-monospace, monospace; font-size: 1rem; margin-top: 2rem; }
code { font-family: ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; }
tbody tr { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
"""


def page(document: Mapping[str, Any]) -> str:
    """The page for an OpenAPI document."""
    info = document["info"]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(info['title'])} API</title>\n"
        '<link rel="stylesheet" href="docs.css">\n</head>\n<body>\n<main>\n'
        f"<h1>{escape(info['title'])} API</h1>\n<p>Version {escape(info['version'])} · "
        '<a href="openapi.json">OpenAPI document</a></p>\n'
        f"{_words(info['description'])}\n"
        + "".join(_operations(document))
        + "<h2>Shapes</h2>\n"
        + "".join(_shapes(document))
        + "</main>\n</body>\n</html>\n"
    )


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    group = ""
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            tag = one["tags"][0]
            if tag != group:
                group = tag
                yield f"<h2>{escape(tag.capitalize())}</h2>\n"
            yield f"<h3>{method.upper()} /api{escape(path)}</h3>\n"
            yield _words(one.get("description", "")) + "\n"
            yield _parameters(one.get("parameters", ()))
            body = one.get("requestBody", {}).get("content", {}).get("application/json")
            if body:
                yield f"<p>Takes {_type(body['schema'])}.</p>\n"
            for status, answer in one["responses"].items():
                schema = answer.get("content", {}).get("application/json", {}).get("schema")
                if schema and status.startswith("2"):
                    yield f"<p>Answers {escape(status)}: {_type(schema)}.</p>\n"


def _parameters(given: Any) -> str:
    if not given:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}</td>"
        f"<td>{_type(one['schema'])}</td><td>{escape(one.get('description', ''))}</td></tr>\n"
        for one in given
    )
    return _table("Parameters", ("name", "in", "type", "meaning"), rows)


def _shapes(document: Mapping[str, Any]) -> Iterator[str]:
    for name, shape in document["components"]["schemas"].items():
        if "properties" not in shape or name in {"HTTPValidationError", "ValidationError"}:
            continue
        needed = shape.get("required", ())
        rows = "".join(
            f"<tr><td><code>{escape(member)}</code></td><td>{_type(kind)}</td>"
            f"<td>{'required' if member in needed else ''}</td>"
            f"<td>{escape(kind.get('description', ''))}</td></tr>\n"
            for member, kind in shape["properties"].items()
        )
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3>\n'
        yield _words(shape.get("description", "")) + "\n"
        yield _table("Members", ("name", "type", "", "meaning"), rows)


def _table(caption: str, columns: tuple[str, ...], rows: str) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    return (
        f"<table>\n<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{rows}</tbody>\n</table>\n"
    )


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, with links to the shapes it names."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"an array of {_type(schema['items'])}"
    return escape(str(schema.get("type", "anything")))


def _words(text: str) -> str:
    """Paragraphs, with what stands in backquotes as code."""
    paragraphs = (part.strip() for part in text.split("\n\n"))
    return "\n".join(f"<p>{_code(part)}</p>" for part in paragraphs if part)


def _code(text: str) -> str:
    pieces = escape(text).split("`")
    return "".join(
        f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces)
    )
