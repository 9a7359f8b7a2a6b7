"""The page of a report, drawn again from its record."""

import json

from paperlib.record import Record


def facts(record: Record) -> dict[str, object]:
    """What the words of the page may name besides the parameters."""
    return {"n": record.parameters["images"], "size": record.size(record.parameters["eps"])}


def whole(record: Record) -> dict:
    """All that the report says, of which the record's values are a part; empty where its arrays lack it."""
    return json.loads(str(record.arrays["report"])) if "report" in record.arrays else {}


def pictures(record: Record) -> dict[str, dict]:
    """The arrays behind surfaces and images, by the image's role and their name."""
    found: dict[str, dict] = {}
    for name, array in record.arrays.items():
        role, _, part = name.partition("/")
        if part:
            found.setdefault(role, {})[part] = array
    return found


def page(record: Record) -> str:
    """The report's page to stand in a notebook; empty where the record does not hold the whole report."""
    # late, for the science does without the report
    from paperlib.reporting import page

    values = whole(record)
    return page.fragment(values, pictures(record)) if values else ""
