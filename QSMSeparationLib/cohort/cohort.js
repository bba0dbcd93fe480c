"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

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
