// The live byte map. One keyboard stop: Tab reaches the grid, arrow keys walk its bytes, Escape lets go.
// Selecting a byte marks its field, selecting a field in the list marks its bytes.

const ROW = 16;
const WIDTH = "2.4em"; // of one byte
const MARGIN = "3.5em"; // of the offsets before a row
// Numbers the maps of a page, so that their elements' ids differ. Each widget has this module for itself, so the count
// is the page's.
const nextMap = () => (globalThis.sevlabMaps = (globalThis.sevlabMaps ?? 0) + 1);

function element(tag, properties = {}, style = {}) {
  const node = document.createElement(tag);
  Object.assign(node, properties);
  Object.assign(node.style, style);
  return node;
}

function render({ model, el }) {
  const prefix = `sevlab-map-${nextMap()}`;
  let cursor = -1; // the byte under the keyboard, or -1

  const title = element("div", {}, { fontWeight: "bold", margin: "4px 0" });
  const grid = element("div", { tabIndex: 0, className: "sevlab-bytemap" }, { outlineOffset: "2px", display: "inline-block" });
  grid.setAttribute("role", "grid");
  const detail = element("div", { className: "sevlab-detail" }, { minHeight: "2.6em", margin: "6px 0", maxWidth: "60em" });
  detail.setAttribute("role", "status");
  const list = element("div", { className: "sevlab-fields" }, { display: "flex", flexWrap: "wrap", gap: "4px" });
  el.style.fontFamily = "var(--jp-ui-font-family, sans-serif)";
  el.style.margin = "0 0 14px";
  el.append(title, grid, detail, list);

  const spans = () => model.get("spans");
  const spanAt = (offset) => spans().find((s) => offset >= s.offset && offset < s.offset + s.size);
  const describe = (span) =>
    span ? `${span.letter}: ${span.name}, offset 0x${span.offset.toString(16).padStart(2, "0")}, ` +
      `${span.size} byte${span.size === 1 ? "" : "s"}: ${span.text}. ${span.doc}` +
      (span.finding ? ` ODD: ${span.finding}.` : "") + (span.marked.length ? ` ${model.get("mark_meaning")}` : "")
    : "Select a byte, or a field below, to see what it is.";

  function select(name, at = -1) {
    cursor = at;
    model.set("field", name);
    model.save_changes();
    mark();
  }

  function mark() {
    const chosen = spans().find((s) => s.name === model.get("field"));
    if (!chosen) cursor = -1;
    else if (cursor < chosen.offset || cursor >= chosen.offset + chosen.size) cursor = chosen.offset;
    for (const cell of grid.querySelectorAll("[data-offset]")) {
      const inside = chosen && spanAt(Number(cell.dataset.offset)) === chosen;
      cell.setAttribute("aria-selected", inside ? "true" : "false");
      cell.style.outline = inside ? "3px solid #b00020" : "none";
      cell.style.outlineOffset = "-3px";
      cell.style.textDecoration = Number(cell.dataset.offset) === cursor ? "underline" : "none";
    }
    for (const button of list.children) {
      const inside = chosen && button.dataset.field === chosen.name;
      button.setAttribute("aria-pressed", inside ? "true" : "false");
      button.style.outline = inside ? "3px solid #b00020" : "none";
    }
    if (cursor >= 0) grid.setAttribute("aria-activedescendant", `${prefix}-${cursor}`);
    else grid.removeAttribute("aria-activedescendant");
    detail.textContent = describe(chosen);
  }

  function draw() {
    title.textContent = model.get("title");
    grid.setAttribute("aria-label", `${model.get("title")}. Arrow keys move, Escape lets go.`);
    grid.replaceChildren();
    list.replaceChildren();
    let row = element("div", { ariaHidden: "true" }, { display: "flex", marginLeft: MARGIN });
    for (let i = 0; i < ROW; i++) {
      row.append(element("span", { textContent: `+${i.toString(16)}` }, { width: WIDTH, textAlign: "center", fontFamily: "monospace" }));
    }
    grid.append(row);
    for (const span of spans()) {
      const bytes = span.hex.match(/../g) || [];
      bytes.forEach((hex, i) => {
        const offset = span.offset + i;
        if (offset % ROW === 0) {
          row = element("div", {}, { display: "flex" });
          row.setAttribute("role", "row");
          row.append(element("span", { textContent: `0x${offset.toString(16).padStart(2, "0")}` },
            { width: MARGIN, fontFamily: "monospace", alignSelf: "center" }));
          row.firstChild.setAttribute("role", "rowheader");
          grid.append(row);
        }
        const changed = span.marked.includes(offset);
        const cell = element("div", { id: `${prefix}-${offset}`, title: describe(span) }, {
          background: span.colour, color: model.get("ink"), border: `1px solid ${model.get("ink")}`,
          borderLeftWidth: i === 0 ? "3px" : "1px", width: WIDTH, textAlign: "center", fontFamily: "monospace",
          boxSizing: "border-box", lineHeight: "1.25", cursor: "pointer", fontWeight: changed ? "bold" : "normal", userSelect: "none",
        });
        cell.setAttribute("role", "gridcell");
        cell.setAttribute("aria-label", `byte ${offset}, ${hex}, ${span.name}${changed ? ", changed" : ""}`);
        cell.dataset.offset = offset;
        cell.append(`${hex}${changed ? "*" : ""}`, element("br"), span.letter);
        cell.addEventListener("click", () => { select(span.name, offset); grid.focus(); });
        cell.addEventListener("mouseenter", () => { detail.textContent = describe(span); });
        row.append(cell);
      });
      const button = element("button", { type: "button", tabIndex: -1, textContent: `${span.letter} ${span.name}: ${span.text}` }, {
        background: span.colour, color: model.get("ink"), border: `1px solid ${model.get("ink")}`, cursor: "pointer",
        font: "inherit", padding: "2px 6px", maxWidth: "100%", overflowWrap: "anywhere", textAlign: "left",
      });
      button.dataset.field = span.name;
      button.addEventListener("click", () => select(model.get("field") === span.name ? "" : span.name));
      list.append(button);
    }
    mark();
  }

  grid.addEventListener("mouseleave", mark);
  grid.addEventListener("keydown", (event) => {
    const last = spans().reduce((end, s) => Math.max(end, s.offset + s.size), 0) - 1;
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: ROW, ArrowUp: -ROW };
    let next = null;
    if (event.key in moves) next = cursor < 0 ? 0 : Math.min(last, Math.max(0, cursor + moves[event.key]));
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = last;
    else if (event.key === "Escape") select("");
    else return;
    event.preventDefault();
    if (next !== null) select(spanAt(next).name, next);
  });
  // Otherwise the notebook's own shortcuts fire: b inserts a cell, d d deletes one.
  el.addEventListener("keydown", (event) => event.stopPropagation());

  model.on("change:spans", draw);
  model.on("change:title", draw);
  model.on("change:field", mark);
  draw();
  return () => { model.off("change:spans", draw); model.off("change:title", draw); model.off("change:field", mark); };
}

export default { render };
