"""What a consent text says, read as its critic would: the lint of consent texts.

In: the text, its language, the sender's legal name. Out: a `Report` of findings, each with a
code, the words found, and the cure. An error keeps a version from being put to use; a warning
is for whoever wrote the text to think about.

Looked for: the sender's name (JU-12, an error where it is missing), words of withdrawal (JU-4),
gifts that are called free though they are paid for with a consent (JU-6), third parties without
a name (WP-4), other companies (JU-16).

Words are found in all five languages, whatever language the text is said to be in, because texts
mix them; only words of withdrawal are expected in the text's own. A sentence that denies
("we never pass it on to partners") promises no harm, and leaving may be free (JU-3).

*Fails:* never.
*Known limits:* it reads words, not meaning. What it misses is still for the attestations; what
it finds wrongly can be accepted with a reason, which is kept.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

NAMES_SENDER = "names-sender"
SHORT_NAME = "short-name"
NO_WITHDRAWAL = "no-withdrawal"
UNKNOWN_LANGUAGE = "unknown-language"
PROMISES_FREE = "promises-free"
VAGUE_THIRD_PARTIES = "vague-third-parties"
OTHER_COMPANIES = "other-companies"

_CURES = {
    SHORT_NAME: "give the legal name in full, with its legal form",
    NO_WITHDRAWAL: "say in the text itself how to withdraw, or check the language code",
    UNKNOWN_LANGUAGE: "read yourself whether the text says how to withdraw",
    PROMISES_FREE: "what is paid for with a consent is not free: leave the word out",
    VAGUE_THIRD_PARTIES: "name each company that will write, or leave them out",
    OTHER_COMPANIES: "a consent is for the company it names: let each one collect its own",
}
_WARNINGS = frozenset({SHORT_NAME, NO_WITHDRAWAL, UNKNOWN_LANGUAGE})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the text, or missing from it. `words` are as they stand there."""

    code: str
    words: tuple[str, ...]
    cure: str

    @property
    def is_error(self) -> bool:
        """Whether it keeps the text from being put to use."""
        return self.code not in _WARNINGS


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one text."""

    findings: tuple[Finding, ...] = ()

    @property
    def names_sender(self) -> bool:
        """Whether the text names the sender, in full or without its legal form."""
        return all(finding.code != NAMES_SENDER for finding in self.findings)

    @property
    def lint(self) -> tuple[str, ...]:
        """The codes of errors that can be accepted with a reason."""
        return tuple(
            finding.code
            for finding in self.findings
            if finding.is_error and finding.code != NAMES_SENDER
        )


def check(body: str, language: str, legal_name: str) -> Report:
    """Reads a consent text for what it should say and what it must not."""
    text = _plain(body)
    rest, findings = _without_name(text, _plain(legal_name), legal_name)
    return Report((
        *findings,
        *_of_withdrawal(text, language),
        *_found(PROMISES_FREE, _promises(rest)),
        *_found(VAGUE_THIRD_PARTIES, _affirmed(_VAGUE, rest)),
        *_found(OTHER_COMPANIES, _affirmed(_OTHERS, rest)),
    ))  # fmt: skip


# --- who writes ------------------------------------------------------------------------

# Legal forms as they stand behind a name, or before it; dots and blanks do not count.
_FORMS = frozenset({
    "ab", "abp", "(publ)", "publ", "hb", "kb", "ekonomiskförening", "ekför", "a/s", "as", "asa",
    "aps", "ivs", "p/s", "k/s", "i/s", "amba", "fmba", "ans", "da", "sa", "ks", "gmbh", "ggmbh",
    "mbh", "ag", "kg", "ohg", "ug", "se", "ev", "eg", "gbr", "kgaa", "(haftungsbeschränkt)",
    "co", "&", "ltd", "limited", "plc", "llp", "llc", "lp", "inc", "incorporated", "corp",
    "corporation", "company", "bv", "nv", "oy", "oyj", "sarl", "sas", "srl", "spa",
})  # fmt: skip


def _without_name(text: str, name: str, shown: str) -> tuple[str, list[Finding]]:
    """The text with the sender's name taken out, and what is to be said about the name."""
    for wanted in dict.fromkeys((name, _without_form(name))):
        if not wanted:
            continue
        pattern = re.compile(rf"(?<!\w){re.escape(wanted)}(?:'?s)?(?!\w)")
        if found := pattern.search(text):
            rest = pattern.sub("…", text)
            if wanted == name:
                return rest, []
            return rest, [Finding(SHORT_NAME, (found.group(),), _CURES[SHORT_NAME])]
    cure = f"name the sender as {shown}, or attest names-company where a picture shows the name"
    return text, [Finding(NAMES_SENDER, (), cure)]


def _without_form(name: str) -> str:
    words = name.replace(",", " ").split()
    while len(words) > 1 and _is_form(words[-1]):
        words.pop()
    while len(words) > 1 and _is_form(words[0]):
        words.pop(0)
    return " ".join(words)


def _is_form(word: str) -> bool:
    return word.replace(".", "") in _FORMS


# --- how to leave ----------------------------------------------------------------------

_LEAVING = {
    "en": r"withdr[ae]w|unsubscri|opt(?:ing)?[ -]?out|revok|object to|say no\b|stop |cancel"
    r"|leave\b",
    "sv": r"återkall|avregistrer|avsluta|avprenumer|avbeställ|avanmäl|säg[ae]? (?:nej|upp)"
    r"|tacka nej|ta[rs]? tillbaka",
    "da": r"tilbage(?:kald|træk)|(?:træk\w*|kald\w*) [^.]*tilbage|afmeld|frameld|sig\w* (?:nej|fra)"
    r"|opsig",
    "nb": r"(?:trekk\w*|kall\w*) [^.]*tilbake|tilbake(?:kall|trekk)|avmeld"
    r"|meld\w* (?:deg|meg|seg) av|si (?:nei|opp)",
    "de": r"widerr[uei]f|widerspr[ueai]ch|abmeld|melde\w* [^.]*\bab\b|abbestell|austrag",
}
_SAME = {"no": "nb", "nn": "nb"}
_ANY_LEAVING = re.compile("|".join(_LEAVING.values()))
_LEAVING_IN = {code: re.compile(words) for code, words in _LEAVING.items()}


def _of_withdrawal(text: str, language: str) -> list[Finding]:
    base = re.split(r"[-_]", language.casefold())[0]
    words = _LEAVING_IN.get(_SAME.get(base, base))
    if words is None:
        return [Finding(UNKNOWN_LANGUAGE, (language,), _CURES[UNKNOWN_LANGUAGE])]
    if words.search(text):
        return []
    return [Finding(NO_WITHDRAWAL, (), _CURES[NO_WITHDRAWAL])]


# --- what it promises ------------------------------------------------------------------

_FREE = re.compile(
    r"(?<!\w)(?:(?:completely |totally )?(?<!feel )(?<!-)\bfree of charge|for free"
    r"|(?<!feel )(?<!-)free(?! (?:to|from|of|will|choice|decision|consent)\b)(?!-will)"
    r"|at no (?:cost|charge|extra cost)|gratis\w*|kostnadsfri\w*|avgiftsfri\w*|kostenlos\w*"
    r"|kostenfrei\w*|gebührenfrei\w*|unentgeltlich\w*|umsonst|vederlagsfri\w*"
    r"|omkostningsfri\w*|(?:utan|uden|uten|ohne) (?:kostnad\w*|omkostning\w*|beregning|kosten))"
    r"(?!\w)"
)
# What may follow where the word is said of an act ("unsubscribe free of charge and …"), not of
# a thing ("a free book").
_AFTER_ACT = re.compile(
    r"\s*(?:$|and\b|or\b|at\b|by\b|via\b|with\b|och\b|eller\b|med\b|genom\b|når\b|när\b|og\b|ved\b"
    r"|und\b|oder\b|mit\b|per\b|durch\b|jederzeit\b|widerr|abmeld|abbestell)"
)


def _promises(text: str) -> Iterator[str]:
    """Where something is called free that is not the leaving itself (JU-3, JU-6)."""
    for sentence in _sentences(text):
        leaving = bool(_ANY_LEAVING.search(sentence))
        for clause in sentence.split(","):
            for found in _FREE.finditer(clause):
                of_leaving = bool(_ANY_LEAVING.search(clause)) or (
                    leaving and bool(_AFTER_ACT.match(clause[found.end() :]))
                )
                if not of_leaving:
                    yield found.group()


# --- who else --------------------------------------------------------------------------

_VAGUE = re.compile(
    r"(?<!\w)(?:(?:business |samarbets|affärs|samarbejds|forretnings|samarbeids)?"
    r"partner(?:s|na|ne|e|firma\w*|företag\w*|unternehmen|firmen)"
    r"|(?:våra|utvalda|valda|andra|unsere[nr]?|ausgewählte[nr]?|weitere[nr]?|deren)"
    r" (?:samarbets|affärs|kooperations|geschäfts|werbe)?partnern?"
    r"|sub-?contractors?|underleverantör\w*|underleverandør\w*|subunternehme\w*"
    r"|third[ -]part(?:y|ies)|tredje ?part(?:er\w*)?|tredjemand|tredjeparter\w*"
    r"|(?:an|durch|von|mit) dritte[nr]?|affiliates|(?:carefully )?selected companies"
    r"|utvalda företag|udvalgte virksomheder|utvalgte selskaper|ausgewählte[nr]? unternehmen)(?!\w)"
)
_OTHERS = re.compile(
    r"(?<!\w)(?:(?:other|group|sister) companies|subsidiaries"
    r"|companies (?:with)?in (?:the|our) group"
    r"|andra (?:företag|bolag)|(?:koncern|dotter|syster)bolag\w*|(?:bolag\w*|företag\w*) "
    r"(?:i|inom) (?:vår |hela )?koncern\w*|andre (?:virksomheder|selskaber|firmaer)"
    r"|(?:koncern|datter|søster)selskaber\w*|andre (?:selskaper|virksomheter|bedrifter)"
    r"|(?:konsern|datter|søster)selskaper\w*|andere[rn]? (?:unternehmen|firmen|gesellschaften)"
    r"|(?:konzern|tochter|schwester)(?:unternehmen|gesellschaften|firmen)"
    r"|verbundene[rn]? unternehmen)(?!\w)"
)
_DENIES = re.compile(
    r"(?<!\w)(?:not|never|no|nor|without|don't|won't|inte|aldrig|ej|inga|utan|ikke|ingen|uden|aldri"
    r"|uten|nicht|keine\w*|niemals|nie|ohne)(?!\w)"
)
_ONLY = re.compile(r"(?<!\w)(?:not only|inte bara|ikke kun|ikke bare|nicht nur)(?!\w)")


def _affirmed(wanted: re.Pattern[str], text: str) -> Iterator[str]:
    """Where `wanted` is said, and not denied in the same sentence."""
    for sentence in _sentences(text):
        if not _DENIES.search(_ONLY.sub("", sentence)):
            yield from (found.group() for found in wanted.finditer(sentence))


def _found(code: str, words: Iterator[str]) -> list[Finding]:
    distinct = tuple(dict.fromkeys(words))
    return [Finding(code, distinct, _CURES[code])] if distinct else []


def _sentences(text: str) -> list[str]:
    return re.split(r"[.!?;\n]+(?:\s|$)|\n", text)


def _plain(text: str) -> str:
    """Casefolded and in one spelling; lines that only wrap are joined, paragraphs are not."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = text.replace("\u2019", "'").replace("\u00ad", "")  # apostrophe, soft hyphen
    paragraphs = re.split(r"\n\s*\n", text.replace("\r\n", "\n"))
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
