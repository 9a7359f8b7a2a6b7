"""Jinja, strict: what is named must be known."""

import re

import jinja2

from paperlib.refusal import Refusal
from press.plan import settings


class BookError(Refusal):
    """A chapter or page that cannot be built; one sentence or the warnings of the build."""


def filled(text: str, names: dict[str, object], where: str) -> str:
    """A template with its names filled in; BookError says ``where`` one is unknown."""
    loader = jinja2.FileSystemLoader(settings.ROOT / "book" / "figures")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, loader=loader, keep_trailing_newline=True)
    environment.globals |= names
    try:
        return environment.from_string(text).render()
    except jinja2.TemplateSyntaxError as error:
        raise BookError(f"{where}, line {error.lineno}: {error.message}") from error
    except (jinja2.UndefinedError, jinja2.TemplateNotFound, Refusal) as error:
        raise BookError(f"{where}: {error}") from error


def plain(text: object) -> str:
    """What a page did not write itself, such as the name of a data set, as Markdown and HTML show it."""
    return re.sub(r"[^\w\s.,/=()+-]", lambda found: f"&#{ord(found[0])};", " ".join(str(text).split()))
