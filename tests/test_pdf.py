"""The book on paper: pages in their order as one document whose links lead within it, and sentences where it cannot be."""

import re
import shutil

import pytest

from press.page import extension, pdf
from press.plan import settings

PAGE = """<html><head><link rel="stylesheet" href="_static/a.css"/><script src="x.js"></script>
<script>window.MathJax = {{}}</script>
</head><body><nav>aside</nav><article class="bd-article">{body}</article></body></html>"""
TOC = """root: intro
parts:
- chapters: [{file: one, sections: [{file: figures/fig01}]}]
- chapters: [{file: library/a}]
"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Three built pages, one of them in a folder, and the code's own, which paper does without."""
    monkeypatch.setenv("PAPERLIB_BUILD", str(tmp_path))
    html, source = tmp_path / "published" / "html", tmp_path / "published" / "source"
    (html / "figures").mkdir(parents=True)
    source.mkdir()
    (source / "_toc.yml").write_text(TOC)
    bodies = {
        "intro": '<h1 id="top">A</h1><a href="figures/fig01.html#part">f</a><a href="#top">t</a><a href="https://x.org/a">x</a>'
                 '<a href="search.html">s</a>',
        "one": "<details><p>open</p></details>",
        "figures/fig01": '<p id="part"><img loading="lazy" src="../_images/a.png"/><a href="../intro.html">i</a></p>'
                         "<details><p>closed</p></details><script>1</script><button>b</button>",
    }  # fmt: skip
    for name, body in bodies.items():
        (html / f"{name}.html").write_text(PAGE.format(body=body))
    (html / "index.html").write_text("")
    return html


def test_pages_are_joined_in_their_order_and_links_lead_within(book):
    pages = pdf.order(book.parent / "source" / "_toc.yml")
    assert pages == ["intro", "one", "figures/fig01"]
    text = pdf.joined(book, pages)
    assert re.findall(r'<article[^>]*id="([^"]*)"', text) == ["intro", "one", "figures-fig01"]
    links = re.findall(r'href="([^"]*)"', text.split("<body>")[1])
    assert links == ["#figures-fig01--part", "#intro--top", "https://x.org/a", "search.html", "#intro"]
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids)) and {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert 'src="_images/a.png"' in text and 'loading="eager"' in text and "aside" not in text
    assert "<button" not in text and "x.js" not in text and "a.css" in text and "window.MathJax" in text
    assert text.count("<details open") == 1 and "tex-mml-chtml.js" in text


def test_what_cannot_be_printed_meets_one_sentence(book, monkeypatch):
    with pytest.raises(pdf.PrintError, match="^the book of quick is not built; make book builds it$"):
        pdf.build("quick")
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(pdf.PrintError, match="^no Chromium is here to print the book; install it"):
        pdf.build("published")
    (book / "index.html").unlink()
    with pytest.raises(pdf.PrintError, match="^the book of published is not built; make published builds it$"):
        pdf.build("published")


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium here (apt install chromium)")
def test_chromium_prints_a_page_for_each_article(book):
    path = pdf.build("published")
    content = path.read_bytes()
    assert content.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", content)) == 3
    assert not (book / ".whole.html").exists()


def test_every_sign_of_the_theme_has_its_place_in_the_font():
    """The names that the pages use once the theme's library of icons is gone."""
    css = (settings.ROOT / "book" / "_static" / "custom.css").read_text()
    known = set(re.findall(r"\.(fa-[a-z-]+)::before", css))
    pages = list((settings.ROOT / "build").glob("*/html/*.html"))
    used = {name for page in pages for name in re.findall(r"\bfa[sb]? (fa-[a-z-]+)|fa-solid (fa-[a-z-]+)", page.read_text())}
    assert len(known) > 10 and {name for pair in used for name in pair if name} - {"fa-lg"} <= known


class Node:
    def __init__(self, *texts):
        self.texts = texts

    def findall(self, kind):
        return [Text(text) for text in self.texts]


class Text:
    def __init__(self, text):
        self.text = text

    def astext(self):
        return self.text


def test_a_page_is_described_by_its_first_paragraph_of_some_length():
    context = {}
    extension.describe(None, "a", "", context, Node("Too short.", 'It says "so" & <more>\nin ' + "many words " * 30))
    (content,) = re.findall(r'content="([^"]*)"', context["metatags"])
    assert content.startswith("It says &quot;so&quot; &amp; &lt;more&gt; in many words") and content.endswith("…")
    assert len(content) < 240
    extension.describe(None, "a", "", empty := {}, None)
    assert empty == {}
