// The whole hand-written script: everything works without it except what carries class "jsonly".
(() => {
  const root = document.documentElement, KEY = "theme", SAID = "said", JOB = "job";
  let said = null;
  root.classList.add("js");
  try { const t = localStorage.getItem(KEY); if (t) root.dataset.theme = t; } catch { /* private mode */ }
  try {                                                                     // the server shows times in this zone
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone) document.cookie = `zone=${zone}; path=/; max-age=31536000; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}`;
  } catch { /* the server shows UTC */ }

  const word = new Proxy({}, { get: (_, name) => document.getElementById("script-words")?.dataset[name] ?? "" });   // translated, in the page

  // A form in parts: the tabs show one of them, the first that is wrong when the form was refused. Without script all stand below each other.
  const showPart = shown => {
    const form = shown.closest("form");
    form.dataset.part = shown.id;
    form.querySelectorAll("[data-section]").forEach(p => { p.hidden = p !== shown; });
    document.querySelectorAll('.tabs a[href*="#"]').forEach(a => { a.hash === `#${shown.id}` ? a.setAttribute("aria-current", "page") : a.removeAttribute("aria-current"); });
  };
  const syncParts = form => {
    const parts = [...form.querySelectorAll("[data-section]")], named = parts.find(p => `#${p.id}` === location.hash);
    showPart(parts.find(p => p.querySelector('[aria-invalid="true"], .theirs')) ?? named ?? parts[0]);
  };

  addEventListener("hashchange", () => {
    const part = document.getElementById(location.hash.slice(1));
    if (part?.matches("[data-section]")) showPart(part);
  });

  const adopt = scope => {                                                  // runs on load and after every swap
    scope.querySelectorAll('dialog[data-modal=""]').forEach(d => { d.dataset.modal = "shown"; d.removeAttribute("open"); d.showModal();
      if (!d.querySelector("[autofocus], [data-focus]")) (d.querySelector(".body :is(input, select, textarea):not([type=hidden], :disabled)") ?? d.querySelector("footer .btn:not(.danger)"))?.focus();
    });
    scope.querySelectorAll('details:not([open]):has([aria-invalid="true"], .theirs)').forEach(d => { d.open = true; });
    const to = scope.querySelector("[data-focus]");                         // e.g. the error summary of a form
    if (to) { to.removeAttribute("data-focus"); to.focus(); }
    scope.querySelectorAll("[data-grid]").forEach(syncGrid);
    scope.querySelectorAll("form:not([data-part]):has([data-section])").forEach(syncParts);
    scope.querySelectorAll(".toasts .toast:not([data-timed])").forEach(time);
    scope.querySelectorAll(".tabs > [aria-current]").forEach(reach);
  };
  const reach = tab => {                                                    // a phone shows some of the tabs: the present one among them
    const row = tab.parentElement, [at, within] = [tab.getBoundingClientRect(), row.getBoundingClientRect()];
    if (at.left < within.left || at.right > within.right) row.scrollLeft += at.left + at.width / 2 - within.left - within.width / 2;
  };
  const syncGrid = grid => {
    const rows = [...grid.querySelectorAll(".rowcheck")], on = rows.filter(r => r.checked), all = grid.querySelector("[data-all]");
    const beyond = grid.querySelector("[data-everything] [name=all]"), number = beyond ? +beyond.dataset.total : on.length;
    if (beyond) rows.forEach(r => { r.disabled = false; });                 // without script all stays all: with it, unticking one ends it
    if (all) { all.checked = rows.length > 0 && on.length === rows.length; all.indeterminate = on.length > 0 && !all.checked; }
    grid.querySelectorAll("[data-offer]").forEach(b => b.toggleAttribute("data-on", all?.checked));
    grid.querySelectorAll("[data-needs-rows]").forEach(b => {               // data-needs-rows="1": exactly one
      const one = b.dataset.needsRows === "1";
      b.disabled = one ? number !== 1 : number === 0;
      if (b.disabled && b === document.activeElement) b.closest('[role="toolbar"]')?.querySelector(".btn:not(:disabled)")?.focus({ preventScroll: true });
    });
    const sel = grid.querySelector("[data-selection]");
    const count = sel?.querySelector("[data-count]"), words = number.toLocaleString(root.lang);
    if (sel) sel.hidden = number === 0;
    if (count && count.textContent !== words) count.textContent = words;    // unequal only: the observer below would loop
  };
  const leaveEverything = grid => grid.querySelectorAll("[data-everything]").forEach(b => b.remove());
  const dirty = form => !!form.querySelector("#form-errors:not([data-kept]), [data-said]") || [...form.elements].some(e => e.type === "hidden" ? false
    : e.type === "checkbox" || e.type === "radio" ? e.checked !== e.defaultChecked
    : e.options ? e.selectedIndex !== Math.max([...e.options].findIndex(o => o.defaultSelected), 0)
    : "defaultValue" in e && e.value !== e.defaultValue);
  const icon = name => document.querySelector("#toast-icons")?.content.querySelector(`[data-intent="${name}"]`)?.firstElementChild.cloneNode(true) ?? "";
  const time = box => { box.dataset.timed = ""; if (box.dataset.intent !== "error") setTimeout(() => { if (!box.querySelector(".htmx-request")) box.remove(); }, 7000); };
  const form = ({ title, url, fields }) => {                                // Undo: what was done is taken back by another command
    const made = document.createElement("form"), b = document.createElement("button");
    const token = document.querySelector("[name=csrfmiddlewaretoken]")?.value;
    for (const [name, value] of Object.entries({ ...fields, csrfmiddlewaretoken: token })) made.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    Object.assign(b, { className: "btn small", textContent: title }); b.dataset.undo = "";
    Object.assign(made, { method: "post", action: url });
    for (const [name, value] of [["hx-post", url], ["hx-target", "#dialogs"], ["hx-swap", "innerHTML"]]) made.setAttribute(name, value);
    made.append(b);
    return made;
  };
  const toast = ({ title = "", text = "", intent = "success", link, undo } = {}) => {
    const box = document.createElement("div"), b = document.createElement("b"), p = document.createElement("p"), x = document.createElement("button");
    box.className = "toast"; box.dataset.intent = intent;
    b.textContent = title; p.textContent = text;
    Object.assign(x, { type: "button", className: "btn subtle iconly small", ariaLabel: word.dismiss }); x.dataset.dismiss = ""; x.append(icon("close"));
    if (link) { const a = document.createElement("a"); a.href = link.url; a.textContent = link.text; p.append(" ", a); }
    box.append(icon(intent), b, x); if (p.textContent) box.append(p);
    if (undo) box.append(form(undo));
    document.getElementById("toasts")?.append(box);
    if (undo) htmx.process(box);
    time(box);
  };
  const bar = (form, intent, title, text, link) => {                        // a message bar in the form it is about
    const box = document.createElement("div"), div = document.createElement("div"), b = document.createElement("b");
    box.className = "msg"; box.dataset.intent = intent; box.dataset.said = ""; box.tabIndex = -1; box.setAttribute("role", "alert");
    b.textContent = title; div.append(b, ` ${text} `);
    if (link) { const a = document.createElement("a"); a.href = link.url; a.target = "_blank"; a.textContent = link.text; div.append(a); }
    box.append(icon(intent), div);
    form.querySelectorAll("[data-said]").forEach(old => old.remove());
    (form.querySelector(":scope > .body") ?? form).prepend(box);
    box.focus(); box.scrollIntoView({ block: "nearest" });
  };
  const formOf = e => { const f = e.target?.closest?.("form"); return f && f.method !== "get" && (f.closest("dialog") || f.matches("[data-guard]")) ? f : null; };
  const renew = form => {                                                   // the form's token follows the cookie: signing in again changes it
    const cookie = document.cookie.split("; ").find(c => c.startsWith("csrftoken="))?.slice(10);
    if (cookie) form.querySelectorAll("[name=csrfmiddlewaretoken]").forEach(i => { i.value = cookie; });
  };

  document.addEventListener("DOMContentLoaded", () => {
    adopt(document);
    try { const kept = JSON.parse(sessionStorage.getItem(SAID)); sessionStorage.removeItem(SAID); if (kept) toast(kept); } catch { /* private mode */ }
    new MutationObserver(list => { if (list.some(m => m.addedNodes.length)) adopt(document); }).observe(document.body, { childList: true, subtree: true });
  });

  document.addEventListener("change", e => {
    const grid = e.target.closest("[data-grid]");
    if (!grid) return;
    if (e.target.matches(".rowcheck, [data-all]") && !e.target.checked) leaveEverything(grid);
    if (e.target.matches("[data-all]")) grid.querySelectorAll(".rowcheck").forEach(r => { r.checked = e.target.checked; });
    syncGrid(grid);
  });
  const note = form => {
    const out = form?.matches("[data-guard]") && form.querySelector("[data-dirty]");
    if (out) out.textContent = dirty(form) ? word.unsaved : "";
  };
  document.addEventListener("input", e => note(e.target.form));
  document.addEventListener("reset", e => setTimeout(() => note(e.target)));
  document.addEventListener("submit", e => { if (e.target.method === "post") { renew(e.target); e.target.dataset.sent = ""; } }, true);
  addEventListener("beforeunload", e => {                                   // leaving a page with unsaved changes asks first
    if ([...document.querySelectorAll("form[data-guard]:not([data-sent])")].some(dirty)) e.preventDefault();
  });
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach(f => { delete f.dataset.sent; }));

  let last = null;                                                          // Shift+click selects a range
  document.addEventListener("click", e => {
    const t = e.target, row = t.closest(".rowcheck");
    if (row) {
      const rows = [...row.closest("[data-grid]").querySelectorAll(".rowcheck")];
      if (e.shiftKey && rows.includes(last)) {
        const [a, b] = [rows.indexOf(last), rows.indexOf(row)].sort((x, y) => x - y);
        rows.slice(a, b + 1).forEach(r => { r.checked = row.checked; });
        syncGrid(row.closest("[data-grid]"));
      }
      last = row;
    }
    if (t.closest("[data-clear]")) { const g = t.closest("[data-grid]"); leaveEverything(g); g.querySelectorAll(".rowcheck").forEach(r => { r.checked = false; }); syncGrid(g); g.querySelector("[data-all]")?.focus(); }
    if (t.closest("dialog:modal button[data-close]")) { e.preventDefault(); t.closest("dialog").close(); }    // htmx keeps the button's own submit from closing it
    if (t.closest("[data-undo]")) setTimeout(() => { t.closest(".toast").hidden = true; });     // not removed: the answer's events start from its form
    if (t.closest("[data-dismiss]")) t.closest(".toast").remove();
    if (t.closest("[data-back]")) history.length > 1 ? history.back() : location.assign("/");
    const jump = t.closest('.msg a[href^="#"]'), field = jump && document.getElementById(jump.hash.slice(1));
    const part = t.closest('.tabs a[href*="#"]') && document.getElementById(t.closest("a").hash.slice(1));
    if (part?.matches("[data-section]")) { showPart(part); history.replaceState(null, "", `#${part.id}`); e.preventDefault(); }
    if (field) {                                                            // from the error summary into the field
      if (field.closest("[data-section]")) showPart(field.closest("[data-section]"));
      for (let d = field.closest("details"); d; d = d.parentElement.closest("details")) d.open = true;
      (field.matches("fieldset") ? field.querySelector("input") : field).focus(); e.preventDefault();
    }
    const eye = t.closest("[data-reveal]");
    if (eye) { const f = document.getElementById(eye.dataset.reveal), show = f.type === "password"; f.type = show ? "text" : "password"; eye.ariaPressed = show; }
    if (t.closest("[data-theme-toggle]")) {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem(KEY, root.dataset.theme); } catch { /* private mode */ }
    }
    const menu = t.closest("[popover].menu :is(a, .btn)")?.closest("[popover]");
    if (menu) setTimeout(() => { if (menu.isConnected) menu.hidePopover(); });   // later: hidden at once, htmx would forget which button sent the form
    const opener = t.closest("[command][commandfor]");                      // browsers without invoker commands
    if (opener && !("commandForElement" in HTMLButtonElement.prototype)) {
      const d = document.getElementById(opener.getAttribute("commandfor"));
      opener.getAttribute("command") === "close" ? d.close() : d.showModal();
    }
  });
  document.addEventListener("keydown", e => {                               // toolbar: arrows, Home, End
    const bar = e.target.closest('[role="toolbar"]');
    if (!bar || e.target.closest("[popover]") || !["ArrowRight", "ArrowLeft", "Home", "End"].includes(e.key)) return;
    const items = [...bar.querySelectorAll(":scope > .btn:not(:disabled), .sel .btn")].filter(b => b.offsetParent);
    const i = items.indexOf(e.target), n = items.length;
    const to = { ArrowRight: (i + 1) % n, ArrowLeft: (i - 1 + n) % n, Home: 0, End: n - 1 }[e.key];
    items[to]?.focus(); e.preventDefault();
  });
  document.addEventListener("cancel", e => {                                // Esc on a changed form asks first
    const form = e.target.matches?.("dialog[data-guard]") && e.target.querySelector("form");
    if (form && dirty(form) && !confirm(word.discard)) e.preventDefault();
  }, true);
  document.addEventListener("close", e => { if (e.target.matches("dialog[data-modal]")) e.target.remove(); }, true);
  document.addEventListener("dialog:close", () => document.querySelectorAll("dialog:modal").forEach(d => d.close()));   // HX-Trigger
  document.addEventListener("toast", e => { said = e.detail; toast(said); });   // HX-Trigger: {"toast": {"title", "text", "intent"}}
  document.addEventListener("records:changed", () => {                      // a page that shows records and does not refresh them itself
    if (document.querySelector('[hx-trigger*="records:changed"]')) return;
    try { sessionStorage.setItem(SAID, JSON.stringify(said)); } catch { /* private mode */ }
    document.querySelectorAll("form[data-guard]").forEach(f => { f.dataset.sent = ""; });
    location.reload();
  });

  // Of two lists asked for in a hurry the last one counts: the page may not show one under the address of another.
  let going = null;
  document.addEventListener("htmx:beforeSend", e => {
    if (e.detail.target?.id !== "list" || !e.detail.elt.hasAttribute("hx-push-url")) return;
    going?.abort();
    going = e.detail.xhr;
  });

  // What somebody opened stays open when its part of the page is drawn anew.
  let opened = [];
  document.addEventListener("htmx:beforeSwap", e => { opened = [...e.detail.target.querySelectorAll("details[id]")].map(d => [d.id, d.open]); });
  document.addEventListener("htmx:afterSwap", () => {
    opened.forEach(([id, open]) => { const d = document.getElementById(id); if (d) d.open = open; });
    opened = [];
  });

  // Who stood on something that is drawn anew stands on it again, or else on what took its place. (htmx itself knows only what has an id.)
  const STOPS = "a[href], button:enabled, summary, .scrollx";
  const words = e => (e.ariaLabel ?? e.textContent).replace(/[\d\s.,]+/g, "");                   // without its count, which may change
  let held = null;
  const hold = e => {
    const on = document.activeElement, { target } = e.detail;
    if (e.type === "htmx:beforeSwap") held = null;
    if (target.id && target.contains(on)) held = { place: target.id, id: on.id, tag: on.tagName, words: words(on), menu: on.getAttribute("popovertarget") };
  };
  const release = () => {
    const place = held && document.activeElement === document.body && document.getElementById(held.place);
    if (!place) return;
    const stops = [...place.querySelectorAll(STOPS)].filter(s => s.checkVisibility()), same = stops.filter(s => s.tagName === held.tag);
    const to = document.getElementById(held.id) ?? same.find(s => held.menu && s.getAttribute("popovertarget") === held.menu) ?? same.find(s => words(s) === held.words)
      ?? place.querySelector(".scrollx, .empty a") ?? stops[0] ?? document.getElementById("main");
    to?.focus({ preventScroll: true });
    held = null;
  };
  for (const name of ["htmx:beforeSwap", "htmx:oobBeforeSwap"]) document.addEventListener(name, hold);
  for (const name of ["htmx:afterSwap", "htmx:oobAfterSwap"]) document.addEventListener(name, release);

  // A refused form comes back without the secrets typed into it: they go from the old fields to the new, in here.
  let secrets = new Map();
  const SECRET = 'input[autocomplete="new-password"]';
  document.addEventListener("htmx:beforeSwap", e => {
    secrets = e.detail.xhr.status === 422 ? new Map([...e.detail.target.querySelectorAll(SECRET)].map(i => [i.id, i.value])) : new Map();
  });
  document.addEventListener("htmx:afterSwap", () => {
    secrets.forEach((value, id) => { const i = document.getElementById(id); if (i?.matches(SECRET) && !i.value) i.value = value; });
    secrets = new Map();
  });

  // What a command was just done with stays ticked for the next one, as far as the list still shows it. "All that
  // match" does not: the rows of one page are not what was meant.
  let ticked = [];
  document.addEventListener("htmx:beforeSwap", e => {
    const { target, requestConfig } = e.detail, isNews = target.id === "list" && requestConfig.triggeringEvent?.type === "records:changed";
    ticked = isNews && !document.querySelector("[data-everything]") ? [...target.querySelectorAll(".rowcheck:checked")].map(r => r.value) : [];
  });
  document.addEventListener("htmx:afterSwap", () => {
    document.querySelectorAll("#list .rowcheck").forEach(r => { r.checked ||= ticked.includes(r.value); });
    if (ticked.length) document.querySelectorAll("[data-grid]").forEach(syncGrid);
    ticked = [];
  });

  // A draft was saved: what was sent counts as unchanged, and files that the server holds leave their control.
  // What kept it from being sent is over with the button; the clock leaves it to whoever is mending it.
  let carried = new Map();
  document.addEventListener("htmx:beforeRequest", e => {
    const form = e.target.closest?.("form") ?? e.target.form;
    if (form?.querySelector("[data-autosave]")) carried = new Map([...form.elements].map(i => [i, i.value]));
  });
  document.addEventListener("draft:saved", e => {
    const form = document.querySelector("form:has([data-autosave])");
    form?.querySelectorAll(":is(input, textarea):not([type=hidden], [type=checkbox])").forEach(i => {
      if (i.type === "file") { if (e.detail.taken.includes(i.name)) i.value = ""; } else if (carried.has(i)) i.defaultValue = carried.get(i);
    });
    form?.querySelectorAll("#form-errors").forEach(box => { box.dataset.kept = ""; });
    if (form && e.target.matches('[value="save"]')) {
      form.querySelectorAll("#form-errors, [data-said], .err").forEach(box => box.remove());
      form.querySelectorAll("[aria-invalid]").forEach(i => i.removeAttribute("aria-invalid"));
    }
    note(form);
  });

  // A job that somebody left running is asked after from the pages that follow; when it ends, they say so once.
  const followed = () => { try { return JSON.parse(sessionStorage.getItem(JOB)); } catch { return null; } };
  const follow = () => {
    const job = document.getElementById("job"), { pathname } = location;
    try {
      if (job?.hasAttribute("hx-get")) sessionStorage.setItem(JOB, JSON.stringify({ url: job.getAttribute("hx-get"), page: pathname, title: document.querySelector("h1").textContent }));
      else if (job && followed()?.page === pathname) sessionStorage.removeItem(JOB);
    } catch { /* private mode */ }
  };
  const askAfter = async () => {
    const kept = followed();
    if (!kept || document.getElementById("job") || !document.getElementById("toasts")) return;
    const answer = document.hidden ? null : await fetch(kept.url, { headers: { "HX-Request": "true" } }).catch(() => null);
    const page = new DOMParser().parseFromString(answer?.ok ? await answer.text() : "", "text/html"), job = page.getElementById("job");
    if (job ? job.hasAttribute("hx-get") : !answer || answer.status >= 500) { setTimeout(askAfter, 10_000); return; }
    sessionStorage.removeItem(JOB);
    if (job) toast({ title: kept.title, text: page.getElementById("job-status").textContent, intent: job.dataset.ended, link: { url: kept.page, text: word.job } });
  };
  document.addEventListener("DOMContentLoaded", () => { follow(); setTimeout(askAfter, 1000); });
  document.addEventListener("htmx:afterSwap", follow);

  // What the server could not do, said where it was asked for. Nothing typed is lost.
  document.addEventListener("session:ended", e => {
    const form = formOf(e);
    if (form) bar(form, "warning", word.ended, word.kept, { url: e.detail.url, text: word.signin });
    else location.assign(e.detail.url);
  });
  document.addEventListener("form:expired", e => {
    const form = e.target.closest?.("form");
    if (!form) { toast({ title: word.expired, text: word.reload, intent: "error" }); return; }
    form.querySelectorAll("[name=csrfmiddlewaretoken]").forEach(i => { i.value = e.detail.token; });
    bar(form, "warning", word.renewed, word.again);
  });
  const failed = (e, title, text) => {
    const form = formOf(e), polling = e.target?.getAttribute?.("hx-trigger")?.includes("every");
    if (polling) return;                                                    // the next round asks again
    if (form) bar(form, "error", title, text);
    else toast({ title, text, intent: "error" });
  };
  document.addEventListener("server:failed", e => failed(e, e.detail.title, e.detail.text));   // HX-Trigger
  document.addEventListener("htmx:beforeRequest", e => {                    // nobody looks, or somebody types a search: ask next time
    if (!e.target.getAttribute?.("hx-trigger")?.includes("every")) return;
    if (e.target.matches("[data-autosave]") && !dirty(e.target.closest("form"))) { e.preventDefault(); return; }
    if (document.querySelector(".rowcheck:checked, .filterbox:popover-open") && e.target.id === "news") { e.preventDefault(); return; }   // hands are on the list
    const on = document.activeElement, typing = on?.matches('[type="search"]') && on.value !== on.defaultValue;
    const gentle = e.target.matches("[data-gentle]") && !e.detail.requestConfig.triggeringEvent;   // news wait while somebody reads or uses what it replaces
    const used = gentle && (e.target.contains(on) || !e.target.dataset.gentle && e.target.querySelector("details[open], [popover]:popover-open"));
    if (document.hidden || typing || used) e.preventDefault();
  });
  document.addEventListener("htmx:responseError", e => {
    const { status } = e.detail.xhr, ref = e.detail.xhr.getResponseHeader("X-Reference"), end = ref ? ` ${word.reference} ${ref}.` : "";
    if (e.detail.xhr.getResponseHeader("HX-Trigger")) return;               // said above
    if (status === 403) failed(e, word.forbidden, word.ask + end);
    else if (status === 404) failed(e, word.gone, word.deleted + end);
    else if (status === 429) failed(e, word.many, word.wait);
    else if (status === 413) failed(e, word.large, word.smaller);
    else if (status === 503) failed(e, word.away, word.moment + end);
    else failed(e, word.fault, word.moment + end);
  });
  document.addEventListener("htmx:sendError", e => failed(e, word.silent, word.connection));
  document.addEventListener("htmx:timeout", e => failed(e, word.slow, word.working));
})();
