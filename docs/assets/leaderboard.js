"use strict";
// Sort and filter the leaderboard.
document$.subscribe(() => {
  const table = document.getElementById("leaderboard-table");
  if (!table) return;
  const body = table.tBodies[0];
  const filters = [...document.querySelectorAll("#leaderboard-filter [name]")];

  function filter() {
    const [views, words] = filters.map((field) => field.value.toLowerCase());
    for (const row of body.rows) {
      const fits = row.textContent.toLowerCase().includes(words.trim());
      row.hidden = !fits || (views !== "" && row.dataset.views !== views);
    }
  }
  filters.forEach((field) => field.addEventListener("input", filter));

  [...table.tHead.rows[table.tHead.rows.length - 1].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const compare = (a, b) => (Number(a) - Number(b) || String(a).localeCompare(b)) * (down ? -1 : 1);
      // Cells without a number come last in both directions.
      const rows = [...body.rows].sort((a, b) => (value(a) === "") - (value(b) === "") || compare(value(a), value(b)));
      body.append(...rows);
    });
  });
  filter();
});
