"use strict";
// A page that is open follows the hub: it is asked for again when something has happened, and now and then anyway.

const CALM_MS = 1500; // longer than a made page counts as new
const SLOW_MS = 60000;
const POLL_MS = 15000; // where nothing tells of news

const byId = (id) => document.getElementById(id);
let source = null;
let timer = 0;
let isBusy = false;
let isWaiting = false;

function pulse(is) {
  const shown = byId("pulse");
  shown.hidden = false;
  shown.textContent = is ? "live" : "not live";
  shown.classList.toggle("lost", !is);
}

// What a person has unfolded and where the focus is outlive the news.
function replaceMain(news) {
  const old = byId("main");
  if (news.innerHTML === old.innerHTML) return;
  for (const one of old.querySelectorAll("details[id]")) {
    const other = news.querySelector(`#${CSS.escape(one.id)}`);
    if (other) other.open = one.open;
  }
  const at = document.activeElement;
  const name = old.contains(at) && (at.id ? `#${CSS.escape(at.id)}` : at.getAttribute("href") && `[href="${CSS.escape(at.getAttribute("href"))}"]`);
  old.replaceWith(news);
  const again = name && news.querySelector(name);
  if (again) again.focus({ preventScroll: true });
}

async function refresh() {
  if (isBusy) return;
  const at = document.activeElement;
  if (document.hidden || (at && at.closest("main form"))) {
    isWaiting = true;
    return;
  }
  isBusy = true;
  isWaiting = false;
  try {
    const answer = await fetch(location.href, { cache: "no-cache" });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    replaceMain(document.adoptNode(page.getElementById("main")));
    document.body.dataset.event = page.body.dataset.event;
    pulse(true);
  } catch {
    pulse(false);
  }
  isBusy = false;
}

function soon(delay) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    refresh();
    soon(source ? SLOW_MS : POLL_MS);
  }, delay);
}

function listen() {
  source = new EventSource(`/feed?since=${document.body.dataset.event}`);
  source.addEventListener("open", () => pulse(true));
  source.addEventListener("message", () => soon(CALM_MS));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      source = null; // the hub has too many listeners
      soon(POLL_MS);
    } else {
      pulse(false);
    }
  });
}

if (document.body.dataset.event) {
  listen();
  soon(SLOW_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && isWaiting) refresh();
  });
  document.addEventListener("focusout", () => {
    if (isWaiting) soon(CALM_MS);
  });
}
