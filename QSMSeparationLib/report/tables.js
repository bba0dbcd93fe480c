"use strict";
// Tables whose columns sort at a press of their heading: one for all pages, before their own script.
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (r) => r.cells[column].dataset.value ?? r.cells[column].textContent;
      const compare = head.dataset.kind === "num"
        ? (a, b) => (key(a) === "" ? 1 : key(b) === "" ? -1 : (Number(key(a)) - Number(key(b))) * (down ? -1 : 1))
        : (a, b) => key(a).localeCompare(key(b)) * (down ? -1 : 1);
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(compare));
    });
  });
}
