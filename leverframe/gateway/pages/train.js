// Keeps a train's page up to date. It makes no markup of its own: when view.json has changed, the page is
// taken anew from the server, which has escaped everything, and its main part replaces the old one.
"use strict";

const EVERY = 2000; // milliseconds between two looks

const pulse = document.getElementById("pulse");
const pause = document.getElementById("pause");
let paused = false;
let failed = 0;

function say(text, stale) {
  if (pulse.textContent !== text) pulse.textContent = text;
  document.documentElement.classList.toggle("stale", stale);
}

function clock() {
  return new Date().toISOString().slice(11, 19) + " UTC";
}

// The same words as `lasting` in leverframe/model/lengths.py.
function lasting(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function age() {
  const now = Math.floor(Date.now() / 1000);
  for (const time of document.querySelectorAll("time[data-since]")) {
    const text = lasting(Math.max(0, now - Number(time.dataset.since)));
    if (time.textContent !== text) time.textContent = text;
  }
}

function replace(page) {
  const old = document.getElementById("train");
  const fresh = document.adoptNode(page.getElementById("train"));
  const known = new Set(Array.from(old.querySelectorAll("[id]"), (each) => each.id));
  for (const each of fresh.querySelectorAll(".car")) each.classList.toggle("new", !known.has(each.id));
  for (const each of old.querySelectorAll("details[open]")) {
    const same = fresh.querySelector(`[id="${CSS.escape(each.id)}"]`);
    if (same) same.open = true;
  }
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const href = focused?.getAttribute("href");
  const within = focused?.closest("[id]")?.id;
  old.replaceWith(fresh);
  document.title = page.title;
  if (focused === null || within === undefined) return;
  const home = document.getElementById(within) ?? fresh;
  const again = href ? home.querySelector(`a[href="${CSS.escape(href)}"]`) : home.querySelector("summary");
  (again ?? fresh).focus({ preventScroll: true });
}

async function look() {
  const main = document.getElementById("train");
  const headers = { "If-None-Match": `"${main.dataset.version ?? ""}"` };
  const answer = await fetch(main.dataset.view, { headers, cache: "no-store" });
  if (answer.status !== 304) {
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const page = await fetch(location.pathname, { cache: "no-store" });
    if (!page.ok) throw new Error(`the gateway answered ${page.status}`);
    replace(new DOMParser().parseFromString(await page.text(), "text/html"));
  }
  failed = 0;
  say("Up to date.", false);
}

async function live() {
  if (!paused && !document.hidden) {
    try {
      await look();
    } catch (error) {
      failed += 1;
      // One look may get lost; what is shown is old only when several are.
      if (failed > 1 || document.documentElement.classList.contains("stale"))
        say(`Not up to date since ${since}: ${error.message || "the gateway does not answer"}.`, true);
    }
    if (failed === 0) since = clock();
  }
  setTimeout(live, EVERY);
}

let since = clock();
pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on" : "Pause";
  say(paused ? `Paused at ${clock()}.` : "Up to date.", paused);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) age(); });
setInterval(age, 1000);
say("Up to date.", false);
setTimeout(live, EVERY);
