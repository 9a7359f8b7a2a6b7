"""What every figure's page ends with: its numbers, its command, its provenance, how it is cited, its code."""

import csv
import io

from paperlib.numbers import is_interval, leaf_at, leaves
from press.page import dots
from press.page.columns import OWN, line
from press.page.labels import roles_of, words_of
from press.page.template import plain
from press.page.values import ABSENT, UNSTATED, Numbers
from press.plan import templates
from press.plan.experiments import Artifact
from press.plan.settings import typed

# a longer picture or table is folded
LINES = 24


def appended_cells(spec: Artifact, numbers: Numbers, record: dict) -> list[str]:
    """The Markdown that a figure's page ends with but for its code."""
    return [
        numbers_cell(spec, numbers, record),
        again_cell(spec),
        provenance_cell(spec.key, record),
        cite_cell(spec, record),
    ]


def numbers_cell(spec: Artifact, numbers: Numbers, record: dict) -> str:
    """The paper's numbers beside the published edition's and this run's as dots on an axis; the digits, and all other
    numbers, in tables to open."""
    key = spec.key
    compared = list(leaves(numbers.stated.get(key, {})))
    here = leaves(numbers.here.get(key, {}) if key in numbers.here else numbers.edition.get(key, {}))
    others = [path for path in here if path not in compared]
    roles = roles_of(spec.notebook, record.get("parameters", {}))
    unit = "/255" if (record.get("data") or {}).get("pixel_scale") == 255 else ""
    text = "## The numbers\n\n"
    if compared:
        text += _picture(numbers, key, {path: words_of(path, roles, unit) for path in compared})
        text += _folded(numbers, key, {path: words_of(path, roles, unit) for path in compared}, "The same as a table")
    else:
        text += "The paper gives no number for this figure.\n\n"
    title = "Other numbers of this run" if key in numbers.here else "Other numbers of the edition"
    return text + (_folded(numbers, key, {path: words_of(path, roles, unit) for path in others}, title) if others else "")


def _picture(numbers: Numbers, key: str, paths: dict[tuple[str, ...], str]) -> str:
    """What the paper and a run both have as a picture; a long one is folded."""
    columns = {"paper": numbers.stated, "published": numbers.edition} | ({} if numbers.alone else {"run": numbers.here})
    lines = [
        dots.Line(name, {series: leaf_at(of.get(key, {}), path) for series, of in columns.items()})
        for path, name in paths.items()
    ]
    drawn = dots.picture([line for line in lines if any(line.leaves[each] is not None for each in list(columns)[1:])])
    if not drawn:
        return ""
    long = drawn.count("dots-row") > LINES
    return f":::{{dropdown}} The paper's numbers and ours as a picture\n{drawn}\n:::\n\n" if long else f"{drawn}\n\n"


def _folded(numbers: Numbers, key: str, paths: dict[tuple[str, ...], str], title: str) -> str:
    columns = {"Paper": numbers.paper, "Published edition": numbers.published}
    columns |= {} if numbers.alone else {OWN: numbers.value}
    rows = [[name, *(_cell(column(key, *path)) for column in columns.values())] for path, name in paths.items()]
    return f":::{{dropdown}} {title}\n{table(['Quantity', *columns], rows)}:::\n\n"


def _cell(text: str) -> str:
    return "–" if text in (ABSENT, UNSTATED) else text


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(line(*(cell.replace("|", r"\|") for cell in cells)) + "\n" for cells in lines)


def again_cell(spec: Artifact) -> str:
    """The command that makes this figure again, and the parameters worth changing."""
    command = f"make figure FIG={spec.key}" + ("" if spec.profile == "quick" else f" PROFILE={spec.profile}")
    comments = templates.parameter_comments(templates.parameters_source(spec.notebook))
    values = templates.notebook_parameters(spec.notebook) | spec.parameters
    own = [name for name in values if name not in templates.PIPELINE_PARAMETERS]
    # those of the figure itself first; long ones would hide the command
    short = [name for name in [*spec.parameters, *own] if len(typed(values[name], spaced=True)) < 20]
    given = " ".join(f"{name}={typed(values[name], spaced=True)}" for name in list(dict.fromkeys(short))[:4])
    rows = [[f"`{name}`", f"`{typed(values[name], spaced=True)}`", comments.get(name, "")] for name in own]
    rendered = table(["Parameter", "On this page", "Meaning"], rows)
    return (
        "## Make this figure again\n\n"
        "::::{admonition} One command, with any parameter changed\n:class: tip\n\n"
        f"```sh\n{command}\n{command} P='{given}'\n```\n\n"
        "It writes into a folder of its own under `build/` and overwrites nothing. A field of the models' recipes, "
        "such as `c`, is a parameter too: those models are then trained anew.\n\n"
        f":::{{dropdown}} The parameters of this figure\n{rendered}:::\n::::\n"
    )


def provenance_cell(key: str, record: dict) -> str:
    """What the page was made of, and its downloads."""
    data = record.get("data") or {}
    sets = [data, *data.get("others", [])] if data else []
    machine = record.get("environment", {}).get("machine", {})
    models = [
        f"{plain(role)}: {plain(m['name'])} ({plain(m['sha256'][:12])})" for role, m in record.get("models", {}).items()
    ]
    rows = {
        "Profile": record["profile"],
        "Data": "<br>".join(f"{plain(d['name'])}, {plain(d['n'])} images, sha256 {plain(d['sha256'][:12])}" for d in sets)
        or "none",
        "Models (sha256)": "<br>".join(models) or "none",
        "Seeds": ", ".join(f"{plain(name)} {plain(seed)}" for name, seed in (record.get("seeds") or {}).items()) or "none",
        "Commit": _commit(record.get("git_commit")),
        "Machine": ", ".join(plain(f"{name} {value}") for name, value in machine.items() if value is not None),
        "Started": record["started"],
        "Seconds": str(record["seconds"]),
    }
    rendered = table(["", ""], [[name, str(value)] for name, value in rows.items()])
    return f"## Provenance\n\n{rendered}"


# what a figure's page offers, by the ending of the file's name
FILES = {"csv": "numbers (CSV)", "json": "result and parameters (JSON)", "ipynb": "executed notebook"}


def cite_cell(spec: Artifact, record: dict) -> str:
    """What the figure offers to take along, and how it is cited: the paper, and this page by title and hash."""
    links = " · ".join(f"{{download}}`{title} <downloads/{spec.key}.{kind}>`" for kind, title in FILES.items())
    seal = f", record {record['seal'][:12]}" if record.get("seal") else ""
    year = record["started"][:4]
    return f"""## Take it along

{links}

::::{{admonition}} How to cite this figure
:class: tip

The address of this page, `figures/{spec.key}.html`, stays the same from build to build. The paper is
Yu, Liu, Wang and Chen (2018), [arXiv:1810.00144](https://arxiv.org/abs/1810.00144).

```bibtex
@misc{{{spec.key}-{year},
  title = {{{spec.place}: {spec.title}}},
  howpublished = {{Is this network robust, and why? An executable edition of decision surfaces in input space}},
  note = {{figures/{spec.key}.html, profile {record["profile"]}{seal}}},
  year = {{{year}}}
}}
```
::::
"""


def code_cell(cells: list[dict]) -> str:
    """The code of a page's notebook, folded, for the foot of the page; empty without any."""
    code = ["".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"]
    return "## Code\n\n:::{dropdown} The code of this page\n```python\n" + "\n\n".join(code) + "\n```\n:::\n" if code else ""


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
