// Charts: the nearest result is told beside the pointer, and the focused one.

const REACH_PX = 24;

function tellOf(mark) {
  const figure = mark.closest(".progress");
  const tip = figure.querySelector(".tip");
  const title = mark.querySelector("title");
  if (title) { // the browser's own would cover this one
    mark.dataset.title = title.textContent;
    mark.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  hideAll();
  mark.classList.add("at");
  tip.textContent = mark.dataset.title;
  tip.hidden = false;
  const [here, frame] = [mark.getBoundingClientRect(), figure.getBoundingClientRect()];
  const left = here.x - frame.x + here.width / 2 - tip.offsetWidth / 2;
  const above = here.y - frame.y - tip.offsetHeight - 8;
  tip.style.left = `${Math.min(Math.max(0, left), frame.width - tip.offsetWidth)}px`;
  tip.style.top = `${above > 0 ? above : here.bottom - frame.y + 8}px`;
}

function hideAll() {
  for (const tip of document.querySelectorAll(".tip")) tip.hidden = true;
  for (const mark of document.querySelectorAll(".marks .at")) mark.classList.remove("at");
}

// Of those at one place the last is drawn on top.
function nearest(field, x, y) {
  let best = null;
  let least = REACH_PX ** 2;
  for (const mark of field.querySelectorAll(".marks a")) {
    const box = mark.getBoundingClientRect();
    const distance = (box.x + box.width / 2 - x) ** 2 + (box.y + box.height / 2 - y) ** 2;
    if (distance <= least) [best, least] = [mark, distance];
  }
  return best;
}

document.addEventListener("pointermove", (event) => {
  const field = event.target.closest && event.target.closest(".field");
  const mark = field && nearest(field, event.clientX, event.clientY);
  if (mark) tellOf(mark);
  else hideAll();
});
document.addEventListener("focusin", (event) => {
  const mark = event.target.closest(".marks a");
  if (mark) tellOf(mark);
});
document.addEventListener("focusout", hideAll);
document.addEventListener("click", (event) => {
  const field = event.target.closest(".field");
  const mark = field && !event.target.closest("a") && nearest(field, event.clientX, event.clientY);
  if (mark) location.assign(mark.getAttribute("href"));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideAll();
});
