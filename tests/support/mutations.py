"""A Hypothesis strategy: mails of the corpus, cut, doubled, spliced and sprinkled with rubbish."""

from pathlib import Path

from hypothesis import strategies as st

from support.mime_trees import FRAGMENTS

CORPUS = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "mails").glob("*.eml"))]
SHORT = [mail for mail in CORPUS if len(mail) <= 6000]


@st.composite
def mutated(draw):
    """One mail after up to eight mutations."""
    mail = draw(st.sampled_from(SHORT))
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, len(mail)))
        stop = min(len(mail), start + draw(st.integers(0, 80)))
        match draw(st.sampled_from(["cut", "double", "insert", "splice", "octet"])):
            case "cut":
                mail = mail[:start] + mail[stop:]
            case "double":
                mail = mail[:stop] + mail[start:]
            case "insert":
                mail = mail[:start] + draw(FRAGMENTS) + mail[start:]
            case "splice":
                other = draw(st.sampled_from(SHORT))
                mail = mail[:start] + other[draw(st.integers(0, len(other))) :]
            case "octet":
                mail = mail[:start] + draw(st.binary(min_size=1, max_size=2)) + mail[stop:]
    return mail[:20_000]
