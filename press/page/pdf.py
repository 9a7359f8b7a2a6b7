"""The whole book as one PDF, printed by Chromium from the pages that were built."""

import os
import posixpath
import shutil
import subprocess
import tempfile
from pathlib import Path

from paperlib import files
from paperlib.refusal import Refusal
from press.plan import experiments, settings

PUBLISHED = "published"
# pages that a book of paper does without: its code is quoted on the site
LEFT_OUT = ("library/", "genindex", "py-modindex", "search")
SECONDS = 300


class PrintError(Refusal):
    """A book that cannot be printed; one sentence."""


def build(name: str) -> Path:
    """Prints the built book of a profile, or of the published edition, and returns the PDF beside its pages.

    Raises PrintError where there are no pages yet, or no Chromium.
    """
    if name != PUBLISHED:
        experiments.check_profile(name)
    html = experiments.build_dir(name) / "html"
    if not (html / "index.html").is_file():
        raise PrintError(f"the book of {name} is not built; make {'published' if name == PUBLISHED else 'book'} builds it")
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        raise PrintError("no Chromium is here to print the book; install it (apt install chromium) or name it in CHROMIUM")
    whole, target = html / ".whole.html", html.parent / "book.pdf"
    files.write_atomic(whole, joined(html, order(html.parent / "source" / "_toc.yml")))
    try:
        _printed(browser, whole, target)
    finally:
        whole.unlink()
    return target


def order(toc: Path) -> list[str]:
    """The pages in the order of the table of contents, without ending."""

    def within(node: object) -> list[str]:
        if isinstance(node, list):
            return [name for each in node for name in within(each)]
        if not isinstance(node, dict):
            return []
        own = [node[key] for key in ("root", "file") if key in node]
        return own + [name for key in ("parts", "chapters", "sections") for name in within(node.get(key))]

    return [name for name in within(settings.read_yaml(toc)) if not name.startswith(LEFT_OUT)]


def joined(html: Path, pages: list[str]) -> str:
    """The articles of all pages as one document for the folder ``html``; links between pages lead within it."""
    from bs4 import BeautifulSoup

    head = BeautifulSoup((html / f"{pages[0]}.html").read_text(encoding="utf-8"), "html.parser").head
    articles = []
    for name in pages:
        soup = BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        articles.append(str(_article(soup.find("article"), name, pages)))
    scripts = '<script src="_static/mathjax/tex-mml-chtml.js"></script>'
    body = "\n".join(articles)
    return f'<!DOCTYPE html>\n<html lang="en" data-theme="light">{_styles(head)}{scripts}<body>{body}</body></html>\n'


def _styles(head) -> str:
    """The style sheets and MathJax's settings of a page's head."""
    kept = [each for each in head.find_all(["link", "script", "style"]) if "stylesheet" in (each.get("rel") or [])
            or each.name == "style" or "MathJax" in (each.string or "")]  # fmt: skip
    return f'<head><meta charset="utf-8">{"".join(map(str, kept))}</head>'


def _article(article, name: str, pages: list[str]):
    folder = posixpath.dirname(name)
    article["id"] = _slug(name)
    article["style"] = "break-before: page"
    for each in article.find_all(["script", "button", "label"]):
        each.decompose()
    for each in article.find_all(id=True):
        each["id"] = f"{_slug(name)}--{each['id']}"
    for each in article.find_all("img"):
        each["src"] = posixpath.normpath(posixpath.join(folder, each["src"]))
        each["loading"] = "eager"
    for each in article.find_all("a", href=True):
        each["href"] = _link(each["href"], name, pages)
    for each in [] if name.startswith("figures/") else article.find_all("details"):
        each["open"] = ""
    return article


def _link(href: str, name: str, pages: list[str]) -> str:
    """Where a link leads in the whole document: within it, if its page is there."""
    if "://" in href or href.startswith("mailto:"):
        return href
    path, _, part = href.partition("#")
    page = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)).removesuffix(".html") if path else name
    if page not in pages:
        return href
    return f"#{_slug(page)}--{part}" if part else f"#{_slug(page)}"


def _slug(name: str) -> str:
    """
    >>> _slug("figures/fig06")
    'figures-fig06'
    """
    return name.replace("/", "-")


def _printed(browser: str, page: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / "book.pdf"
        command = [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            f"--user-data-dir={folder}/profile", "--no-pdf-header-footer", "--virtual-time-budget=120000",
            f"--print-to-pdf={new}", page.resolve().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise PrintError(f"Chromium did not print the book within {SECONDS} s") from error
        if not new.is_file():
            raise PrintError(f"Chromium printed nothing: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        files.write_atomic(target, new.read_bytes())
