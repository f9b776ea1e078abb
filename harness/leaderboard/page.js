"use strict";
// Sorting, filters that the URL remembers, names of points, a choice of colours. The page says everything without it.
(() => {
  const form = document.getElementById("filters");
  const output = form.querySelector("output");
  const collator = new Intl.Collator("en", { numeric: true });
  const LATE = 60; // rows, more than a screen shows of a table
  const NAMES = ["q", "task", "class", "family", "trained", "compressed", "machine", "front"];

  // ---- what is on the page

  const number = (text) => parseFloat(text.replace(/[,<≈\s]/g, "").replace(/−/g, "-"));

  function readTable(section) {
    const table = section.querySelector("table.board");
    const columns = new Map();
    let at = 0;
    for (const heading of table.tHead.rows[0].cells) {
      columns.set(heading.dataset.k, { at, heading });
      at += heading.colSpan;
    }
    const rows = [...table.querySelectorAll("tbody > tr")].map((element, index) => ({ element, index, anchor: element.parentNode.className === "anchor" }));
    const body = table.tBodies[table.tBodies.length - 1];
    const rest = document.createElement("tbody");
    if (rows.length > LATE) body.after(rest);
    return { section, table, columns, rows, body, rest, keys: new Map(), texts: null };
  }

  const tables = [...document.querySelectorAll("section.class")].map(readTable);
  const cell = (row, table, key) => row.element.cells[table.columns.get(key).at].textContent;

  function keysOf(table, key) {
    if (!table.keys.has(key)) {
      const texts = table.rows.map((row) => cell(row, table, key));
      const numbers = texts.map(number);
      const told = texts.filter((text) => text !== "—");
      const numeric = told.every((text) => !Number.isNaN(number(text)));
      table.keys.set(key, { numeric, values: numeric ? numbers : texts });
    }
    return table.keys.get(key);
  }

  // ---- sorting

  function sortTable(table, key, down) {
    const column = table.columns.get(key);
    for (const { heading } of table.columns.values()) heading.removeAttribute("aria-sort");
    let order = table.rows;
    if (column) {
      column.heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const { numeric, values } = keysOf(table, key);
      const sign = down ? -1 : 1;
      const empty = (value) => (numeric ? Number.isNaN(value) : value === "" || value === "—");
      order = [...table.rows].sort((a, b) => {
        const x = values[a.index], y = values[b.index];
        if (empty(x) || empty(y)) return empty(x) - empty(y) || a.index - b.index;
        return sign * (numeric ? x - y : collator.compare(x, y)) || a.index - b.index;
      });
    }
    place(table, order.filter((row) => !row.anchor).map((row) => row.element));
  }

  // All rows are in order at once. Those of a long table that no screen has room for are drawn after the others were.
  function place(table, elements) {
    if (!table.rest.parentNode) return table.body.append(...elements);
    let at = 0;
    for (let room = LATE; at < elements.length && room; at++) room -= !elements[at].hidden;
    table.rest.hidden = true;
    table.body.append(...elements.slice(0, at));
    table.rest.append(...elements.slice(at));
    requestAnimationFrame(() => setTimeout(() => (table.rest.hidden = false)));
  }

  addEventListener("beforeprint", () => tables.forEach((table) => (table.rest.hidden = false)));

  // ---- filters

  function hides(table, state) {
    const has = (row, key, wanted) => cell(row, table, key).split(" → ").includes(wanted);
    const words = (state.q || "").toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) table.texts ??= table.rows.map((row) => row.element.textContent.toLowerCase());
    const bit = state.machine ? 1n << BigInt(state.machine) : 0n;
    return (row) =>
      (state.family && cell(row, table, "family") !== state.family) ||
      (state.trained && !has(row, "trained", state.trained)) ||
      (state.compressed && !has(row, "compressed", state.compressed)) ||
      (bit && !(BigInt("0x" + (row.element.dataset.m || "0")) & bit)) ||
      (state.front && !cell(row, table, "front")) ||
      words.some((word) => !table.texts[row.index].includes(word));
  }

  function filterTable(table, state) {
    const gone = (state.class && table.section.id !== state.class) || (state.task && table.section.dataset.task !== state.task);
    const hidden = hides(table, state);
    const out = new Set();
    table.section.hidden = Boolean(gone);
    for (const row of table.rows) {
      const hide = Boolean(hidden(row));
      if (hide) out.add(row.index);
      row.element.hidden = hide && !row.anchor; // ratios need their anchor
    }
    if (!gone) fade(table.section, out);
    return gone ? 0 : table.rows.length - out.size;
  }

  // ---- state and URL

  const choices = (name) => [...(form.elements[name]?.options ?? [])].map((option) => option.value);

  function readUrl() {
    const given = new URLSearchParams(location.search);
    const state = { sort: given.get("sort") || "" };
    for (const name of NAMES) {
      const value = given.get(name) || "";
      const known = name === "q" || (name === "front" ? value === "1" : choices(name).includes(value));
      state[name] = known ? value : "";
    }
    return state;
  }

  function readForm(sort) {
    const state = { sort };
    for (const name of NAMES) {
      const field = form.elements[name];
      state[name] = field ? (field.type === "checkbox" ? (field.checked ? "1" : "") : field.value.trim()) : "";
    }
    return state;
  }

  function writeForm(state) {
    for (const name of NAMES) {
      const field = form.elements[name];
      if (field?.type === "checkbox") field.checked = state[name] === "1";
      else if (field) field.value = state[name];
    }
  }

  function writeUrl(state, replace) {
    const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value)).toString();
    const url = location.pathname + (query ? "?" + query : "") + location.hash;
    if (query === location.search.slice(1)) return;
    try {
      history[replace ? "replaceState" : "pushState"](null, "", url);
    } catch {} // some browsers allow only so many changes in half a minute
  }

  let shown = { sort: "" };

  function show(state) {
    if (state.sort !== shown.sort) {
      const down = state.sort.startsWith("-");
      for (const table of tables) sortTable(table, state.sort.replace(/^-/, ""), down);
    }
    if (NAMES.every((name) => state[name] === shown[name])) return (shown = state);
    const total = tables.reduce((sum, table) => sum + table.rows.length, 0);
    const left = tables.reduce((sum, table) => sum + filterTable(table, state), 0);
    output.textContent = `${left.toLocaleString("en")} of ${total.toLocaleString("en")} entries`;
    shown = state;
  }

  function change(replace = false, sort = shown.sort) {
    const state = readForm(sort);
    writeUrl(state, replace);
    show(state);
  }

  // ---- plots

  function pointsOf(figure) {
    const points = [];
    for (const path of figure.querySelectorAll(".dots")) {
      const parts = path.getAttribute("d").match(/M[^M]+/g) ?? [];
      path.dataset.n.split(" ").forEach((row, at) => {
        const [x, y] = parts[at].slice(1).replace("h0", "").split(" ").map(Number);
        points.push({ row: Number(row), x, y, part: parts[at], path });
      });
    }
    for (const link of figure.querySelectorAll("a[data-n]")) {
      const mark = link.querySelector("circle, rect").getBBox();
      const [x, y] = [mark.x + mark.width / 2, mark.y + mark.height / 2];
      const said = link.querySelector("title");
      link.setAttribute("aria-label", said.textContent);
      points.push({ row: Number(link.dataset.n), x, y, link, said: said.textContent });
      said.remove(); // or the browser would show it beside ours
    }
    return points;
  }

  const figures = new Map();

  function fade(section, out) {
    for (const figure of section.querySelectorAll("figure")) {
      if (!figures.has(figure)) {
        if (!out.size) continue;
        figures.set(figure, pointsOf(figure));
      }
      const points = figures.get(figure);
      for (const path of figure.querySelectorAll(".dots:not(.out)")) {
        const mine = points.filter((point) => point.path === path);
        const drawn = (wanted) => mine.filter((point) => out.has(point.row) === wanted).map((point) => point.part).join("");
        let pale = path.nextElementSibling;
        if (!pale?.classList.contains("out")) {
          pale = path.cloneNode();
          pale.classList.add("out");
          path.after(pale);
        }
        path.setAttribute("d", drawn(false));
        pale.setAttribute("d", drawn(true));
      }
      for (const point of points) point.link?.classList.toggle("out", out.has(point.row));
    }
  }

  function describe(table, row) {
    const wide = (key) => {
      const at = table.columns.get(key).at;
      return `${row.element.cells[at].textContent} (${row.element.cells[at + 1].textContent.trim()})`;
    };
    const metric = table.columns.get("q0").heading.textContent;
    return `${cell(row, table, "entry")}: ${metric} ${wide("q0")}, ${wide("request")} × faster, ${cell(row, table, "smaller")} × smaller`;
  }

  function addTip(figure, table) {
    const svg = figure.querySelector("svg");
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    figure.append(tip);
    const points = () => figures.get(figure) ?? figures.set(figure, pointsOf(figure)).get(figure);
    let near = null;
    const say = (point) => {
      near?.link?.classList.remove("near");
      near = point;
      tip.hidden = !point;
      if (!point) return;
      point.link?.classList.add("near");
      tip.textContent = point.said ?? describe(table, table.rows[point.row]);
      const scale = svg.clientWidth / svg.viewBox.baseVal.width;
      const left = svg.offsetLeft ?? 0;
      tip.style.left = Math.max(0, Math.min(point.x * scale + 10, figure.clientWidth - tip.offsetWidth)) + "px";
      tip.style.top = figure.querySelector("figcaption").offsetHeight + point.y * scale + 12 + "px";
    };
    const closest = (event) => {
      const box = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / box.width;
      const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
      let best = null, least = 14 * 14;
      for (const point of points()) {
        const far = (point.x - x) ** 2 + (point.y - y) ** 2;
        if (far < least) [best, least] = [point, far];
      }
      return best;
    };
    svg.addEventListener("pointermove", (event) => say(closest(event)));
    svg.addEventListener("pointerleave", () => say(null));
    svg.addEventListener("focusin", (event) => say(points().find((point) => point.link === event.target.closest("a")) ?? null));
    svg.addEventListener("focusout", () => say(null));
    svg.addEventListener("click", (event) => {
      const point = closest(event);
      if (point && !point.link) location.hash = table.rows[point.row].element.id;
    });
  }

  // ---- notes

  addEventListener("pointerover", (event) => {
    const link = event.target.closest?.('a[href^="#note-"]');
    if (link) link.title = document.getElementById(link.hash.slice(1)).textContent;
  });

  // ---- colours

  function addTheme() {
    const button = document.getElementById("theme");
    const preferred = matchMedia("(prefers-color-scheme: dark)");
    const root = document.documentElement;
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : preferred.matches);
    const label = () => (button.textContent = dark() ? "Light" : "Dark");
    try {
      const kept = localStorage.getItem("harness-theme");
      if (kept === "dark" || kept === "light") root.dataset.theme = kept;
    } catch {} // a browser that keeps nothing
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      label();
      try {
        localStorage.setItem("harness-theme", root.dataset.theme);
      } catch {}
    });
    preferred.addEventListener("change", label);
    button.hidden = false;
    label();
  }

  // ---- start

  for (const table of tables) {
    for (const [key, { heading }] of table.columns) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      button.addEventListener("click", () => {
        const first = /^(q\d+|request|forward|smaller|front)$/.test(key) ? ["-" + key, key, ""] : [key, "-" + key, ""];
        change(false, first[(first.indexOf(shown.sort) + 1) % 3]);
      });
      heading.replaceChildren(button);
    }
    for (const figure of table.section.querySelectorAll("figure")) addTip(figure, table);
  }
  form.addEventListener("input", (event) => change(event.target.name === "q"));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    writeForm(Object.fromEntries(NAMES.map((name) => [name, ""])));
    change(false, "");
  });
  const restore = () => {
    const state = readUrl();
    writeForm(state);
    show(state);
  };
  addEventListener("popstate", restore);
  form.hidden = false;
  addTheme();
  restore();
  // What the address names may be hidden by filters that it also names.
  addEventListener("hashchange", () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target?.hidden || target?.closest("section.class")?.hidden) form.reset();
  });
})();
