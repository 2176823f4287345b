"""The values of config.toml: one annotated type per kind of value, with its reader.

Each type carries a reader (text or table in, value out) and a `Form`, the words by which
the reference says how the value is written. A reader that needs the world outside (a
variable, a file beside config.toml) finds it in the `Surroundings` of the load.

*Fails:* readers raise `errors.wrong(what, cure)`, never anything else.
"""

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import PlainValidator, SecretStr, Strict, ValidationInfo

from gatepost.config import units
from gatepost.config.errors import wrong
from gatepost.mail import address, duration
from gatepost.mail.duration import Duration
from gatepost.mail.placeholder import is_spelling
from gatepost.store.address import parameters
from gatepost.store.private import cure, why_open

T = TypeVar("T")
MAX_URL = 200  # a link and its token must fit on one header line of 998 octets (R5322-1)
ABSENT_WORDS = ("never", "unlimited")

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\.?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_HEADER_NAME = re.compile(r"[!-9;-~]+")


@dataclass(frozen=True, slots=True)
class Form:
    """How a value is written, for the reference."""

    text: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What readers may look at: the folder that relative paths start from, the variables."""

    folder: Path
    environ: Mapping[str, str]


def surroundings_of(info: ValidationInfo) -> Surroundings:
    """The surroundings of this load; without any: the working folder and no variables."""
    context = info.context
    return context if isinstance(context, Surroundings) else Surroundings(Path(), {})


def text_of(value: object, like: str) -> str:
    """`value`, if it is a string; else what to write is `like`."""
    if isinstance(value, str):
        return value
    raise wrong("is not a string", f"write {like}")


def _line(value: object) -> str:
    text = text_of(value, 'a text in quotes, such as "Acme AB"')
    # A line break in a name or title would end up in a header field (R5322-6).
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in text):
        raise wrong("has a line break or control character", "write it on one line")
    return text.strip()


def _texts(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        line = _line(value)
        return MappingProxyType({"": line} if line else {})
    for language in value:
        _language(language)
    return MappingProxyType({language: _line(text) for language, text in value.items()})


def _language(value: object) -> str:
    text = text_of(value, 'a language such as "sv"')
    if not _LANGUAGE.fullmatch(text):
        raise wrong(f'"{text}" is no language tag', 'write one such as "sv", "en" or "pt-BR"')
    return text


def _duration(value: object) -> Duration:
    text = text_of(value, 'a duration in quotes, such as "24 h"')
    try:
        read = duration.parse(text)
    except duration.DurationError as error:
        raise wrong("is no duration", str(error)) from None
    if not read.approximate_seconds:
        raise wrong("is no time at all", 'write a longer duration, such as "24 h"')
    return read


def _duration_or_never(value: object) -> Duration | None:
    if isinstance(value, str) and value.strip().lower() in ABSENT_WORDS:
        return None
    return _duration(value)


def _size(value: object) -> int:
    text = text_of(value, units.HOW_TO_WRITE_A_SIZE)
    try:
        return units.parse_size(text)
    except ValueError as error:
        raise wrong("is no size", f"write {error}") from None


def _rate(value: object) -> tuple[int, float] | None:
    text = text_of(value, units.HOW_TO_WRITE_A_RATE)
    if not text:
        return None
    try:
        return units.parse_rate(text)
    except ValueError as error:
        raise wrong("is no rate", f'write {error}, or "" for no limit') from None


def _network(value: object) -> IPv4Network | IPv6Network:
    text = text_of(value, 'a network in quotes, such as "192.0.2.0/24"')
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        wider = ip_network(text, strict=False)
    except ValueError:
        raise wrong(
            "is no network", 'write one such as "192.0.2.0/24", "192.0.2.7" or "2001:db8::/32"'
        ) from None
    raise wrong("is an address inside a network", f'write "{wider}" or only the address')


def _listen_address(value: object) -> str:
    text = text_of(value, 'an address in quotes, such as "127.0.0.1"')
    if text == "localhost":
        return text
    try:
        return str(ip_address(text))
    except ValueError:
        raise wrong(
            "is no address of this machine",
            'write an IP address such as "127.0.0.1", "0.0.0.0" or "::", or "localhost"',
        ) from None


def _host(value: object) -> str:
    text = text_of(value, 'a host name in quotes, such as "mail.example.org"')
    if _is_host(text):
        return text.lower()
    raise wrong("is no host name", 'write one such as "mail.example.org", or an IP address')


def _own_name(value: object) -> str:
    if value != "":
        return _host(value)
    name = socket.gethostname()
    return name.lower() if _is_host(name) else "localhost"


def _is_host(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return len(text) <= address.MAX_DOMAIN_OCTETS and bool(_HOST.fullmatch(text))
    return True


def _address(value: object) -> str:
    text = text_of(value, 'an address in quotes, such as "kontakt@acme.example"')
    try:
        return address.parse(text).given if text else ""
    except address.AddressError as error:
        raise wrong(str(error), 'write an address such as "kontakt@acme.example"') from None


def _domain(value: object) -> str:
    text = text_of(value, 'a domain in quotes, such as "acme.example"')
    return _a_label(text) if text else ""


def _a_label(text: str, cure: str = 'write a domain such as "acme.example"') -> str:
    try:
        domain = address.parse(f"x@{text}").domain
    except address.AddressError as error:
        raise wrong(str(error), cure) from None
    if "@" in text or domain.startswith("["):
        raise wrong("is no domain", cure)
    return domain


def _from_pattern(value: object) -> str:
    cure = 'write "name@acme.example", "@acme.example" or "@*.acme.example"'
    text = text_of(value, cure.removeprefix("write "))
    if text.startswith("@*."):
        return f"@*.{_a_label(text[3:], cure)}"
    if text.startswith("@"):
        return f"@{_a_label(text[1:], cure)}"
    try:
        return address.parse(text).key
    except address.AddressError as error:
        raise wrong(str(error), cure) from None


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _split(text: str, cure: str) -> tuple[SplitResult, str]:
    """A web address in its parts, and its host, "" where it has none."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise wrong("is no web address", cure) from None
    return parts, host


def _url(value: object) -> str:
    text = text_of(value, 'an address in quotes, such as "https://mail.example.org"')
    if not text:
        return ""
    cure = 'write one such as "https://mail.example.org"'
    parts, host = _split(text, cure)
    if parts.scheme not in {"http", "https"} or not host:
        raise wrong("is no web address", cure)
    if not text.isascii() or not text.isprintable() or " " in text or not _is_host(host):
        raise wrong(
            "has a character that a web address cannot have",
            'write an international name in its ASCII form, such as "https://xn--..."',
        )
    if "@" in parts.netloc or parts.query or parts.fragment or text.endswith(("?", "#")):
        raise wrong("has more than host, port and path", cure)
    if parts.scheme == "http" and not is_loopback(host):
        raise wrong(
            "is not protected: http is taken for loopback hosts only",
            f'write "{text.replace("http:", "https:", 1)}"',
        )
    if len(text) > MAX_URL:
        raise wrong(f"is longer than {MAX_URL} characters", "write a shorter one")
    return text.rstrip("/")


def _colour(value: object) -> str:
    text = text_of(value, 'a colour in quotes, such as "#1c4f8c"')
    if text and not _COLOUR.fullmatch(text):
        raise wrong("is no colour", 'write its red, green and blue, such as "#1c4f8c"')
    return text.lower()


def _hook_url(value: object) -> str:
    cure = 'write one such as "https://crm.acme.example/hooks/gatepost"'
    text = text_of(value, "an https address in quotes")
    parts, host = _split(text, cure)
    if parts.scheme != "https" or not host:
        raise wrong("is no https address", cure)
    good = text.isascii() and text.isprintable() and " " not in text and _is_host(host)
    if not good or "@" in parts.netloc or parts.fragment:
        raise wrong("has what such an address cannot have", cure)
    return text


def _host_glob(value: object) -> str:
    cure = 'write a host name such as "lists.acme.example", or "*.acme.example"'
    text = text_of(value, cure.removeprefix("write "))
    name = text.removeprefix("*.")
    if not _is_host(name) or ("." not in name and name != "localhost"):
        raise wrong("is no host name", cure)
    return text.lower().rstrip(".")


def _path(value: object, info: ValidationInfo) -> Path | None:
    text = text_of(value, 'a path in quotes, such as "tls/cert.pem"')
    if "\0" in text:
        raise wrong("has a NUL character", "write a path")
    return surroundings_of(info).folder / text if text else None


def _some_path(value: object, info: ValidationInfo) -> Path:
    path = _path(value, info)
    if path is None:
        raise wrong("is empty", 'write a path, such as "./data"')
    return path


def _header_globs(value: object) -> Mapping[str, str]:
    cure = 'write a table of header fields and globs, such as { Precedence = "bulk" }'
    if not isinstance(value, dict):
        raise wrong("is not a table", cure)
    for name, glob in value.items():
        if not _HEADER_NAME.fullmatch(name):
            raise wrong(f'"{name}" is no name of a header field', cure)
        if not isinstance(glob, str):
            raise wrong(f"the condition on {name} is not a string", cure)
    return MappingProxyType(dict(value))


def _spelling(value: object) -> str:
    cure = 'write it as it stands in the mail, such as "*|UNSUB|*" or "%%leave%%"'
    text = text_of(value, "a placeholder in quotes")
    if not is_spelling(text):
        raise wrong("is no word between signs, so it might be met in a sentence", cure)
    return text


def _secret(value: object, info: ValidationInfo) -> SecretStr:
    surroundings = surroundings_of(info)
    if isinstance(value, str):
        return SecretStr(value)
    reference = reference_of(value)
    if reference is None:
        raise wrong(
            "is neither a string nor a reference to one",
            'write a string, { env = "NAME" } or { file = "PATH" }',
        )
    where, name = reference
    if where == "env":
        return _secret_in_variable(name, surroundings.environ)
    return _secret_in_file(name, surroundings.folder)


def reference_of(value: object) -> tuple[str, str] | None:
    """("env" or "file", name) if `value` refers to a secret in that form, else `None`."""
    if isinstance(value, dict) and len(value) == 1:
        where, name = next(iter(value.items()))
        if where in {"env", "file"} and isinstance(name, str) and name and "\0" not in name:
            return where, name
    return None


def is_there(reference: tuple[str, str], surroundings: Surroundings) -> bool:
    """Whether the variable or file that `reference` names exists."""
    where, name = reference
    if where == "env":
        return name in surroundings.environ
    try:
        return (surroundings.folder / name).is_file()
    except OSError:  # no name that a file could have
        return False


def _secret_in_variable(name: str, environ: Mapping[str, str]) -> SecretStr:
    if name not in environ:
        # A secret that stands where its variable's name belongs is not repeated.
        shown = name if _VARIABLE.fullmatch(name) else "that it names"
        raise wrong(
            f"the environment variable {shown} is not set",
            f'set {shown} before the start, or write {{ file = "PATH" }} or the secret itself'
            if shown == name
            else 'write the name of a variable, { file = "PATH" } or the secret itself',
        )
    return SecretStr(environ[name])


def _secret_in_file(name: str, folder: Path) -> SecretStr:
    path = folder / name
    try:
        openness = why_open(path)
        text = path.read_text("utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise wrong(
            f'the secret file "{name}" cannot be read: {reason}',
            "write the secret into that file, readable by the user that runs Gatepost",
        ) from None
    if not text:
        raise wrong(f'the secret file "{name}" is empty', "write the secret into that file")
    if openness:
        raise wrong(f'the secret file "{name}" is not safe: {openness}', cure(path))
    return SecretStr(text)


def _store_url(value: object, info: ValidationInfo) -> SecretStr:
    url = _secret(value, info)
    if url.get_secret_value():
        try:
            parameters(url.get_secret_value())
        except ValueError as error:
            raise wrong(
                str(error), 'write "postgresql://user@host/database", or "" for the embedded store'
            ) from None
    return url


def _password_hash(value: object, info: ValidationInfo) -> SecretStr:
    stored = _secret(value, info)
    text = stored.get_secret_value()
    if text and not (text.startswith("$scrypt$") and text.count("$") == 4):
        raise wrong("is no password hash", "write what `gatepost hash-password` prints")
    return stored


def _reads(reader: Callable[..., Any]) -> PlainValidator:
    return PlainValidator(reader)


Line = Annotated[str, _reads(_line), Form("text on one line")]
Texts = Annotated[Mapping[str, str], _reads(_texts), Form('text, or `{ sv = "...", en = "..." }`')]
Language = Annotated[str, _reads(_language), Form('language tag such as `"sv"`')]
Length = Annotated[Duration, _reads(_duration), Form('duration such as `"24 h"`')]
LengthOrNever = Annotated[
    Duration | None,
    _reads(_duration_or_never),
    Form('duration such as `"18 months"`, or `"never"` or `"unlimited"`'),
]
Size = Annotated[int, _reads(_size), Form('size such as `"50 MB"`')]
Rate = Annotated[
    tuple[int, float] | None, _reads(_rate), Form('rate such as `"5000/h"`, `""` for no limit')
]
Network = Annotated[
    IPv4Network | IPv6Network, _reads(_network), Form('network such as `"192.0.2.0/24"`')
]
ListenAddress = Annotated[str, _reads(_listen_address), Form('IP address, or `"localhost"`')]
Host = Annotated[str, _reads(_host), Form("host name or IP address")]
OwnName = Annotated[str, _reads(_own_name), Form("host name or IP address")]
AddressText = Annotated[str, _reads(_address), Form("e-mail address")]
Domain = Annotated[str, _reads(_domain), Form("domain")]
FromPattern = Annotated[str, _reads(_from_pattern), Form("address, `@domain` or `@*.domain`")]
Url = Annotated[str, _reads(_url), Form("https address; http for a loopback host only")]
Colour = Annotated[str, _reads(_colour), Form("colour, `#rrggbb`")]
HookUrl = Annotated[str, _reads(_hook_url), Form("https address")]
HostGlob = Annotated[str, _reads(_host_glob), Form("host name, or `*.domain`")]
PathText = Annotated[Path | None, _reads(_path), Form("path")]
SomePath = Annotated[Path, _reads(_some_path), Form("path")]
HeaderGlobs = Annotated[
    Mapping[str, str], _reads(_header_globs), Form("table of header field and glob")
]
Spelling = Annotated[str, _reads(_spelling), Form('placeholder such as `"%%leave%%"`')]
Secret = Annotated[
    SecretStr, _reads(_secret), Form('string, `{ env = "NAME" }` or `{ file = "PATH" }`')
]
PasswordHash = Annotated[
    SecretStr, _reads(_password_hash), Form("what `gatepost hash-password` prints")
]
StoreUrl = Annotated[SecretStr, _reads(_store_url), Form('`"postgresql://..."`, or `""`')]
# TOML has lists only; what is frozen holds tuples.
Several = Annotated[tuple[T, ...], Strict(strict=False)]
