"""The console's icons: one drawing file, inlined where it is shown.

An inlined icon needs no request, follows the text colour and passes a strict content security policy.
"""

import re
from functools import cache
from pathlib import Path

from django.utils.safestring import SafeString, mark_safe

from emailsync.web.html import fill

DRAWINGS = Path(__file__).with_name("icons.svg")


@cache
def symbols() -> dict[str, str]:
    """Return the drawing of each icon by its name."""
    found = re.findall(r'<symbol id="([^"]+)"[^>]*>(.*?)</symbol>', DRAWINGS.read_text(encoding="utf-8"))
    return dict(found)


@cache
def draw(name: str, size: str = "", classes: str = "") -> SafeString:
    """Return the icon `name` as markup; the word beside it carries the meaning."""
    css = " ".join(part for part in ("icon", size, classes) if part)
    drawing = mark_safe(symbols()[name])  # noqa: S308 - our own file, not a visitor's text
    return fill('<svg class="{}" viewBox="0 0 20 20" aria-hidden="true">{}</svg>', css, drawing)
