"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const POLL_MS = 2000;
  const REASONING = { why_hypothesis: "hypothesis", why_evidence: "evidence", why_risk: "risk", why_reasoning: "reasoning" };
  const LEARNT = { learnt_result: "result", learnt_expected: "expected", learnt_why: "why", learnt_lesson: "lesson" };
  const NOTES = { note_description: "description", note_notices: "notes", note_drift: "drift" };
  const RUN = {
    what: "run", seed: "seed", score: "", training_seconds: "trained s", num_steps: "steps", total_tokens_M: "tokens M",
    mfu_percent: "MFU %", peak_vram_mb: "memory MiB", num_params_M: "params M", depth: "layers", crash: "no score",
  };
  // What a person has set; it outlives the replacement of the page by its news.
  const state = { words: "", off: new Set(), sort: "place", down: false, open: new Set(), at: 0 };
  let data, rows, words;

  const byId = (id) => document.getElementById(id);

  function make(name, attributes = {}, ...children) {
    const one = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    one.append(...children.filter((child) => child !== null));
    return one;
  }

  // --- a row unfolds

  function block(title, cut, ...content) {
    const note = cut ? make("p", { class: "cut" }, `… ${cut.toLocaleString("en")} more characters were left out`) : null;
    return make("div", { class: "block" }, make("h4", {}, title), ...content, note);
  }

  function list(title, detail, names) {
    const found = Object.keys(names).filter((key) => detail[key]);
    if (!found.length) return null;
    const cut = found.reduce((sum, key) => sum + ((detail.cut || {})[key] || 0), 0);
    const lines = found.flatMap((key) => [make("dt", {}, names[key]), make("dd", { dir: "auto" }, detail[key])]);
    return block(title, cut, make("dl", {}, ...lines));
  }

  function shown(value) {
    if (typeof value !== "number") return value === undefined ? "" : value;
    return Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(7)).toString();
  }

  function scrolled(title, content) {
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, content);
  }

  function runs(detail) {
    if (!detail.runs) return null;
    const keys = Object.keys(RUN).filter((key) => detail.runs.some((run) => run[key] !== undefined));
    const kind = (key) => (key === "what" || key === "crash" ? {} : { class: "number" });
    const head = keys.map((key) => make("th", kind(key), key === "score" ? data.metric : RUN[key]));
    const lines = detail.runs.map((run) => {
      const cells = keys.map((key) => make("td", kind(key), key === "seed" ? String(run[key]) : shown(run[key])));
      return make("tr", {}, ...cells);
    });
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines));
    return block("Runs", 0, scrolled("Runs", table));
  }

  function lines(text, classify) {
    const rows = text.split("\n").map((line) => make("span", classify(line), line || " "));
    return make("pre", { tabindex: "0", dir: "ltr" }, make("code", {}, ...rows));
  }

  function diffClass(line) {
    const name = /^(@@|--- (a\/|\/dev\/null)|\+\+\+ (b\/|\/dev\/null))/.test(line) ? "hunk" : line[0] === "+" ? "add" : line[0] === "-" ? "del" : "";
    return name ? { class: name } : {};
  }

  function pairs(flat) {
    const found = [];
    for (let i = 0; i + 1 < flat.length; i += 2) found.push([flat[i], flat[i + 1]]);
    return found;
  }

  function drawCurves(curves, parent) {
    const own = curves.map(pairs).filter((one) => one.length > 1);
    if (!own.length) return null;
    const other = parent.map(pairs).filter((one) => one.length > 1).slice(0, 1);
    const [w, h, left, top, right, bottom] = [innerWidth < 640 ? 340 : 560, 210, 48, 8, 8, 26];
    const all = [...own, ...other];
    const late = all.flatMap((one) => one.slice(Math.floor(one.length / 12)).map((point) => point[1]));
    const [low, high] = [Math.min(...late), Math.max(...late)];
    const end = Math.max(...all.map((one) => one[one.length - 1][0])) || 1;
    const x = (value) => left + (value / end) * (w - left - right);
    const y = (value) => h - bottom - ((value - low) / (high - low || 1)) * (h - top - bottom);
    const path = (one) => "M" + one.slice(Math.max(0, one.findIndex((point) => point[1] <= high))).map((point) => `${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`).join("L");
    const text = (tx, ty, anchor, what) => make("svg:text", { x: tx, y: ty, "text-anchor": anchor }, what);
    const label = `training loss from ${own[0][0][1]} to ${own[0][own[0].length - 1][1]}`;
    return make("div", { class: "curve" }, make(
      "svg:svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": label },
      make("svg:path", { class: "axis", d: `M${left} ${top}V${h - bottom}H${w - right}` }),
      text(left - 6, top + 8, "end", high.toPrecision(4)), text(left - 6, h - bottom, "end", low.toPrecision(4)),
      text(left, h - 8, "start", "0"), text(w - right, h - 8, "end", `${end.toLocaleString("en")} s`),
      ...other.map((one) => make("svg:path", { class: "parent", d: path(one) })),
      ...own.map((one) => make("svg:path", { class: "own", d: path(one) })),
    ));
  }

  function parentCurves(detail) {
    const place = data.details.findIndex((one) => one.commit === detail.parent && one.curves && one !== detail);
    return place < 0 ? [] : data.details[place].curves;
  }

  function unfolded(n) {
    const detail = data.details[n - 1];
    const cut = detail.cut || {};
    const said = make("p", { class: "said" }, make("b", {}, detail.outcome || ""));
    const facts = [
      detail.verdict, detail.commit && `commit ${detail.commit}`, detail.parent && `on ${detail.parent}`,
      detail.changed && `changed ${detail.changed.join(", ")}`, detail.terms && `--${detail.terms.join(", --")}`,
      detail.started && `began ${detail.started}`, detail.took && `took ${detail.took}`,
    ].filter(Boolean);
    if (facts.length) said.append(make("br"), facts.join(" · "));
    const cells = Object.fromEntries(
      Object.keys(detail).filter((key) => key.startsWith("cell_")).map((key) => [key, key.slice(5)]),
    );
    const box = make(
      "td", { colspan: rows[0].cells.length }, said,
      make("div", { class: "pair" }, ...[
        list("Reasoning", detail, REASONING), list("Analysis", detail, LEARNT), list("Notes", detail, NOTES),
        list("Other columns", detail, cells),
      ].filter(Boolean)),
      runs(detail),
    );
    const curve = detail.curves && drawCurves(detail.curves, parentCurves(detail));
    if (curve) box.append(block("Training loss, dashed that of the champion before it", 0, curve));
    if (detail.diff) box.append(block("Change", cut.diff, lines(detail.diff, diffClass)));
    if (detail.tail) box.append(block("End of the log", cut.tail, lines(detail.tail, () => ({}))));
    return make("tr", { class: "unfolded", id: `u${n}` }, box);
  }

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

  // --- the chart

  function prepareChart() {
    const figure = byId("chart");
    if (!figure) return;
    const tip = figure.querySelector(".tip");
    figure.tabIndex = 0;
    figure.setAttribute("role", "group");
    figure.setAttribute("aria-label", "Chart; the arrow keys go from attempt to attempt, Enter shows one");

    const visible = () => [...figure.querySelectorAll("svg")].find((svg) => svg.clientWidth > 0);
    const middle = (mark) => {
      const box = mark.getBBox();
      return [box.x + box.width / 2, box.y + box.height / 2];
    };
    let known = null; // positions of the marks of one drawing, looked up once
    const marks = () => {
      const svg = visible();
      if (!known || known.svg !== svg) {
        known = { svg, all: [...svg.querySelectorAll(".marks > *")].map((mark) => [mark, ...middle(mark)]) };
      }
      return known.all.filter(([mark]) => !mark.classList.contains("away"));
    };

    function show(mark, x, y) {
      const svg = visible();
      const n = Number(mark.dataset.n);
      const row = rows[n - 1];
      const [name, kind, score, change, what] = [...row.cells].map((cell) => cell.textContent);
      state.at = n;
      const ring = svg.querySelector(".ring");
      ring.setAttribute("cx", x);
      ring.setAttribute("cy", y);
      tip.replaceChildren(
        make("b", {}, `${name} ${score}`), ` ${kind}`, make("br"), make("bdi", {}, what),
        ...(change ? [make("br"), `vs champion ${change}`] : []),
      );
      tip.hidden = false;
      const scale = svg.clientWidth / svg.viewBox.baseVal.width;
      const left = Math.min(Math.max(0, x * scale - tip.offsetWidth / 2), figure.clientWidth - tip.offsetWidth);
      const above = y * scale - tip.offsetHeight - 14;
      tip.style.left = `${left}px`;
      tip.style.top = `${above > 0 ? above : y * scale + 14}px`;
    }

    function hide() {
      tip.hidden = true;
      for (const ring of figure.querySelectorAll(".ring")) ring.setAttribute("cx", -99);
    }

    function nearest(event) {
      const svg = visible();
      const box = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / box.width;
      const [px, py] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      let best = null;
      let least = (24 * scale) ** 2;
      for (const [mark, x, y] of marks()) {
        const distance = (x - px) ** 2 + (y - py) ** 2;
        if (distance < least) [best, least] = [[mark, x, y], distance];
      }
      return best;
    }

    figure.addEventListener("pointermove", (event) => {
      const found = event.target.closest("svg") && nearest(event);
      if (found) show(...found);
      else hide();
    });
    figure.addEventListener("pointerleave", hide);
    figure.addEventListener("blur", hide);
    figure.addEventListener("click", (event) => {
      const found = event.target.closest("svg") && nearest(event);
      if (found) goTo(found[0].dataset.n);
    });
    figure.addEventListener("keydown", (event) => {
      if (event.target !== figure) return;
      if (event.key === "Enter" && state.at) {
        event.preventDefault(); // or it would also press the button that is focused by this
        goTo(state.at);
      }
      if (event.key === "Escape") hide();
      const all = marks().sort((a, b) => a[0].dataset.n - b[0].dataset.n);
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -all.length, End: all.length }[event.key];
      if (step === undefined || !all.length) return;
      event.preventDefault();
      const here = all.findIndex(([mark]) => Number(mark.dataset.n) >= state.at);
      const isHere = here >= 0 && Number(all[here][0].dataset.n) === state.at;
      const to = here < 0 ? all.length - 1 : here + (step === 1 && !isHere ? 0 : step);
      show(...all[Math.min(all.length - 1, Math.max(0, to))]);
    });
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
})();
