// What pages do beyond what they do without scripts: hear of changes, say when they have
// lost the connection, and hide names from a room in which nobody is at the screen.
import { initAll } from "/assets/nhsuk-frontend-10.6.1.js";

document.body.classList.add("js-enabled");
if ("noModule" in HTMLScriptElement.prototype) document.body.classList.add("nhsuk-frontend-supported");
initAll();

const live = document.body.dataset.live;
if (live) watch(live);

const every = Number(document.body.dataset.refresh);
if (every) renew(every * 1_000);

const names = document.querySelector(".cpis-who") || live;
if (names) blurWhenIdle(60_000);

function watch(address) {
  const rows = address.replace("/live", "/rows") + location.search.replace(/^\?/, "&").replace(/&at=[^&]*/, "");
  const patience = 15_000;
  let heard = Date.now();
  let fetching = false;
  let again = false;

  const stream = new EventSource(address);
  stream.addEventListener("beat", () => { hear(); mend(); });
  stream.addEventListener("changed", () => { hear(); refresh(); });
  setInterval(() => { if (Date.now() - heard > patience) lost("This page has lost its connection"); }, 1_000);

  function hear() {
    heard = Date.now();
    if (!document.body.classList.contains("cpis-lost")) stamp();
  }

  // A page that was cut off has missed changes: it is current once it has asked.
  function mend() { if (document.body.classList.contains("cpis-lost")) refresh(); }

  function stamp() {
    const at = document.getElementById("fresh-at");
    if (at) at.textContent = `Up to date at ${new Date().toLocaleTimeString("en-GB")}.`;
  }

  function lost(what) {
    if (document.body.classList.contains("cpis-lost")) return;
    document.body.classList.add("cpis-lost");
    const at = document.getElementById("fresh-at");
    if (at) at.textContent = `${what}: it shows ${new Date(heard).toLocaleTimeString("en-GB")}, and may be out of date. Reload it, or ring as you did before.`;
  }

  async function refresh() {
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      const answer = await fetch(rows, { headers: { Accept: "text/plain" } });
      if (answer.status === 401 || answer.status === 403) { location.reload(); return; }
      if (!answer.ok) throw new Error("no rows");
      replace(await answer.text());
      document.body.classList.remove("cpis-lost");
      stamp();
    } catch {
      lost("This page cannot be kept up to date");
    } finally {
      setTimeout(() => { // a busy day changes the board all the time
        fetching = false;
        if (again) { again = false; refresh(); }
      }, 300);
    }
  }
}

// renew asks for the page again from time to time, for as long as somebody is there, and
// never under the hands of whoever fills in a form.
function renew(after) {
  const away = 14 * 60_000;
  let touched = Date.now();
  for (const kind of ["pointerdown", "pointermove", "keydown", "scroll"]) addEventListener(kind, () => { touched = Date.now(); }, { passive: true });
  const timer = setInterval(async () => {
    if (Date.now() - touched > away || document.activeElement?.closest("main form")) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => undefined);
    if (!answer?.ok) return;
    if (answer.redirected) { location.reload(); return; }
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const link = document.activeElement?.closest("main a")?.getAttribute("href");
    document.querySelector("main").replaceChildren(...next.querySelector("main").childNodes);
    if (link) document.querySelector(`main a[href="${CSS.escape(link)}"]`)?.focus();
    if (!next.body.dataset.refresh) clearInterval(timer);
  }, after);
}

// replace puts new rows in place, and leaves whoever works with the old ones where they are.
function replace(html) {
  const place = document.getElementById("rows");
  const before = place.querySelector("table");
  const flagged = Number(before.dataset.flagged);
  const all = Number(before.dataset.all);
  const active = document.activeElement?.closest?.("[data-key]")?.dataset.key;
  const what = document.activeElement?.tagName;
  const open = [...place.querySelectorAll("details[open]")].map((d) => d.closest("[data-key]").dataset.key);
  place.innerHTML = html;
  const row = (key) => place.querySelector(`[data-key="${CSS.escape(key)}"]`);
  for (const key of open) row(key)?.querySelector("details")?.setAttribute("open", "");
  if (active && what) row(active)?.querySelector(what)?.focus();
  const now = place.querySelector("table");
  const more = Number(now.dataset.flagged) - flagged;
  if (more > 0) say(more === 1 ? "1 new indicator" : `${more} new indicators`);
  else if (Number(now.dataset.all) > all) say("A new arrival");
}

function say(words) {
  const place = document.getElementById("announce");
  if (place) place.textContent = words;
}

function blurWhenIdle(after) {
  let timer;
  const wake = () => {
    document.body.classList.remove("cpis-blurred");
    clearTimeout(timer);
    timer = setTimeout(() => document.body.classList.add("cpis-blurred"), after);
  };
  for (const kind of ["pointerdown", "pointermove", "keydown", "scroll"]) addEventListener(kind, wake, { passive: true });
  wake();
}
