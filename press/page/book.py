"""The book's last step: stage chapters and executed notebooks into one folder, and let Jupyter Book build it.

Every number in the prose comes from a file that a run wrote: chapters are Jinja templates with ``value``,
``published``, ``paper`` and ``page``. Each figure's page gets its numbers, its command and its provenance appended.
"""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import jinja2

from paperlib import files, fingerprint, names
from paperlib.numbers import formatted, is_interval, leaf_at, leaves
from paperlib.refusal import Refusal
from press.page import findings
from press.page.library import library
from press.plan import experiments
from press.plan.experiments import ROOT, Artifact, ExperimentError, build_dir, text_keys
from press.run import pipeline

ABSENT = "not in this edition"
UNSTATED = "not stated"
OWN = "This run"
ROWS = 40


class BookError(Refusal):
    """A chapter or page that cannot be built; one sentence or the warnings of the build."""


# --- numbers -----------------------------------------------------------------------------------------------------


class Numbers:
    """The three columns of the book: the paper's numbers, the published edition's and this run's.

    ``alone``: the book is of the edition itself, and there is no other run to set beside it.
    """

    def __init__(self, profile: str, *, alone: bool = False):
        self.profile, self.alone = profile, alone
        self.here = _values(build_dir(profile) / "results", experiments.keys(profile))
        self.edition = _values(findings.edition_dir() / "results", list(experiments.load()["artifacts"]))
        self.stated = text_keys(experiments.read_yaml(ROOT / "book" / "paper_numbers.yml") or {})
        self.folder = findings.edition_dir()

    def value(self, artifact: str, *keys: str) -> str:
        """This run's number, with its interval."""
        return _found(self.here, artifact, keys, ABSENT)

    def published(self, artifact: str, *keys: str) -> str:
        """The published edition's number, with its interval."""
        return _found(self.edition, artifact, keys, ABSENT)

    def paper(self, artifact: str, *keys: str) -> str:
        """The paper's number, with as many digits as the paper gives."""
        leaf = leaf_at(self.stated.get(artifact, {}), keys)
        if leaf is None or isinstance(leaf, dict):
            return UNSTATED if leaf is None else formatted(leaf)
        return ", ".join(map(str, leaf)) if isinstance(leaf, list) else str(leaf)

    def page(self, artifact: str) -> str:
        """A link to a figure's page, or its name where this profile has no such page."""
        place = _named(artifact)["place"]
        return f"[{place}](figures/{artifact}.ipynb)" if artifact in pages(self.profile) else place

    def status(self) -> list[dict]:
        """All artifacts with a link to their page, and the seconds and hash of this run's result (None without one)."""
        return [self._status(key, entry) for key, entry in experiments.load()["artifacts"].items()]

    def _status(self, key: str, entry: dict) -> dict:
        row = {"key": key, "title": entry["title"], "paper": entry["place"], "link": self.page(key)}
        if key not in self.here:
            return row | {"seconds": None, "sha256": None}
        path = build_dir(self.profile) / "results" / f"{key}.json"
        return row | {"seconds": _record(path)["seconds"], "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}

    def networks(self) -> list[dict]:
        """The published edition's networks, one row each."""
        return findings.networks(self.folder)

    def seeds(self) -> dict[str, int]:
        """How many seeds each of the published edition's recipes was trained with."""
        return findings.seeds(self.folder)

    def lacking(self) -> list[str]:
        """The places of the paper that the published edition has no result for."""
        return [entry["place"] for key, entry in experiments.load()["artifacts"].items() if key not in self.edition]

    def test_images(self) -> dict[str, str]:
        """How many test images the published edition had, in words, by data set."""
        return {names.DATA[name]: words for name, words in findings.test_images(self.folder).items()}

    def sizes(self) -> list[str]:
        """The profiles that made the published edition."""
        return findings.sizes(self.folder)

    def searches(self) -> list[dict]:
        """The published edition's searches for a penalty."""
        return findings.searches(self.folder)

    def at_equal_norm(self) -> list[dict]:
        """The two penalised functions of the published edition's searches beside each other, norm by norm."""
        return findings.at_equal_norm(self.searches())

    def cells(self, artifact: str) -> list[dict]:
        """Every cell of a table of the paper beside the published edition's; none where the edition lacks the table."""
        return findings.cells(self.edition[artifact], self.stated[artifact]) if artifact in self.edition else []

    def claims(self) -> list[dict]:
        """The paper's claims with this run's verdicts and the published edition's; none where there is no ledger."""
        if not (ROOT / "book" / "claims.yml").is_file():
            return []
        from press.page import claims

        return claims.judged(self)

    def names(self) -> dict[str, object]:
        """What a chapter may use."""
        named = ("value", "published", "paper", "page", "status", "networks", "lacking", "sizes", "searches", "cells",
                 "test_images", "seeds", "at_equal_norm")  # fmt: skip
        functions = {name: getattr(self, name) for name in named} | {"agreement": findings.agreement, "library": library}
        functions |= {"interval": formatted, "methods": names.METHODS, "attacks": names.ATTACKS}
        artifacts = {
            key: {"notebook": entry["notebook"], "paper": entry["place"], "title": entry["title"]}
            for key, entry in experiments.load()["artifacts"].items()
        }
        facts = {"profile": self.profile, "alone": self.alone}
        return functions | facts | {"artifacts": artifacts, "claims": self.claims()}


def pages(profile: str) -> list[str]:
    """The artifacts with a page, in the order of ``experiments.yml``: those executed, and those that the profile has not at
    all but the published edition has."""
    of_profile, ready = experiments.keys(profile), executed(profile)
    there = {path.stem for path in (findings.edition_dir() / "notebooks").glob("*.ipynb")}
    return [key for key in experiments.load()["artifacts"] if key in ready or (key not in of_profile and key in there)]


def executed(profile: str) -> list[str]:
    """The artifacts of a profile whose notebooks have been executed."""
    folder = build_dir(profile) / "notebooks"
    return [key for key in experiments.keys(profile) if (folder / f"{key}.ipynb").is_file()]


def _named(artifact: str) -> dict:
    entries = experiments.load()["artifacts"]
    if artifact not in entries:
        raise ExperimentError(f"page({artifact!r}): there is no such artifact; allowed are {', '.join(entries)}")
    return entries[artifact]


def _values(folder: Path, keys: list[str]) -> dict[str, dict]:
    paths = {key: folder / f"{key}.json" for key in keys}
    return {key: text_keys(_record(path)["values"]) for key, path in paths.items() if path.is_file()}


def _record(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _found(values: dict, artifact: str, keys: tuple, absent: str) -> str:
    node = leaf_at(values.get(artifact, {}), keys)
    return absent if node is None or node == {} else formatted(node)


# --- cells appended to a figure's page -------------------------------------------------------------------------------


def appended_cells(spec: Artifact, numbers: Numbers, record: dict) -> list[str]:
    """The Markdown of a figure page's last three cells."""
    return [numbers_cell(spec.key, numbers), again_cell(spec), provenance_cell(spec.key, record)]


def published_cells(key: str, folder: Path) -> list[dict]:
    """What the published edition's notebook shows: pictures, tables and findings, without code; empty if it has none."""
    path = folder / "notebooks" / f"{key}.ipynb"
    if not path.is_file():
        return []
    name = _record(folder / "results" / f"{key}.json").get("data", {}).get("name", "")
    images = findings.test_images(folder).get(name)
    text = f"## On {names.DATA.get(name, name)}: the published edition\n\nMade as [its page](../edition.md) says"
    text += f", with {images} at hand." if images else "."
    cells = [{"cell_type": "markdown", "id": f"published-{key}", "metadata": {}, "source": text}]
    heading = ""
    for number, cell in enumerate(_record(path)["cells"]):
        wanted = {"image/png", "text/html"} | ({"text/markdown"} if heading.startswith("## What it shows") else set())
        seen = [each for each in cell.get("outputs", []) if wanted & each.get("data", {}).keys()]
        if seen:
            # a code cell without source would lose its outputs
            tags = {"metadata": {"tags": ["remove-input"]}, "source": "# executed elsewhere"}
            cells.append(cell | {"id": f"published-{key}-{number}", "outputs": seen} | tags)
        heading = "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""
    return cells


def numbers_cell(key: str, numbers: Numbers) -> str:
    """The paper's numbers beside the published edition's and this run's; this run's others in a block to open."""
    compared = list(leaves(numbers.stated.get(key, {})))
    here = leaves(numbers.here.get(key, {}))
    others = [path for path in here if path not in compared]
    text = "## The numbers\n\n"
    if compared:
        text += _folded(numbers, key, compared, "All numbers that the paper gives", len(compared) > ROWS)
    else:
        text += "The paper gives no number for this figure.\n\n"
    title = "Other numbers of the edition" if numbers.alone else "Other numbers of this run"
    return text + (_folded(numbers, key, others, title, True) if others else "")


def _folded(numbers: Numbers, key: str, paths: list[tuple[str, ...]], title: str, fold: bool) -> str:
    columns = {"Paper": numbers.paper, "Published edition": numbers.published, OWN: numbers.value}
    rows = [[" › ".join(path), *(_cell(column(key, *path)) for column in columns.values())] for path in paths]
    table = _table(["Quantity", *columns], rows)
    table = without_column(table, OWN) if numbers.alone else table
    return f":::{{dropdown}} {title}\n{table}:::\n\n" if fold else f"{table}\n"


def _cell(text: str) -> str:
    return "–" if text in (ABSENT, UNSTATED) else text


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def without_column(text: str, title: str) -> str:
    """Markdown without the last column of every table that has it under the heading ``title``.

    >>> without_column("| a | This run |\\n| --- | --- |\\n| 1 | 2 |\\n", "This run")
    '| a |\\n| --- |\\n| 1 |\\n'
    """
    lines, within = [], False
    for line in text.split("\n"):
        within = line.startswith("|") and (within or line.endswith(f"| {title} |"))
        # the last cell; an escaped bar belongs to it
        lines.append(re.sub(r"(?:[^|\\]|\\.)*\|$", "", line) if within else line)
    return "\n".join(lines)


def again_cell(spec: Artifact) -> str:
    """The command that makes this figure again, and the parameters worth changing."""
    command = f"make figure FIG={spec.key}" + ("" if spec.profile == "quick" else f" PROFILE={spec.profile}")
    comments = parameter_comments(experiments.parameters_source(spec.notebook))
    values = experiments.notebook_parameters(spec.notebook) | spec.parameters
    own = [name for name in values if name not in experiments.PIPELINE_PARAMETERS]
    # those of the figure itself first; long ones would hide the command
    short = [name for name in [*spec.parameters, *own] if len(_flow(values[name])) < 20]
    given = " ".join(f"{name}={_flow(values[name])}" for name in list(dict.fromkeys(short))[:4])
    rows = [[f"`{name}`", f"`{_flow(values[name])}`", comments.get(name, "")] for name in own]
    table = _table(["Parameter", "On this page", "Meaning"], rows)
    return (
        "## Make this figure again\n\n"
        "::::{admonition} One command, with any parameter changed\n:class: tip\n\n"
        f"```sh\n{command}\n{command} P='{given}'\n```\n\n"
        "It writes into a folder of its own under `build/` and overwrites nothing. A field of the models' recipes, "
        "such as `c`, is a parameter too: those models are then trained anew.\n\n"
        f":::{{dropdown}} The parameters of this figure\n{table}:::\n::::\n"
    )


def parameter_comments(source: str) -> dict[str, str]:
    """The comment behind each assignment of a parameters cell, by parameter."""
    comments, name = {}, None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.start[1] == 0:
            name = token.string
        elif token.type == tokenize.COMMENT and token.start[1] > 0 and name:
            comments[name] = token.string.lstrip("# ")
        elif token.type == tokenize.COMMENT:
            name = None
    return comments


def _flow(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def provenance_cell(key: str, record: dict) -> str:
    """What the page was made of, and its downloads."""
    data = record.get("data") or {}
    sets = [data, *data.get("others", [])] if data else []
    machine = record.get("environment", {}).get("machine", {})
    models = [f"{role}: {m['name']} ({m['sha256'][:12]})" for role, m in record.get("models", {}).items()]
    rows = {
        "Profile": record["profile"],
        "Data": "<br>".join(f"{d['name']}, {d['n']} images, sha256 {d['sha256'][:12]}" for d in sets) or "none",
        "Models (sha256)": "<br>".join(models) or "none",
        "Seeds": ", ".join(f"{name} {seed}" for name, seed in (record.get("seeds") or {}).items()) or "none",
        "Commit": _commit(record.get("git_commit")),
        "Machine": ", ".join(f"{name} {value}" for name, value in machine.items() if value is not None),
        "Started": record["started"],
        "Seconds": str(record["seconds"]),
    }
    table = _table(["", ""], [[name, str(value)] for name, value in rows.items()])
    files = {"ipynb": "executed notebook", "json": "result and parameters (JSON)", "csv": "numbers (CSV)"}
    links = " · ".join(f"{{download}}`{title} <downloads/{key}.{kind}>`" for kind, title in files.items())
    return f"## Provenance\n\n{table}\nDownloads: {links}\n"


def _commit(commit: str | None) -> str:
    if commit is None:
        return "not run from a repository"
    return commit[:12] + (", with uncommitted changes" if commit.endswith("+") else "")


def as_csv(values: dict) -> str:
    """A record's values as CSV: path, value, low, high, n."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["quantity", "value", "low", "high", "n"])
    for path, leaf in leaves(values).items():
        interval = leaf if is_interval(leaf) else {"mean": leaf}
        writer.writerow([".".join(path), *(interval.get(name, "") for name in ("mean", "low", "high", "n"))])
    return stream.getvalue()


# --- staging and building ----------------------------------------------------------------------------------------


def stage(profile: str, target: Path, *, alone: bool = False) -> None:
    """Writes the whole source of the book into the folder ``target``; ``alone`` as in ``Numbers``."""
    numbers = Numbers(profile, alone=alone)
    shutil.copytree(ROOT / "book" / "_static", target / "_static")
    shutil.copy(ROOT / "_config.yml", target)
    for path in (ROOT / "book").glob("*.bib"):
        shutil.copy(path, target)
    figures = pages(profile)
    for key in figures:
        made_by = profile if key in executed(profile) else _record(numbers.folder / "results" / f"{key}.json")["profile"]
        stage_figure(experiments.artifact(made_by, key), numbers, target / "figures")
    for path in sorted((ROOT / "book").glob("*.md")):
        (target / path.name).write_text(rendered(path, numbers), encoding="utf-8")
    write_toc(ROOT / "book" / "_toc.yml", figures, target / "_toc.yml")
    _write_plotly(target)


def stage_figure(spec: Artifact, numbers: Numbers, folder: Path) -> None:
    """The executed notebook with title and three more cells, and the files that its page offers for download.

    The published edition's pictures stand below those of another profile; what that profile lacks is the edition's alone.
    """
    borrowed = spec.profile != numbers.profile
    place, downloads = numbers.folder if borrowed else build_dir(spec.profile), folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    record = _record(place / "results" / f"{spec.key}.json")
    notebook = _titled(_record(place / "notebooks" / f"{spec.key}.ipynb"), f"{spec.place}: {spec.title}")
    _write_json(downloads / f"{spec.key}.ipynb", notebook)
    shutil.copy(place / "results" / f"{spec.key}.json", downloads)
    (downloads / f"{spec.key}.csv").write_text(as_csv(record["values"]), encoding="utf-8")
    notebook["cells"] = page_cells(notebook["cells"])
    notebook["cells"][1:1] = noted(spec.notebook, numbers)
    if experiments.column(spec.profile) != "paper":
        notebook["cells"] += published_cells(spec.key, numbers.folder)
    for number, text in enumerate(appended_cells(spec, numbers, record)):
        cell = {"cell_type": "markdown", "id": f"appended-{number}", "metadata": {}, "source": text}
        notebook["cells"].append(cell)
    _write_json(folder / f"{spec.key}.ipynb", notebook)


def page_cells(cells: list[dict]) -> list[dict]:
    """A notebook's cells as its page has them: code joined up to the next output, and no summary for tests."""
    page, waiting = [], []
    for cell in cells:
        if "nbval-check-output" in cell["metadata"].get("tags", []):
            continue
        if cell["cell_type"] == "code":
            waiting.append("".join(cell["source"]))
            if not cell["outputs"]:
                continue
            cell = cell | {"source": "\n\n".join(waiting)}
            waiting = []
        page.append(cell)
    return page


def noted(notebook: str, numbers: Numbers) -> list[dict]:
    """The note of ``book/notes.yml`` on the pages of a notebook, as a cell; none where there is none."""
    path = ROOT / "book" / "notes.yml"
    text = (experiments.read_yaml(path) or {}).get(notebook) if path.is_file() else None
    if text is None:
        return []
    # links as seen from the folder of the figures
    source = filled(text, numbers, f"book/{path.name}").replace("](figures/", "](")
    return [{"cell_type": "markdown", "id": "note", "metadata": {}, "source": source}]


def _titled(notebook: dict, title: str) -> dict:
    """The notebook with the figure's own title in place of its template's."""
    first = notebook["cells"][0]
    first["source"] = re.sub(r"\A# .*", lambda _: f"# {title}", "".join(first["source"]))
    return notebook


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def rendered(path: Path, numbers: Numbers) -> str:
    """A chapter with its numbers filled in; BookError names the chapter and line of an unknown name."""
    text = filled(path.read_text(encoding="utf-8"), numbers, f"book/{path.name}")
    return without_column(text, OWN) if numbers.alone else text


def filled(text: str, numbers: Numbers, where: str) -> str:
    """A template with its numbers filled in; BookError says ``where`` a name is unknown."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.globals |= numbers.names()
    try:
        return environment.from_string(text).render()
    except jinja2.TemplateSyntaxError as error:
        raise BookError(f"{where}, line {error.lineno}: {error.message}") from error
    except (jinja2.UndefinedError, Refusal) as error:
        raise BookError(f"{where}: {error}") from error


def write_toc(source: Path, figures: list[str], target: Path) -> None:
    """The table of contents without the figure pages that this profile lacks."""
    import yaml

    kept = _kept(experiments.read_yaml(source), {f"figures/{key}" for key in figures})
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
    """plotly.js, once, if a page draws with it."""
    pages = (target / "figures").glob("*.ipynb")
    if any("Plotly.newPlot" in path.read_text(encoding="utf-8") for path in pages):
        from plotly.offline import get_plotlyjs

        (target / "_static" / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")


def build(profile: str, *, alone: bool = False) -> Path:
    """Stages and builds the book with warnings as errors; replaces the former pages only when all is well.

    ``alone``: the profile's folder holds the published edition, and no run to set beside it.

    Returns the first page. BookError quotes the warnings. Nothing is built when the same source was built already.
    """
    experiments.check_profile(profile)
    place = build_dir(profile)
    place.mkdir(parents=True, exist_ok=True)
    with pipeline.lock(profile, "book-html"):
        shutil.rmtree(place / "source", ignore_errors=True)
        stage(profile, place / "source", alone=alone)
        made_of = _source_digest(place / "source")
        built = place / "html" / ".made_of"
        if not (built.is_file() and built.read_text() == made_of):
            with files.scratch(place / "tmp", "html") as folder:
                _run_jupyter_book(place / "source", folder, place / "logs" / "jupyter-book.log")
                (folder / "_build" / "html" / ".made_of").write_text(made_of)
                _replace_folder(folder / "_build" / "html", place / "html")
    return place / "html" / "index.html"


def _source_digest(source: Path) -> str:
    """SHA-256 of everything that the pages are made of: the staged files, and the code whose docstrings they quote."""
    files = [*source.rglob("*"), *(path for package in ("paperlib", "press") for path in (ROOT / package).rglob("*.py"))]
    parts = [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in sorted(files) if path.is_file()]
    return fingerprint.digest(parts)


def _run_jupyter_book(source: Path, output: Path, log: Path) -> None:
    # not the console script: its first line cannot name an interpreter whose path has spaces
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source)]
    command += ["--path-output", str(output), "-W", "-n", "--keep-going"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).replace(f"{source}{os.sep}", "")
        warnings = list(dict.fromkeys(re.findall(r"(?m)^.*(?:WARNING|ERROR): .*$", plain)))
        quoted = "; ".join(warnings[:10]) or "no warning was printed"
        raise BookError(f"the book has {len(warnings)} warnings, which count as errors: {quoted}; read {log}")


def setup(app) -> dict[str, object]:
    """The book's Sphinx extension (named in ``_config.yml``): each script once on a page, and none from outside."""
    # after every extension that adds scripts to a page
    app.connect("html-page-context", _tidy_scripts, priority=999)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _tidy_scripts(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Drops scripts added twice (MathJax, settings of extensions) and thebe, which would load code from a network."""
    kept = {}
    for script in context.get("script_files", []):
        content = str(script.filename or script.attributes.get("body"))
        if "thebe" not in content:
            kept.setdefault(content, script)
    # in place: Sphinx holds the same list
    context["script_files"][:] = kept.values()


def _replace_folder(new: Path, target: Path) -> None:
    former = new.with_name("former")
    if target.exists():
        os.replace(target, former)
    os.replace(new, target)
