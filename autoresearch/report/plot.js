// The chart: a tooltip for pointer and keyboard, and the way to a row.

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
