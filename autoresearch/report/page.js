// Rows fold and unfold, filter and sort; a page that is served follows the night.

const POLL_MS = 2000;
// What a person has set; it outlives the replacement of the page by its news.
const state = { words: "", off: new Set(), sort: "place", down: false, open: new Set(), at: 0 };
let data, rows, words;

// --- rows unfold

function toggle(row, open) {
  const n = Number(row.id.slice(1));
  const is = state.open.has(n);
  if (open === is) return;
  if (is) {
    state.open.delete(n);
    byId(`u${n}`).remove();
  } else {
    state.open.add(n);
    row.after(unfolded(n));
  }
  row.classList.toggle("open", !is);
  row.querySelector("button").setAttribute("aria-expanded", String(!is));
}

function goTo(n) {
  const row = byId(`a${n}`);
  if (!row) return;
  if (row.hidden) {
    state.off.delete(row.dataset.kind);
    state.words = "";
    byId("story").querySelector(".search input").value = "";
    for (const box of document.querySelectorAll(".filter input")) box.checked = !state.off.has(box.value);
    filter();
  }
  toggle(row, true);
  row.scrollIntoView({ block: "start" });
  row.querySelector("button").focus({ preventScroll: true });
  row.classList.add("hit");
  setTimeout(() => row.classList.remove("hit"), 1600);
}

// --- filter and sort

function haystack(i) {
  words[i] ??= `${rows[i].textContent} ${Object.values(data.details[i]).join(" ")}`.toLowerCase();
  return words[i];
}

function filter() {
  const wanted = state.words.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  rows.forEach((row, i) => {
    const is = !state.off.has(row.dataset.kind) && wanted.every((word) => haystack(i).includes(word));
    row.hidden = !is;
    count += is;
    const below = byId(`u${i + 1}`);
    if (below) below.hidden = !is;
  });
  for (const mark of document.querySelectorAll(".marks > *")) {
    mark.classList.toggle("away", rows[mark.dataset.n - 1].hidden);
  }
  const all = count === rows.length;
  document.querySelector(".found").textContent = all ? "" : `${count} of ${rows.length} attempts`;
}

function keyOf(row, column, name) {
  if (name === "place") return Number(row.id.slice(1));
  const text = row.cells[column].textContent;
  if (name === "kind" || name === "what") return text.toLowerCase();
  const number = parseFloat(text.replace("−", "-"));
  return Number.isNaN(number) ? null : number;
}

function sort() {
  const heads = [...document.querySelectorAll("#table th[data-sort]")];
  const column = heads.findIndex((head) => head.dataset.sort === state.sort);
  heads.forEach((head, i) => {
    if (i === column) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  const keyed = rows.map((row) => [keyOf(row, column, state.sort), row]);
  const way = state.down ? -1 : 1;
  keyed.sort(([a], [b]) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : a < b ? -way : way));
  const below = (row) => byId(`u${row.id.slice(1)}`);
  const ordered = keyed.flatMap(([, row]) => (below(row) ? [row, below(row)] : [row]));
  document.querySelector("#table tbody").replaceChildren(...ordered);
}

// --- the whole

function prepareTable() {
  rows.forEach((row) => {
    const cell = row.cells[0];
    const button = make("button", { type: "button", "aria-expanded": "false" }, cell.textContent);
    cell.replaceChildren(button);
  });
  const body = document.querySelector("#table tbody");
  body.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row && !event.target.closest("a") && !String(getSelection())) toggle(row);
  });
  for (const head of document.querySelectorAll("#table th[data-sort]")) {
    const button = make("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      state.down = state.sort === head.dataset.sort && !state.down;
      state.sort = head.dataset.sort;
      sort();
    });
  }
}

function prepareControls() {
  const controls = document.querySelector(".controls");
  controls.hidden = false;
  const search = controls.querySelector("input[type=search]");
  search.value = state.words;
  let timer = 0;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      state.words = search.value;
      filter();
    }, 80);
  });
  for (const box of controls.querySelectorAll(".filter input")) {
    box.checked = !state.off.has(box.value);
    box.addEventListener("change", () => {
      if (box.checked) state.off.delete(box.value);
      else state.off.add(box.value);
      filter();
    });
  }
}

function begin() {
  data = JSON.parse(byId("data").textContent);
  rows = [...document.querySelectorAll("#table .row")];
  words = [];
  document.documentElement.classList.add("js");
  if (rows.length) {
    prepareTable();
    prepareControls();
    prepareChart();
    const open = [...state.open];
    state.open.clear();
    for (const n of open) if (byId(`a${n}`)) toggle(byId(`a${n}`), true);
    if (state.words || state.off.size) filter();
    if (state.sort !== "place" || state.down) sort();
  }
  for (const link of document.querySelectorAll("a.go")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      goTo(link.hash.slice(2));
    });
  }
}

// --- news of a page that is served

function tell(news) {
  const box = byId("running");
  box.hidden = !news;
  if (!news) return;
  box.querySelector(".what").textContent = news.what;
  box.querySelector("progress").value = news.progress;
  box.querySelector(".now").textContent = news.line;
  const curve = drawCurves([news.curve.flat()], []);
  box.querySelector(".curve").replaceChildren(...(curve ? [curve] : []));
}

async function follow() {
  let { stamp } = data;
  for (;;) {
    try {
      const news = await (await fetch("live.json", { cache: "no-store" })).json();
      if (news.stamp !== stamp) {
        const page = new DOMParser().parseFromString(await (await fetch("./", { cache: "no-store" })).text(), "text/html");
        const at = document.activeElement && document.activeElement.closest(".row");
        byId("story").replaceWith(document.adoptNode(page.getElementById("story")));
        begin();
        if (at && byId(at.id)) byId(at.id).querySelector("button").focus({ preventScroll: true });
      }
      stamp = news.stamp;
      tell(news.under_way);
      byId("pulse").textContent = "live";
      byId("pulse").classList.remove("lost");
    } catch {
      byId("pulse").textContent = "no longer live";
      byId("pulse").classList.add("lost");
    }
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
}

begin();
if (document.body.hasAttribute("data-live")) follow();
else if (/^#a\d+$/.test(location.hash)) goTo(location.hash.slice(2));
