"use strict";
// What a row unfolds to, made from the data of the page; text is only ever set as text.

const SVG = "http://www.w3.org/2000/svg";
const REASONING = { why_hypothesis: "hypothesis", why_evidence: "evidence", why_risk: "risk", why_reasoning: "reasoning" };
const LEARNT = { learnt_result: "result", learnt_expected: "expected", learnt_why: "why", learnt_lesson: "lesson" };
const NOTES = { note_description: "description", note_notices: "notes", note_drift: "drift" };
const RUN = {
  what: "run", seed: "seed", score: "", training_seconds: "trained s", num_steps: "steps", total_tokens_M: "tokens M",
  mfu_percent: "MFU %", peak_vram_mb: "memory MiB", num_params_M: "params M", depth: "layers", crash: "no score",
};

const byId = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const one = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  one.append(...children.filter((child) => child !== null));
  return one;
}

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
