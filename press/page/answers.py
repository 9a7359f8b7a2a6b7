"""What was found, in words and pictures made of the verdicts: nothing here is typed that a record could change."""

import html
from collections.abc import Mapping

from paperlib.names import METHODS
from paperlib.numbers import leaf_at
from paperlib.refusal import reject
from press.page import dots
from press.page.claims import VERDICTS, papers
from press.page.values import Numbers

# what a claim does, as the end of a sentence whose subject is the claim
DOES = {
    "reproduced": "holds", "partly": "holds in part", "not reproduced": "does not hold",
    "undecided": "is undecided here", "not testable": "cannot be tested as it is stated",
    "not run": "has not been judged in this edition",
}  # fmt: skip
TESTABLE = ("reproduced", "partly", "not reproduced")


def badge(verdict: str) -> str:
    """A verdict as a coloured word."""
    return f'<span class="verdict verdict-{slug(verdict)}">{verdict}</span>'


def slug(verdict: str) -> str:
    """
    >>> slug("not run")
    'not-run'
    """
    return verdict.replace(" ", "-")


def verdict_of(claim: dict, *, edition: str = "") -> str:
    """The verdict of the published edition, or this run's where the edition has not judged the claim; of one of the two
    where ``edition`` is ``published`` or ``run``."""
    order = (edition,) if edition else ("published", "run")
    found = [claim["verdicts"].get(each, {}).get("verdict", "not run") for each in order]
    return next((verdict for verdict in found if verdict != "not run"), "not run")


def helpers(claims: list[dict], *, edition: str = "") -> dict[str, object]:
    """What chapters and words may ask about claims by their id: ``holds``, ``claim``, ``verdict``, ``rule``; and of all of
    the paper's ``verdicts`` and ``counted``. ``edition`` as in ``verdict_of``."""
    known = {claim["id"]: claim for claim in claims}

    def of(name: str) -> dict:
        reject(name not in known, f"there is no claim {name!r}; allowed are {', '.join(known)}")
        return known[name]

    def verdict(name: str) -> str:
        return verdict_of(of(name), edition=edition)

    def linked(name: str, words: str = "") -> str:
        """A link to a claim with its verdict; its own words unless others are given."""
        return f"[{words or of(name)['claim']}](claim-{name}) {badge(verdict(name))}"

    def holds(name: str) -> str:
        """``[does not hold](claim-x)``: what a claim does, linked to its rule."""
        return f"[{DOES[verdict(name)]}](claim-{name})"

    def counted(*which: str) -> int:
        return sum(verdict_of(claim) in which for claim in papers(claims))

    return {
        "verdict": verdict, "claim": linked, "holds": holds, "counted": counted, "TESTABLE": TESTABLE,
        "verdicts": lambda: picture(papers(claims)), "measured": measured, "rule": lambda name: of(name)["rule"],
    }  # fmt: skip


def picture(claims: list[dict]) -> str:
    """All claims as squares: a row a section of the paper, a column a verdict, each square a link; as HTML.

    A row's first number is the section; colour and column say the same, and each square names its claim.
    """
    sections = list(dict.fromkeys(claim["section"] for claim in claims))
    used = [verdict for verdict in VERDICTS if any(verdict_of(claim) == verdict for claim in claims)]
    head = "".join(
        f'<th scope="col">{badge(verdict)}<br/><b>{sum(verdict_of(claim) == verdict for claim in claims)}</b></th>'
        for verdict in used
    )
    rows = []
    for section in sections:
        own = [claim for claim in claims if claim["section"] == section]
        cells = "".join(f"<td>{''.join(_square(c) for c in own if verdict_of(c) == verdict)}</td>" for verdict in used)
        rows.append(f'<tr><th scope="row">{html.escape(section)}</th>{cells}</tr>')
    return (
        f'<div class="verdicts"><table>\n<thead><tr><th scope="col">Section</th>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _square(claim: dict) -> str:
    verdict = verdict_of(claim)
    words = html.escape(f"{claim['claim']}: {verdict}", quote=True)
    return (
        f'<a class="square verdict-{slug(verdict)}" href="claims.html#claim-{claim["id"]}" title="{words}" '
        f'aria-label="{words}"></a>'
    )


def measured(claim: dict) -> str:
    """The numbers that a claim shows as a picture; as words where there are no numbers to draw."""
    lines = [dots.Line(name, leaves) for name, leaves in claim.get("leaves", {}).items()]
    editions = [found for found in claim["verdicts"].values() if found.get("ours")]
    return dots.picture(lines) or "\n\n".join(found["ours"] for found in editions)


def compared(numbers: Numbers, *rows: tuple[str, ...], title: str = "") -> str:
    """Quantities in the paper, in the published edition and in this run as a picture; a row: words, artifact, keys."""
    columns = {"paper": numbers.stated, "published": numbers.edition} | ({} if numbers.alone else {"run": numbers.here})
    lines = [
        dots.Line(words, {name: leaf_at(of.get(artifact, {}), keys) for name, of in columns.items()})
        for words, artifact, *keys in rows
    ]
    return dots.picture(lines, title=title)


def headline(numbers: Numbers, artifact: str, title: str, place: str = "@1") -> str:
    """A table of the paper as a picture: the paper's accuracies under BIM, the edition's, and its worst case."""
    stated, own = numbers.stated.get(artifact, {}), numbers.edition.get(artifact, {})
    lines = [
        dots.Line(name.label, {
            "paper": leaf_at(stated, [method, "bim", place]), "published": leaf_at(own, [method, "bim", place]),
            "worst": leaf_at(own, [method, "worst", place]),
        })
        for method, name in METHODS.items()
    ]  # fmt: skip
    named: Mapping[str, str] = {
        **dots.SERIES, "paper": "Paper, BIM", "published": "here, BIM", "worst": "here, strongest attack",
    }  # fmt: skip
    return dots.picture(lines, title=title, names=named)
