"""What a notebook's cell shows, as Markdown of a page: pictures as files with words for those who do not see them."""

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from paperlib.names import DARK_PICTURE
from paperlib.refusal import Refusal

IMAGE, BOX = ":::{image}", "::::{div}"


class PictureError(Refusal):
    """A picture without words that say what it shows."""


@dataclass
class Pictures:
    """Writes a page's pictures into ``folder`` under numbered names, which stay from build to build."""

    folder: Path
    name: str
    count: int = field(default=0, init=False)

    def markdown(self, cell: dict) -> str:
        """All that a cell of a notebook shows; empty for one that shows nothing. Several pictures stand in columns."""
        outputs = cell.get("outputs", [])
        parts = [part for part in map(self._output, outputs) if part]
        several = sum("image/png" in output.get("data", {}) for output in outputs) > 1
        whole = "\n\n".join(parts)
        if not parts or not parts[0].startswith(IMAGE):
            return whole
        return f"{BOX} {'pictures' if several else 'scroll'}\n{whole}\n::::"

    def _output(self, output: dict) -> str:
        data = {kind: _text(content) for kind, content in output.get("data", {}).items()}
        if "image/png" in data:
            return self._picture(data, output.get("metadata", {}).get("image/png", {}).get("alt", ""))
        if "text/html" in data:
            return raw(data["text/html"])
        said = _text(output.get("text", "")) or data.get("text/plain", "")
        return f"``````text\n{said.rstrip()}\n``````" if said.strip() else ""

    def _picture(self, data: dict[str, str], alt: str) -> str:
        self.count += 1
        name = f"{self.name}-{self.count}"
        if len(alt.split()) < 3:
            raise PictureError(f"picture {self.count} of {self.name} has the words {alt!r}; needed is what it shows")
        self.folder.mkdir(parents=True, exist_ok=True)
        looks = {"": data["image/png"]} | ({"-dark": data[DARK_PICTURE]} if DARK_PICTURE in data else {})
        parts = []
        for look, content in looks.items():
            (self.folder / f"{name}{look}.png").write_bytes(base64.b64decode(content))
            kind = "only-dark" if look else "only-light" if DARK_PICTURE in data else "plain"
            parts.append(image(f"{self.folder.name}/{name}{look}.png", alt, f"picture {kind}"))
        return "\n\n".join(parts)


def image(path: str, alt: str, classes: str) -> str:
    """A picture as a directive; loaded when it comes into view."""
    return f"{IMAGE} {path}\n:alt: {json.dumps(alt, ensure_ascii=False)}\n:class: {classes}\n:loading: lazy\n:::"


def raw(text: str) -> str:
    """HTML as it is; a long fence, for there may be code in it."""
    return f"``````{{raw}} html\n{text.strip()}\n``````"


def _text(content: str | list[str]) -> str:
    return "".join(content) if isinstance(content, list) else content if isinstance(content, str) else ""


def plain(markdown: str) -> str:
    """Markdown without its marks, as one line: links by their words, no code, mathematics or HTML.

    >>> plain("**Is** [it](x.md) `so`?\\nYes <b>it</b> is.")
    'Is it so? Yes it is.'
    """
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"<[^>]*>|[`*_]", "", text)
    return re.sub(r"\s+", " ", text).strip()
