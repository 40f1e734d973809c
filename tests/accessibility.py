"""What every screen has to pass: axe in both themes, on a desk and on a phone, and no scrolling sideways."""

from collections.abc import Callable
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

Scheme = Literal["light", "dark"]
#: Called with the width and the theme that a screen is shown in.
Look = Callable[[int, Scheme], None]
DESK, PHONE = 1440, 390
#: The narrowest screen, and the narrowest that shows tables, all commands, and the navigation.
NARROW = (320, 641, 901, 1101)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
FITS = "document.documentElement.scrollWidth <= innerWidth"
#: Colours that change with the theme arrive with the next frames; a panel slides in. A rule for everything
#: has the browser work out every style anew: it may keep an inherited colour of the theme before.
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
    (DESK, "dark"): COLORS,
    (PHONE, "light"): {},
}
#: Before a dialog or a panel nothing else can be reached; what lies behind is a screen of its own.
MODAL = "dialog:modal"


def examine(page: Page, *, look: Look | None = None) -> None:
    """Refuse what axe refuses, and a page wider than the screen; `look` sees each state before that."""
    for frame in page.frames:
        frame.wait_for_load_state()
    axe = Axe()
    context = MODAL if page.locator(MODAL).count() else None
    for width in (DESK, PHONE):
        page.set_viewport_size({"width": width, "height": 844})
        for scheme in SCHEMES:
            options = RULES.get((width, scheme))
            if options is None and look is None:
                continue
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.evaluate(DRAWN)
            if look is not None:
                look(width, scheme)
            if options is not None:
                found = axe.run(page, context, {"resultTypes": ["violations"], **options})
                assert found.violations_count == 0, found.generate_report()
        assert page.evaluate(FITS)
    for width in NARROW:
        page.set_viewport_size({"width": width, "height": 640})
        assert page.evaluate(FITS), f"wider than {width} px"
