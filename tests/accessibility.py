"""What every screen has to pass: axe in both themes, on a desk and on a phone, and no scrolling sideways."""

from collections.abc import Callable
from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page

Scheme = Literal["light", "dark"]
#: Called with the width and the theme that a screen is shown in.
Look = Callable[[int, Scheme], None]
DESK, PHONE = 1440, 390
#: The narrowest screen, and the narrowest that shows tables, all commands, and the navigation.
NARROW = (320, 641, 901, 1101)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
FITS = "document.documentElement.scrollWidth <= innerWidth"
#: A panel slides in.
SETTLED = """async () => {
    await new Promise(requestAnimationFrame);
    await Promise.allSettled(document.getAnimations().map(one => one.finished));
}"""
#: Colours that change with the theme arrive with the next frames. A rule for everything has the browser work
#: out every style anew, which takes long: it may keep an inherited colour of the theme before.
DRAWN = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    const everything = new CSSStyleSheet();
    everything.replaceSync("* { --drawn: 1; }");
    document.adoptedStyleSheets = [everything];
    await frame();
    document.adoptedStyleSheets = [];
    await frame();
    await frame();
    await new Promise(done => setTimeout(done, 50));
    await Promise.allSettled(document.getAnimations().map(one => one.finished));
}"""
#: What is looked at again in the dark, on the desk: everything else about a page is the same there, and a
#: colour is the same on a phone.
COLORS = {"runOnly": ["color-contrast", "link-in-text-block"]}
RULES: dict[tuple[int, Scheme], dict[str, Any]] = {
    (DESK, "light"): {},
    (PHONE, "light"): {},
    (DESK, "dark"): COLORS,
}
#: Before a dialog or a panel nothing else can be reached; what lies behind is a screen of its own.
RUN = "rules => axe.run(document.querySelector('dialog:modal') ?? document, rules)"


def examine(page: Page, *, look: Look | None = None) -> None:
    """Refuse what axe refuses, and a page wider than the screen; `look` sees each state before that."""
    for frame in page.frames:
        frame.wait_for_load_state()
    page.evaluate(AXE_SCRIPT)
    for scheme in SCHEMES:
        draw(page, scheme)
        for width in (DESK, PHONE):
            options = RULES.get((width, scheme))
            if options is None and look is None:
                continue
            page.set_viewport_size({"width": width, "height": 844})
            page.evaluate(SETTLED)
            if look is not None:
                look(width, scheme)
            if options is not None:
                refuse_violations(page, options)
            assert page.evaluate(FITS), f"wider than {width} px"
    for width in NARROW:
        page.set_viewport_size({"width": width, "height": 640})
        page.evaluate(SETTLED)  # it follows the new width with the next frame
        assert page.evaluate(FITS), f"wider than {width} px"


def draw(page: Page, scheme: Scheme) -> None:
    """Show a page in a theme; return when nothing of another one is left."""
    is_shown = page.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    if not is_shown:
        page.evaluate(DRAWN)


def refuse_violations(page: Page, options: dict[str, Any]) -> None:
    """Run axe, which the page has loaded already."""
    rules = {"resultTypes": ["violations"], **options}
    found = AxeResults(page.evaluate(RUN, rules))
    assert found.violations_count == 0, found.generate_report()
