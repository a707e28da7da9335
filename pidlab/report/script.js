"use strict";
// Filter and sort the tables. The state is part of the address, so that a view can be linked.
(async () => {
  const PAGE = 500;
  const CHOICES = ["objective", "term", "readout"];
  const form = document.getElementById("filter");
  const panels = [...document.querySelectorAll("details.probes")];
  const order = new Intl.Collator("en", { numeric: true });
  let state = {};

  // The rows are JSON, compressed and in base64.
  function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  }

  const views = await Promise.all([...document.querySelectorAll("table[data-rows]")].map(async (table) => {
    const { columns, rows } = await unpack(document.getElementById(`${table.id}-data`).textContent);
    const details = table.closest("details.probes");
    const view = { table, columns, rows, details, words: null, shown: PAGE, found: rows, fresh: false };
    columns.forEach((column, i) => {
      if (column.kind === "list") return;
      const head = table.tHead.rows[0].cells[i];
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(table, i));
      head.append(button);
    });
    view.count = document.getElementById(`${table.id}-count`);
    return view;
  }));

  function wordsOf(view) {
    view.words ??= view.rows.map((row) => row.map((cell, i) => {
      const names = view.columns[i].names;
      return names.length ? names.map((name) => `${name}=${cell}`).join(" ") : cell;
    }).join(" ").toLowerCase());
    return view.words;
  }

  function select(view) {
    // A filter does not apply to a table without its column.
    const chosen = CHOICES.filter((name) => state[name])
      .map((name) => [view.columns.findIndex((column) => column.filter === name), name])
      .filter(([i]) => i >= 0);
    const wanted = (state.q || "").toLowerCase().split(/\s+/).filter(Boolean);
    const words = wanted.length ? wordsOf(view) : null;
    // A term includes its parts, such as synergy:1.
    const fits = (cell, name) => cell === state[name] || (name === "term" && cell.startsWith(`${state[name]}:`));
    view.found = view.rows.filter((row, r) =>
      chosen.every(([i, name]) => fits(row[i], name)) && wanted.every((word) => words[r].includes(word)));
    const [id, column, down] = (state.sort || "").split(".");
    const i = id === view.table.id ? Number(column) : -1;
    [...view.table.tHead.rows[0].cells].forEach((head, at) => {
      if (at === i) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    if (!view.columns[i]) return;
    const sign = down ? -1 : 1;
    const compare = view.columns[i].kind === "number" ? (a, b) => a - b : order.compare;
    // Empty cells come last in both directions.
    view.found.sort((a, b) => (a[i] === "") - (b[i] === "") || sign * compare(a[i], b[i]));
  }

  function draw(view) {
    if (view.details && !view.details.open) return;
    const body = document.createElement("tbody");
    for (const row of view.found.slice(0, view.shown)) {
      const line = body.insertRow();
      row.forEach((cell, i) => {
        const place = document.createElement(i ? "td" : "th");
        if (!i) place.scope = "row";
        if (view.columns[i].kind === "number") place.className = "number";
        place.textContent = cell;
        line.append(place);
      });
    }
    view.table.tBodies[0].replaceWith(body);
    const left = view.found.length - view.shown;
    view.count.textContent = left > 0 ? `${view.shown} of ${view.found.length} rows. ` : "";
    if (left <= 0) return;
    const more = document.createElement("button");
    more.type = "button";
    more.textContent = `Show ${Math.min(left, PAGE)} more`;
    more.addEventListener("click", () => {
      const first = view.shown;
      view.shown += PAGE;
      draw(view);
      const row = view.table.tBodies[0].rows[first];
      row.tabIndex = -1;
      row.focus();
    });
    view.count.append(more);
  }

  function update() {
    for (const view of views) {
      view.shown = PAGE;
      select(view);
      draw(view);
    }
    const main = views.filter((view) => !view.details);
    const sum = (count) => main.reduce((all, view) => all + count(view), 0);
    document.getElementById("matches").textContent =
      `${sum((view) => view.found.length)} of ${sum((view) => view.rows.length)} rows`;
  }

  function remember() {
    const wanted = new URLSearchParams(Object.entries(state).filter(([, value]) => value));
    const hash = wanted.size ? `#${wanted}` : "";
    history.replaceState(null, "", location.pathname + location.search + hash);
  }

  function sortBy(table, i) {
    const up = `${table.id}.${i}`;
    state.sort = state.sort === up ? `${up}.down` : up;
    remember();
    update();
  }

  // Tables are folded until the page is asked for a part of them.
  function unfold() {
    for (const long of document.querySelectorAll("details.long")) long.open = true;
  }

  // An address with a = states filters; any other names a section of the page.
  function follow() {
    if (!location.hash.includes("=")) return false;
    state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    for (const name of CHOICES) {
      if (![...form.elements[name].options].some((option) => option.value === state[name])) delete state[name];
      form.elements[name].value = state[name] || "";
    }
    form.elements.q.value = state.q || "";
    for (const panel of panels) panel.open = Boolean(state.probes);
    unfold();
    update();
    return true;
  }

  for (const name of CHOICES) {
    const values = new Set();
    for (const { columns, rows } of views) {
      const i = columns.findIndex((column) => column.filter === name);
      // Parts such as synergy:1 are listed with their term.
      for (const row of i < 0 ? [] : rows) values.add(name === "term" ? row[i].replace(/:.*/, "") : row[i]);
    }
    form.elements[name].append(...[...values].map((value) => new Option(value, value)));
  }
  form.hidden = views.length === 0;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const name of [...CHOICES, "q"]) form.elements[name].value = "";
    state = state.probes ? { probes: "1" } : {};
    remember();
    update();
  });
  form.addEventListener("input", () => {
    for (const name of [...CHOICES, "q"]) state[name] = form.elements[name].value;
    remember();
    update();
  });
  for (const panel of panels) {
    panel.addEventListener("toggle", () => {
      const open = panels.some((each) => each.open);
      if (open !== Boolean(state.probes)) {
        state.probes = open ? "1" : "";
        remember();
      }
      views.filter((view) => view.details === panel).forEach(draw);
    });
  }
  window.addEventListener("hashchange", () => {
    if (follow()) document.getElementById("numbers").scrollIntoView();
  });
  if (follow()) document.getElementById("numbers").scrollIntoView();
  else {
    // The headline readout comes first; "Show all" lists the others as well.
    const choice = form.elements.readout;
    if (choice.options.length > 2 && [...choice.options].some((option) => option.value === "z12")) {
      choice.value = state.readout = "z12";
    }
    update();
  }
})();
