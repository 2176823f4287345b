"""Where the footer goes in HTML: before the end of the real body, never where it is unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.flow.edit.html import footer_place, shown_among, visible_text


@pytest.mark.parametrize(
    "marked",
    [
        "<html><body>x|</body></html>",
        "<HTML><BODY>x|</BODY></HTML>",
        "<html><body>x|</body ></html\n>",
        "<p>x</p>|",
        "|",
        "<html><body>x|</html>",
        "<body><!-- </body> -->x|</body>",
        "<body>x|</body><!-- </body> -->",
        "<body>x<!--[if mso]></body><![endif]-->y|</body>",
        "<body><!--[if !mso]><!-->x|</body><!--<![endif]-->",
        "<body><script>'</body>'</script>x|</body>",
        "<body><STYLE>a{content:'</body>'}</Style >x|</body>",
        "<body><textarea></body></textarea>x|</body>",
        "<title></body></title>x|",
        "<body>new<blockquote><body>old</body></blockquote>|</body>",
        "<div>new</div><blockquote><html><body>old</body></html></blockquote>|",
        "<body>new|</body><BLOCKQUOTE type=cite><body>old</body></blockquote\n>",
        "<blockquote><blockquote></body></blockquote></body></blockquote>|</body></blockquote>",
        "<body>x<blockquote>never closed|</body></html>",
        "<body>x|</body></blockquote></html>",
        "<body>x<!-- </body> --!>|</body>",
        "<body><iframe></body></iframe>x|</body>",
        "<body>x|</body></html><p>appended</p>",
        "<body>x|<!-- never closed </body>",
        "x|<script>never closed </body>",
        "<body>x|</body><!-- never closed",
        "<body><!-->x|</body>",
        "<styled></body|></styled>".replace("</body|>", "|</body>"),
        '<body><img alt="a <!-- b">x|</body>',
        "<body><img alt='<title> of it'>x|</body>",
        '<body><p title = "<b>old</b></body>">x|</body>',
        '<body>x|</body><p title="</body>">',
        '<body>x<p class="y">it is ="</p>|</body>',
        '<body>x|<a href="https://cut.off.exam',
        '<body>x|<img alt="<!-- never closed',
        "x < y|",
        '<?xml version="1.0"?><html xmlns="x"><body>x|</body></html>',
    ],
)
def test_footer_place(marked):
    data = marked.replace("|", "").encode()
    assert footer_place(data) == marked.index("|")


def test_a_megabyte_on_one_line_and_hostile_openings():
    filler = b"<p>x</p>" * 130_000
    assert footer_place(b"<body>" + filler + b"</body>") == 6 + len(filler)
    assert footer_place(b"<!--" * 250_000) == 0
    assert footer_place(b"<script>" * 120_000 + b"</script>") == len(
        b"<script>" * 120_000 + b"</script>"
    )
    assert footer_place(b"</body " * 150_000) == 1_050_000
    for unit in (b'<a ="<!---->', b"<a \"='</body>", b"</body>='"):
        assert footer_place(unit * 50_000) > 500


@given(
    st.lists(
        st.sampled_from(["<!--", "-->", "<script>", "</script>", "</body>", "</html>", "x", "<"])
    ).map("".join)
)
def test_the_place_is_never_inside_a_comment_or_script(document):
    place = footer_place(document.encode())
    before = document[:place]
    while before:
        opened = min(
            (at for at in (before.find("<!--"), before.find("<script>")) if at >= 0), default=-1
        )
        if opened < 0:
            break
        closing = "-->" if before.startswith("<!--", opened) else "</script>"
        closed = before.find(closing, opened + 2)
        assert closed >= 0
        before = before[closed + len(closing) :]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("<p>Acme&nbsp;AB</p>", "Acme AB"),
        ("a<!-- b -->c", "a c"),
        ("a<style>b</style>c", "a c"),
        ("&aring;", "å"),
        ("a < b", "a < b"),
    ],
)
def test_visible_text(document, words):
    assert " ".join(visible_text(document).split()) == words


@pytest.mark.parametrize(
    ("before", "is_shown"),
    [
        ("<p>", True),
        ("<p>" + "word " * 5000 + "<br>", True),
        ('<img alt="', False),
        (f'<img src="data:image/png;base64,{"A" * 20_000}" alt="', False),
        ('<a href="', True),
        (f"<p>{'x' * 20_000}", False),  # not known, and a footer more is better than none
    ],
)
def test_a_placeholder_is_shown_in_text_and_in_links(before, is_shown):
    document = f'<body>{before}{{{{unsubscribe_url}}}}"></body>'.encode()
    at = document.index(b"{{")
    assert shown_among(document, [at]) == ({at} if is_shown else set())


def test_a_great_many_placeholders_are_looked_at_once_each():
    """However far away the tag before them is: this took a minute."""
    filler = b"{{unsubscribe_url}}" + b" " * 81
    document = b"<p>" + filler * 200_000
    places = range(3, len(document), len(filler))
    assert len(shown_among(document, places)) < 200
