"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const sign = down ? -1 : 1;
        const compare = (a, b) => {
          if (column === 0) return key(a).localeCompare(key(b)) * sign;
          if (key(a) === "" || key(b) === "") return key(a) === "" ? 1 : -1;
          return (Number(key(a)) - Number(key(b))) * sign;
        };
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
      });
    });
  }

  function filter() {
    const words = byId("find").value.trim().toLowerCase();
    const odd = byId("odd").checked;
    let shown = 0;
    for (const one of document.querySelectorAll("[data-scan]")) {
      const fits = one.dataset.scan.toLowerCase().includes(words) && (!odd || one.dataset.odd === "yes");
      one.hidden = !fits;
      if (fits && one.classList.contains("shot")) shown += 1;
    }
    byId("shown").textContent = `${shown} shown`;
  }

  sortable(byId("checks"));
  byId("find").addEventListener("input", filter);
  byId("odd").addEventListener("change", filter);
  filter();
  document.documentElement.dataset.ready = "yes";
})();
