"""All screens on one picture for each width and theme, for people to look at: `make screenshots`."""

import html
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page

#: How wide a screen is drawn, by its own width.
DRAWN = {1440: 470, 390: 195}
SHEET_WIDTH = 1500
STYLE = """
body { margin: 20px; font: 15px/20px system-ui, sans-serif; background: #e6e6e6; color: #242424; }
main { display: flex; flex-wrap: wrap; gap: 20px; }
figure { margin: 0; } figcaption { inline-size: 0; min-inline-size: 100%; padding: 4px 0; font-weight: 600; }
img { display: block; border: 1px solid #b3b3b3; }
"""


@dataclass
class ContactSheet:
    """Screenshots by width and theme, in the order they were taken."""

    folder: Path
    taken: dict[tuple[int, str], list[tuple[str, Path]]] = field(default_factory=dict)

    def keep(self, page: Page, title: str, *, width: int, scheme: str, pieces: Path) -> None:
        """Take a picture of what the window shows."""
        here = self.taken.setdefault((width, scheme), [])
        picture = pieces / f"{width}-{scheme}-{len(here)}.png"
        page.screenshot(path=picture)
        here.append((title, picture))

    def write(self, browser: Browser) -> None:
        """Write one picture for each width and theme."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for (width, scheme), pictures in self.taken.items():
            figures = "".join(
                f'<figure><img src="{picture.as_uri()}" width="{DRAWN[width]}">'
                f"<figcaption>{html.escape(title.capitalize())}</figcaption></figure>"
                for title, picture in pictures
            )
            source = pictures[0][1].with_name(f"sheet-{width}-{scheme}.html")
            source.write_text(f"<style>{STYLE}</style><main>{figures}</main>", encoding="utf-8")
            page = browser.new_page(viewport={"width": SHEET_WIDTH, "height": 900})
            page.goto(source.as_uri())
            page.screenshot(
                path=self.folder / f"screens-{width}-{scheme}.jpg", full_page=True, type="jpeg", quality=70
            )
            page.close()
