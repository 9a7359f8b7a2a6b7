"""The book's Sphinx extension (named in ``_config.yml``): scripts once and none from outside; what a page is about."""

import textwrap
from html import escape

from docutils import nodes

# thebe would load code from a network; Jupyter Book adds every script of _static, and plotly's waits until a reader asks
LATE = ("thebe", "plotly")
# extensions that can be used in several processes and do not say so
SILENT = ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex")
# a description has so many letters
LEAST, MOST = 40, 200


def setup(app) -> dict[str, object]:
    """Connects to Sphinx after every extension that adds scripts to a page."""
    app.connect("html-page-context", tidy_scripts, priority=999)
    app.connect("html-page-context", describe)
    app.connect("builder-inited", side_by_side)
    app.connect("builder-inited", unnumbered)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def side_by_side(app) -> None:
    """Lets Sphinx read and write pages in several processes: two extensions, which number chapters and set LaTeX, keep
    nothing of a page while it is read, and without their word Sphinx takes one process."""
    for name in SILENT:
        if name in app.extensions:
            app.extensions[name].parallel_read_safe = app.extensions[name].parallel_write_safe = True


def unnumbered(app) -> None:
    """Figures get no numbers, for no page shows them, and Sphinx would read every page once more; the extension for LaTeX
    asks for them whatever ``_config.yml`` says."""
    app.config.numfig = False


def tidy_scripts(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Drops scripts added twice (MathJax, settings of extensions) and those that no page loads by itself."""
    kept = {}
    for script in context.get("script_files", []):
        content = str(script.filename or script.attributes.get("body"))
        if not any(name in content for name in LATE):
            kept.setdefault(content, script)
    if doctree is not None and not any(True for _ in doctree.findall(is_math)):
        kept = {content: script for content, script in kept.items() if "mathjax" not in content.lower()}
    # in place: Sphinx holds the same list
    context["script_files"][:] = kept.values()


def is_math(node) -> bool:
    """Whether a part of a page is set by MathJax."""
    return isinstance(node, nodes.math | nodes.math_block)


def describe(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """What a page is about, for whoever finds it: its first paragraph of some length, cut at a word."""
    texts = (" ".join(node.astext().split()) for node in doctree.findall(nodes.paragraph)) if doctree else ()
    text = next((text for text in texts if len(text) > LEAST), "")
    if text:
        content = escape(textwrap.shorten(text, MOST, placeholder=" …"), quote=True)
        context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{content}" />\n'
