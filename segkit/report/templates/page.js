"use strict";
// Sort a table by a column: a click, or Enter on its header.
for (const head of document.querySelectorAll("th[data-sort]")) {
  head.tabIndex = 0;
  const sort = () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    const column = head.cellIndex, body = head.closest("table").tBodies[0];
    const key = row => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
    const worth = text => (head.dataset.sort === "number" ? (text === "" ? NaN : Number(text)) : text);
    const rows = [...body.rows].map(row => [worth(key(row)), row]);
    rows.sort(([a], [b]) => {
      if (head.dataset.sort !== "number") return (up ? 1 : -1) * a.localeCompare(b, undefined, {numeric: true});
      return Number.isNaN(a) - Number.isNaN(b) || (up ? a - b : b - a);
    });
    body.append(...rows.map(([, row]) => row));
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", event => event.key === "Enter" && sort());
}
// A class of the legend, pointed at, stands alone in every picture.
const light = document.createElement("style");
document.head.append(light);
for (const chip of document.querySelectorAll(".legend li")) {
  const only = `.k:not(.k${chip.dataset.k}) { opacity: .06; } .k${chip.dataset.k} { fill-opacity: .45; }`;
  for (const name of ["pointerenter", "focus"]) chip.addEventListener(name, () => (light.textContent = only));
  for (const name of ["pointerleave", "blur"]) chip.addEventListener(name, () => (light.textContent = ""));
}
// Pictures grow at a click.
for (const panels of document.querySelectorAll(".zoom")) panels.addEventListener("click", () => panels.classList.toggle("big"));
// Light or dark, against the system's choice.
document.querySelector("#theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
// The contents follow the reader.
const links = new Map([...document.querySelectorAll(".toc a")].map(a => [a.hash.slice(1), a]));
const places = [...links.keys()].map(id => document.getElementById(id));
const follow = () => {
  const here = places.findLast(p => p.getBoundingClientRect().top < innerHeight / 3) ?? places[0];
  for (const [id, link] of links) link.classList.toggle("here", id === here?.id);
};
addEventListener("scroll", follow, {passive: true});
follow();
