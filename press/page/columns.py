"""Markdown tables whose last column is this run's: left out where the book is of the published edition alone."""

OWN = "This run"


class Columns:
    """The lines of a chapter's tables. ``numbers`` has the columns ``paper``, ``published`` and ``value``, and ``alone``."""

    def __init__(self, numbers):
        self.numbers = numbers

    def line(self, *cells: object, run: object) -> str:
        """One line of a table; ``run`` is this run's cell."""
        return line(*cells) if self.numbers.alone else line(*cells, run)

    def head(self, *titles: str) -> str:
        """The two lines that a table begins with; this run's title comes last of itself."""
        return self.line(*titles, run=OWN) + "\n" + self.line(*("---" for _ in titles), run="---")

    def row(self, text: str, artifact: str, *keys: str) -> str:
        """A quantity in the paper, in the published edition and in this run."""
        columns = (self.numbers.paper, self.numbers.published, self.numbers.value)
        paper, published, run = (column(artifact, *keys) for column in columns)
        return self.line(text, paper, published, run=run)


def line(*cells: object) -> str:
    """
    >>> line("a", 1)
    '| a | 1 |'
    """
    return "| " + " | ".join(map(str, cells)) + " |"
