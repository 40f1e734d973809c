"""HTML of strangers, made harmless enough to show.

Three walls stand between a message and its reader, each sufficient against script by itself:

1. What this module returns holds no script, no event handler, no form, no frame, no style sheet and no
   address that a browser would load: only formatting, links and pictures that came with the message.
2. It is served as a document of its own with a policy that allows no source but `data:` pictures; pictures
   on other servers too, when the reader asks for them.
3. It stands in a frame whose sandbox knows neither scripts nor this console's origin.

Links are kept (http, https, mailto); they open in a tab of their own that knows nothing of this page.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import nh3


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


TAGS = _names(
    """
    a abbr address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd
    del dfn div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main
    mark nav ol p pre q s samp section small span strike strong sub sup table tbody td tfoot th thead tr
    tt u ul var wbr
    """
)
#: These go with everything inside them; other unknown elements leave their text behind.
DROPPED_WITH_CONTENT = _names(
    """
    frameset iframe math noembed noframes noscript plaintext script style svg template textarea title
    xmp
    """
)
ATTRIBUTES = {
    "*": frozenset({"align", "bgcolor", "dir", "height", "lang", "style", "title", "valign", "width"}),
    "a": frozenset({"href"}),
    "col": frozenset({"span"}),
    "colgroup": frozenset({"span"}),
    "font": frozenset({"color", "face", "size"}),
    "img": frozenset({"alt", "border", "hspace", "src", "vspace"}),
    "li": frozenset({"value"}),
    "ol": frozenset({"start", "type"}),
    "table": frozenset({"border", "cellpadding", "cellspacing"}),
    "td": frozenset({"colspan", "nowrap", "rowspan"}),
    "th": frozenset({"colspan", "nowrap", "rowspan", "scope"}),
    "ul": frozenset({"type"}),
}
#: No property that can load anything or leave the flow of the text (`background`, `content`, `position`).
STYLE_PROPERTIES = _names(
    """
    background-color border border-bottom border-collapse border-color border-left border-radius
    border-right border-spacing border-style border-top border-width color direction display font font-family
    font-size font-style font-variant font-weight height letter-spacing line-height list-style-type
    margin margin-bottom margin-left margin-right margin-top max-height max-width min-height min-width
    padding padding-bottom padding-left padding-right padding-top text-align text-decoration text-indent
    text-transform vertical-align white-space width word-break word-spacing word-wrap
    """
)
URL_SCHEMES = frozenset({"http", "https", "mailto", "data"})
#: Attributes that secure frames take out: what leads away, and what decides how it looks.
RESTRICTED = _names("href style bgcolor color face size")
#: Raster pictures only: an SVG is a document, and a browser's other decoders are rarely tried.
IMAGE_TYPES = _names("image/png image/jpeg image/jpg image/pjpeg image/gif image/webp image/bmp")
LONGEST_HTML = 2_000_000
#: The parser's time grows with the square of the depth: a megabyte of `<div>` would take minutes.
DEEPEST_NESTING = 3_000
#: Void elements, and those that a sibling closes, nest nothing however often they stand unclosed.
FLAT = _names(
    """
    area base body br col dd dt embed head hr html img input li link meta p param source tbody td tfoot
    th thead tr track wbr
    """
)
#: Whatever closes around these while they are unclosed, the parser opens them anew for all that follows.
FORMATTING = _names("a b big code em font i nobr s small strike strong tt u")
#: Of these the next one closes the one before.
ONE_AT_A_TIME = _names("a nobr")
#: As many alike are opened anew at most.
MOST_ALIKE = 3
#: What may be opened anew at all tags together, in bytes with what an element takes beside its text. A few
#: kilobytes of `<p><b title=1><b title=2>…</p><p></p><p></p>…` would take all memory.
MOST_OPENED_ANEW = 40_000_000
ELEMENT = 100
#: The parser's time grows with the square of the number of attributes of one tag too.
MOST_ATTRIBUTES = 2_000
TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)([^>]*)")
QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")


@dataclass(frozen=True)
class SafeHtml:
    """A fragment that is safe inside its frame, and what was left out of it."""

    html: str
    #: Pictures on other servers: loading one would tell the sender that the message was opened.
    blocked_images: int
    is_cut: bool
    #: Secure frames are on: styles and links were taken out too.
    is_restricted: bool = False


def referenced_images(html: str) -> frozenset[str]:
    """Return the Content-IDs, lower-case and without brackets, of the pictures that `html` shows."""
    found: set[str] = set()

    def note(tag: str, attribute: str, value: str) -> str | None:
        if tag == "img" and attribute == "src" and _scheme(value) == "cid":
            found.add(content_id(value.strip()[4:]))
        return None

    _clean(html[: _safe_length(html)], keep=note, schemes=URL_SCHEMES | {"cid"})
    return frozenset(found)


def content_id(text: str) -> str:
    """Return a Content-ID as it is compared: without brackets, percent-encoding and case (RFC 2392)."""
    return unquote(text).strip().strip("<>").casefold()


def sanitize(
    html: str, *, inline_images: Mapping[str, str], remote_images: bool = False, restricted: bool = False
) -> SafeHtml:
    """Return what may be shown of `html`; `inline_images` holds a `data:` address for each Content-ID.

    With `remote_images`, pictures on other servers stay: the reader asked for them. What is `restricted`
    ("Use secure frames") has no such pictures in any case, no styles, and text where its links were.
    """
    blocked = 0

    def keep(tag: str, attribute: str, value: str) -> str | None:
        nonlocal blocked
        if tag == "img" and attribute == "src":
            scheme = _scheme(value)
            if scheme == "cid":
                return inline_images.get(content_id(value.strip()[4:]))
            if scheme == "data" and value.strip()[5:].partition(";")[0].casefold() in IMAGE_TYPES:
                return value.strip()
            if remote_images and not restricted and scheme in {"http", "https"}:
                return value.strip()
            blocked += 1
            return None
        leads_nowhere = attribute == "href" and _scheme(value) not in {"http", "https", "mailto"}
        return None if leads_nowhere or (restricted and attribute in RESTRICTED) else value

    length = _safe_length(html)
    shown = _clean(html[:length], keep=keep, schemes=URL_SCHEMES | {"cid"}, opens_links=not restricted)
    return SafeHtml(html=shown, blocked_images=blocked, is_cut=length < len(html), is_restricted=restricted)


def _safe_length(html: str) -> int:
    """Return how much of `html` can be parsed in good time and little memory."""
    depth, opened_anew, unclosed = 0, 0, Unclosed()
    for tag in TAG.finditer(html, 0, LONGEST_HTML):
        closing, name, rest = tag.group(1), tag.group(2).lower(), tag.group(3)
        opened_anew += unclosed.weight
        if opened_anew > MOST_OPENED_ANEW or _has_too_many_attributes(rest):
            return tag.start()
        if name in FLAT:
            continue
        depth += unclosed.close(name) if closing else unclosed.open(name, rest)
        if depth > DEEPEST_NESTING:
            return tag.start()
    return min(len(html), LONGEST_HTML)


class Unclosed:
    """Keep the elements that were not closed yet, and what those for formatting weigh."""

    def __init__(self) -> None:
        self.weight = 0
        self._tags: dict[str, list[str]] = defaultdict(list)
        self._alike = Counter[str]()

    def open(self, name: str, rest: str) -> int:
        """Note a tag and return by how much it nests deeper."""
        deeper = 1 + (self.close(name) if name in ONE_AT_A_TIME else 0)
        counted = f"{name}{rest}" if name in FORMATTING else ""
        if self._alike[counted] == MOST_ALIKE:
            counted = ""
        if counted:
            self._alike[counted] += 1
            self.weight += ELEMENT + len(counted)
        self._tags[name].append(counted)
        return deeper

    def close(self, name: str) -> int:
        """Note a closing tag and return by how much it nests deeper."""
        if not self._tags.get(name):
            return 0
        if counted := self._tags[name].pop():
            self._alike[counted] -= 1
            self.weight -= ELEMENT + len(counted)
        return -1


def _has_too_many_attributes(rest: str) -> bool:
    if len(rest) <= 2 * MOST_ATTRIBUTES:
        return False
    return len(QUOTED.sub("", rest).replace("/", " ").split()) > MOST_ATTRIBUTES


def _scheme(address: str) -> str:
    return address.strip().partition(":")[0].casefold()


def _clean(
    html: str,
    *,
    keep: Callable[[str, str, str], str | None],
    schemes: frozenset[str],
    opens_links: bool = True,
) -> str:
    return nh3.clean(
        html,
        tags=set(TAGS),
        clean_content_tags=set(DROPPED_WITH_CONTENT),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        attribute_filter=keep,
        filter_style_properties=set(STYLE_PROPERTIES),
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}} if opens_links else {},
        url_schemes=set(schemes),
        url_relative="deny",
    )
