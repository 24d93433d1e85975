// Sorting of tables, and the way from a bar or box to its row.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const rows = [...table.tBodies[0].rows];
    const key = row => {
      const cell = row.cells[column];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const numbers = rows.length > 0 && typeof key(rows[0]) === "number";
    const now = head.getAttribute("aria-sort");
    const ascending = now ? now === "descending" : !numbers;  // numbers: the largest first
    rows.sort((a, b) => {
      const x = key(a), y = key(b);
      return (ascending ? 1 : -1) * (numbers ? x - y : x.localeCompare(y));
    });
    heads.forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    table.tBodies[0].append(...rows);
  }));
}
for (const shape of document.querySelectorAll("[data-row]")) {
  shape.addEventListener("click", () => {
    document.querySelectorAll("tr.found").forEach(row => row.classList.remove("found"));
    const row = document.getElementById(shape.dataset.row);
    row.classList.add("found");
    row.scrollIntoView({ behavior: "smooth", block: "center" });
  });
}
