"""The book's last step: stage chapters and figure pages into one folder, and let Jupyter Book build it."""

import errno
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from paperlib import files, fingerprint, sealed
from press.page import benchmark, drawn, library, turning, vocabulary
from press.page.figures import stage_figure
from press.page.template import BookError, filled
from press.page.values import Numbers, executed
from press.plan import experiments, settings
from press.plan.experiments import build_dir
from press.run import inventory, places

# Jupyter Book, which ends with the process that waits for it: killed, that one could not end it
BUILDER = """
import os, threading, time
parent = os.getppid()
def watch():
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)
threading.Thread(target=watch, daemon=True).start()
import functools
import sys
import jupyter_book.sphinx as book
from jupyter_book.cli.main import main
# its command line does not know of Sphinx's processes
book.build_sphinx = functools.partial(book.build_sphinx, jobs=int(sys.argv.pop()))
main()
"""
# each holds a few dozen pages, and some memory
MOST_PROCESSES = 8
# what the pages were made of, beside them
MADE_OF = ".made_of"


def stage(profile: str, target: Path, *, alone: bool = False) -> None:
    """Writes the whole source of the book into the folder ``target``; ``alone`` as in ``Numbers``."""
    numbers = Numbers(profile, alone=alone)
    shutil.copytree(settings.ROOT / "book" / "_static", target / "_static")
    shutil.copy(settings.ROOT / "_config.yml", target)
    for path in (settings.ROOT / "book").glob("*.bib"):
        shutil.copy(path, target)
    figures = numbers.pages()
    for key in figures:
        own = not alone and key in executed(profile)
        stage_figure(experiments.artifact(profile, key) if own else drawn.spec_of(key), numbers, target / "figures")
    for path in sorted((settings.ROOT / "book").glob("*.md")):
        (target / path.name).write_text(rendered(path, numbers, target / "pictures"), encoding="utf-8")
    packages = library.pages() if (settings.ROOT / "book" / "api.md").is_file() else {}
    for name, text in packages.items():
        files.write_atomic(target / library.FOLDER / f"{name}.md", text)
    write_toc(settings.ROOT / "book" / "_toc.yml", figures, target / "_toc.yml", list(packages))
    benchmark.draw(target / "_static")
    _write_plotly(target)


def rendered(path: Path, numbers: Numbers, pictures: Path) -> str:
    """A chapter with its numbers filled in, its pictures written into a folder; BookError names the chapter and line of an
    unknown name."""
    names = vocabulary.names(numbers) | {"surface": partial(turning.surface, numbers, pictures)}
    return filled(path.read_text(encoding="utf-8"), names, f"book/{path.name}")


def write_toc(source: Path, figures: list[str], target: Path, packages: list[str]) -> None:
    """The table of contents without the figure pages that this profile lacks, and with the library's packages."""
    import yaml

    kept = _kept(settings.read_yaml(source), {f"figures/{key}" for key in figures})
    for chapter in (chapter for part in kept.get("parts", []) for chapter in part["chapters"]):
        if chapter["file"] == "api":
            chapter["sections"] = [{"file": f"{library.FOLDER}/{name}"} for name in packages]
    target.write_text(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _kept(node: object, figures: set[str]) -> object:
    """``node`` without entries of missing figures, and without parts, chapters and sections left empty."""
    if isinstance(node, list):
        kept = [_kept(item, figures) for item in node]
        return [item for item in kept if item is not None]
    if not isinstance(node, dict):
        return node
    file = node.get("file", "")
    if file.startswith("figures/") and file not in figures:
        return None
    entry = {key: _kept(item, figures) for key, item in node.items()}
    entry = {key: item for key, item in entry.items() if item != []}
    return entry if {"file", "root", "chapters"} & entry.keys() else None


def _write_plotly(target: Path) -> None:
    """plotly.js, once for all pages, if one has a surface to turn; a page loads it when a reader asks for it."""
    pages = [*target.glob("*.md"), *(target / "figures").glob("*.md")]
    if any('class="turning"' in path.read_text(encoding="utf-8") for path in pages):
        from plotly.offline import get_plotlyjs

        (target / "_static" / "plotly").mkdir()
        (target / "_static" / "plotly" / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")


def build(profile: str, *, alone: bool = False) -> Path:
    """Stages and builds the book with warnings as errors; replaces the former pages only when all is well.

    ``alone``: the book is of the published edition, and there is no run to set beside it; it goes to a folder of its own.

    Returns the first page. BookError quotes the warnings. Nothing is built when the same source was built already.
    """
    experiments.check_profile(profile)
    place = build_dir("published" if alone else profile)
    place.mkdir(parents=True, exist_ok=True)
    with places.lock(place.name, "book-html"):
        shutil.rmtree(place / "source", ignore_errors=True)
        drawn.draw(cores=places.available_cores())
        stage(profile, place / "source", alone=alone)
        made_of = _source_digest(place / "source")
        if not _is_built(place / "html", made_of):
            with files.scratch(place / "tmp", "html") as folder:
                _run_jupyter_book(place / "source", folder, place / "logs" / "jupyter-book.log")
                html = folder / "_build" / "html"
                lighten(html)
                sealed.write_json(html / MADE_OF, {"made_of": made_of, "files": inventory.hashes(html, html.rglob("*"))})
                _replace_folder(html, place / "html")
    return place / "html" / "index.html"


def _is_built(html: Path, made_of: str) -> bool:
    """Whether these pages were made of the same, and are whole."""
    pages = places.whole(lambda path: sealed.read_json(path, "made_of", "files"), html / MADE_OF)
    return pages is not None and pages["made_of"] == made_of and not inventory.faults(html, pages["files"])


def _source_digest(source: Path) -> str:
    """SHA-256 of everything that the pages are made of: the staged files, and the code whose docstrings they quote."""
    code = [path for package in ("paperlib", "press") for path in (settings.ROOT / package).rglob("*.py")]
    parts = [[path.name, files.file_hash(path)] for path in sorted([*source.rglob("*"), *code]) if path.is_file()]
    return fingerprint.digest(parts)


def _run_jupyter_book(source: Path, output: Path, log: Path) -> None:
    # not the console script: its first line cannot name an interpreter whose path has spaces
    command = [sys.executable, "-c", BUILDER, "build", str(source)]
    command += ["--path-output", str(output), "-W", "-n", "--keep-going", str(min(places.available_cores(), MOST_PROCESSES))]
    environment = os.environ | {"PYTHONPATH": str(settings.ROOT), "NO_COLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).replace(f"{source}{os.sep}", "")
        raise BookError(f"{_why(plain)}; read {places.short_path(log)}")


def lighten(html: Path) -> None:
    """Takes the theme's library of icons off every page: its one and a half megabytes draw a dozen signs, for which the
    book's style sheet uses the font that lies beside it. No sign is left without words."""
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"<script[^>]*scripts/fontawesome\.js[^>]*></script>", "", text)
        # Sphinx's own sign in its index of modules
        text = text.replace(' alt="-" ', ' alt="open or close this group" ')
        page.write_text(text, encoding="utf-8")
    for pattern in ("_static/scripts/fontawesome.js*", "_static/**/*.map", "_static/vendor/fontawesome/webfonts/*.ttf"):
        for path in html.glob(pattern):
            path.unlink()


def _why(said: str) -> str:
    """Why Jupyter Book failed: a full disk, else its warnings, else the first error of a traceback, else its last line."""
    if os.strerror(errno.ENOSPC) in said:
        return "the disk is full: the book's pages did not fit; make room, and make book goes on from here"
    warnings = list(dict.fromkeys(re.findall(r"(?m)^.*(?:WARNING|ERROR): .*$", said)))
    if warnings:
        return f"the book has {len(warnings)} warnings, which count as errors: {'; '.join(warnings[:10])}"
    lines = [*re.findall(r"(?m)^\w+(?:Error|Exception): .*$", said), *said.strip().splitlines()[-1:], "it said nothing"]
    return f"Jupyter Book failed: {lines[0].strip()}"


def _replace_folder(new: Path, target: Path) -> None:
    former = new.with_name("former")
    if target.exists():
        os.replace(target, former)
    os.replace(new, target)
