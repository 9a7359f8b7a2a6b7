"""How the staged pages read: few numbers in a paragraph, words instead of keys, an answer at the beginning."""

import re

import pytest

from press.page import drawn, figures, site
from press.page.values import Numbers
from press.plan import experiments, settings

MOST = 3
# names, units and conditions that hold a digit and are no measured number
NAMES = (
    r"\bA\.\d", r"\b(Figs?|Tables?|Sec|Eq|Formula|Appendix|chapter|section|Python|image)\.? ?[\d.]+((–|, | and | to )\d+)*",
    r"\b(ResNet|CIFAR|MNIST|PGD|VGG|softplus|h|x)-\d+", r"\bl[12]\b", r"\b(19|20)\d\d\b", r"95 %( interval)?",
    r"S\(?x?\)? [=<>≥≤] 0", r"\[0, 1\]", r"arXiv:[\d.]+", r"10\.48550\S*", r"\bp = \S+", r"0 to 255|\b1 of 255",
    r"κ = [^=]*\^\(3/2\)", r"\b[a-zα-ω]_?\d\b", r"==[\d.]+", r"(?m)^\d+\. ", r"α = 0",
)  # fmt: skip
NUMBER = r"(?<![\w.])[-−+]?\d[\d.,]*\d|(?<![\w.])[-−+]?\d"


def numbers_of(paragraph: str) -> list[str]:
    """The measured numbers of a paragraph; an interval belongs to its number."""
    text = re.sub(r"(?s)\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\{[a-z:]+\}|<[^>]*>|\]\([^)]*\)", " ", paragraph)
    text = re.sub(r"\[-?[\d.e-]+, -?[\d.e-]+\]", " ", re.sub(r"(\d)/255", r"\1", text))
    for name in NAMES:
        text = re.sub(name, " ", text)
    return re.findall(NUMBER, text)


def paragraphs(markdown: str) -> list[str]:
    """Prose alone: no code, tables, pictures, dots, directives or headings; each entry of a list is one."""
    text = re.sub(r"(?sm)^(`{3,}).*?^\1$", "", markdown)
    text = re.sub(r"(?m)^\s*:::.*$", "", text)
    text = re.sub(r"(?s)<figure.*?</figure>|<div class=\"verdicts.*?</div>", "", text)
    found = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.splitlines() if not re.match(r"\s*(\||:::|:\w+:|#|\(\S+\)=)", line)]
        found += re.split(r"(?m)^\s*- ", "\n".join(lines))
    return [each.strip() for each in found if each.strip()]


@pytest.mark.parametrize(("text", "n"), [
    ("It is 98.4 % [97.9, 98.8] of 1,000 images.", 2), ("See Fig. 6, Table 1 and Sec. 3.2 on CIFAR-10 at S = 0.", 0),
    ("From -3.5 to 4, `x = 7`, $y = 8$ and [nine](a9.md).", 2), ("ε = 8/255 in 40 steps", 2),
])  # fmt: skip
def test_numbers_are_counted(text, n):
    assert len(numbers_of(text)) == n


def chapters(folder) -> dict[str, str]:
    numbers = Numbers("paper", alone=True)
    return {path.name: site.rendered(path, numbers, folder) for path in sorted((settings.ROOT / "book").glob("*.md"))}


def pages(folder) -> dict[str, str]:
    """The words of every figure's page of the published edition."""
    numbers = Numbers("paper", alone=True)
    found = {key: figures.said_of(drawn.spec_of(key), numbers.folder / "results", numbers) for key in numbers.edition}
    return {key: "\n\n".join((said.question, said.answer, said.reading, said.rest)) for key, said in found.items()}


@pytest.mark.parametrize("staged", [chapters, pages])
def test_no_paragraph_carries_more_than_three_numbers(staged, tmp_path):
    many = {
        f"{name}: {paragraph[:70]}": numbers_of(paragraph)
        for name, text in staged(tmp_path).items() for paragraph in paragraphs(text) if len(numbers_of(paragraph)) > MOST
    }  # fmt: skip
    assert many == {}


def test_every_figure_s_page_opens_with_its_answer_and_links_claims():
    numbers = Numbers("paper", alone=True)
    for key in numbers.edition:
        said = figures.said_of(drawn.spec_of(key), numbers.folder / "results", numbers)
        assert said.answer.startswith("**Answer.**") and said.question.endswith(("?", ".")), key
        assert said.reading.startswith("**How to read it.**"), key
        assert "](claim-" in said.answer or "<figure" in said.rest, key
    assert set(numbers.edition) == experiments.load()["artifacts"].keys()
