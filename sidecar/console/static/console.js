// A page whose part "live" is marked so fetches itself anew until it is marked no more. Everything works without this.
"use strict";

(() => {
  const SLOWEST_MS = 15000;
  let tries = 0;

  const live = () => document.getElementById("live");
  const state = () => document.getElementById("state")?.textContent.trim() ?? "";
  const opened = () => [...document.querySelectorAll("#live details[open][id]")].map((each) => each.id);
  const reading = () => {
    const chosen = document.getSelection();
    return chosen !== null && !chosen.isCollapsed && live().contains(chosen.anchorNode);
  };

  function show(fresh, title) {
    const stale = live();
    if (stale.innerHTML === fresh.innerHTML) {
      if (!fresh.hasAttribute("data-live")) stale.removeAttribute("data-live");
      return;
    }
    const open = opened();
    const was = state();
    const focused = document.activeElement && document.activeElement.closest("#live [id]");
    stale.replaceWith(document.adoptNode(fresh));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) {
      const again = document.getElementById(focused.id);
      (again?.querySelector("summary") ?? again)?.focus({ preventScroll: true });
    }
    document.title = title;
    // What is replaced is not read aloud; what changes here is.
    if (state() !== was) document.getElementById("heard").textContent = state();
    tellTimes();
  }

  async function look() {
    if (document.hidden || reading()) return plan(1);
    const began = performance.now();
    let page;
    try {
      const answer = await fetch(location.href, { cache: "no-store", credentials: "same-origin" });
      if (answer.status >= 500) throw new Error(String(answer.status));
      page = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      tries += 1;
      return plan(2 ** tries);
    }
    tries = 0;
    const fresh = page.getElementById("live");
    if (!fresh) return location.reload(); // signed out, or the run is gone: the page says so itself
    if (!reading()) show(fresh, page.title);
    // A page that takes long to make is asked for less often.
    return plan(1, 5 * (performance.now() - began));
  }

  function plan(times, least = 0) {
    const every = Number(live()?.dataset.live);
    if (every) setTimeout(look, Math.min(SLOWEST_MS, Math.max(every * times, least)));
  }

  function tellTimes() {
    for (const each of document.querySelectorAll("time[datetime]")) {
      const then = new Date(each.dateTime);
      if (!Number.isNaN(then.valueOf())) each.title = `${each.dateTime} · here ${then.toLocaleString()}`;
    }
  }

  tellTimes();
  plan(1);
})();
