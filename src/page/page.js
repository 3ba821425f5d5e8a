"use strict";
// Sorts and filters the table of hits, all in this page. Without it the table is there, whole and in order.
(() => {
  const table = document.getElementById("hits");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  // The order at the beginning stays the order among equals.
  const rows = Array.from(body.rows, (row) => ({
    row,
    kql: row.hasAttribute("data-kql"),
    cells: Array.from(row.cells, (cell) => cell.querySelector("bdi").textContent),
    text: Array.from(row.cells, (cell) => cell.textContent).join("\n").toLowerCase(),
  }));
  const filter = document.getElementById("filter");
  const kql = document.getElementById("kql");
  const chosen = document.getElementById("chosen");
  const shown = document.getElementById("shown");
  // Column to the value that a row has to have there.
  const values = new Map();

  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { row, kql: first, cells, text } of rows) {
      const fits =
        (!kql || !kql.checked || first) &&
        words.every((word) => text.includes(word)) &&
        Array.from(values).every(([column, value]) => cells[column] === value);
      row.hidden = !fits;
      if (fits) count += 1;
    }
    shown.textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
  };

  const showChosen = () => {
    chosen.replaceChildren(
      ...Array.from(values, ([column, value]) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "chip";
        button.title = "Remove this filter";
        const text = document.createElement("bdi");
        text.textContent = value;
        button.append(`${heads[column].dataset.name}: `, text, " ×");
        button.addEventListener("click", () => {
          values.delete(column);
          showChosen();
          apply();
        });
        return button;
      }),
    );
  };

  const collator = new Intl.Collator("en", { numeric: true });
  const compare = {
    text: collator.compare,
    // Times are written so that they sort as they are.
    time: (a, b) => (a < b ? -1 : a > b ? 1 : 0),
    number: (a, b) => Number(a || "-Infinity") - Number(b || "-Infinity") || 0,
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = compare[head.dataset.kind];
      const sorted = rows.slice().sort((a, b) => {
        const by = order(a.cells[column], b.cells[column]);
        return up ? by : -by;
      });
      body.append(...sorted.map(({ row }) => row));
    });
  });

  for (const text of document.querySelectorAll(".pick")) {
    const column = heads.findIndex((head) => head.dataset.name === text.dataset.column);
    if (column < 0) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "pick";
    button.title = "Show the hits of this one";
    button.append(...text.childNodes);
    button.addEventListener("click", () => {
      values.set(column, text.dataset.value);
      showChosen();
      apply();
      document.getElementById("table").scrollIntoView();
    });
    text.replaceWith(button);
  }

  filter.addEventListener("input", apply);
  if (kql) kql.addEventListener("change", apply);
  filter.closest(".controls").hidden = false;
  apply();
})();
