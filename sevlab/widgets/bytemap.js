// The live byte map: the bytes in a box that scrolls, and beside it what the byte or field under the pointer is, a box to
// edit it, and buttons to copy it. One keyboard stop each for bytes and fields: arrow keys walk, Escape lets go.
// What is under the pointer is marked for the moment; a click, Enter or an arrow key keeps it (the trait "field").

const ROW = 16;
const FOLD = 3; // at least as many rows of zeros in a run are folded
const PAUSE = 300; // ms without a key after which what was typed counts

// Text that somebody typed, without signs that turn or hide what is beside them: as errors.escaped in Python.
const escaped = (text) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);

function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

const hexOf = (number, digits) => `0x${number.toString(16).padStart(digits, "0")}`;
const count = (number) => `${number} byte${number === 1 ? "" : "s"}`;

const short = (text) => (/^[0-9a-f]{41,}$/.test(text) ? `${text.slice(0, 32)}…` : text); // all of it is in the bytes

const FORMS = {
  hex: (hex) => hex,
  base64: (hex) => btoa((hex.match(/../g) ?? []).map((byte) => String.fromCharCode(parseInt(byte, 16))).join("")),
  Python: (hex) => `bytes.fromhex("${hex}")`,
};

// Copies where the page may not use the clipboard too: one that did not come by https, such as a server's in the same room.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const before = document.activeElement;
    const area = element("textarea", { value: text, className: "sevlab-hidden" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus();
    return done;
  }
}

function render({ model, el }) {
  // Numbers the maps of a page, so that their elements' ids differ, however often one map is shown.
  const prefix = `sevlab-map-${(globalThis.sevlabMaps = (globalThis.sevlabMaps ?? 0) + 1)}`;
  let cursor = -1; // the byte under the keyboard, or -1
  let pointed = null; // the field under the pointer
  let cells = []; // the elements of the bytes that are drawn, by offset
  const open = new Set(); // offsets of the runs of zeros that were unfolded

  const title = element("div", { className: "sevlab-title" });
  const grid = element("div", { tabIndex: 0, className: "sevlab-bytemap", role: "grid", "aria-multiselectable": "true" });
  const detail = element("div", { className: "sevlab-detail", role: "status" });
  const edit = element("input", { type: "text", spellcheck: false, maxLength: 20000 });
  const place = element("input", { type: "text", spellcheck: false, size: 7, maxLength: 80 });
  const byte = element("input", { type: "text", spellcheck: false, size: 6, maxLength: 80 });
  const wrong = element("div", { role: "alert", className: "sevlab-wrong" });
  const boxes = element("div", { className: "sevlab-edit" },
    element("label", { className: "sevlab-wide" }, "Value ", edit),
    element("label", {}, "Byte at ", place), element("label", {}, "Byte ", byte), wrong);
  const copies = element("div", { className: "sevlab-copy" });
  const copied = element("span", { role: "status" });
  const list = element("div", { className: "sevlab-fields", role: "toolbar", "aria-label": "Fields" });
  const side = element("div", { className: "sevlab-side" }, detail, boxes, copies, list);
  el.classList.add("sevlab-map");
  el.append(title, element("div", { className: "sevlab-body" }, grid, side));

  const spans = () => model.get("spans");
  const spanAt = (offset) => spans().find((s) => offset >= s.offset && offset < s.offset + s.size);
  const chosen = () => spans().find((s) => s.name === model.get("field"));
  const size = () => spans().reduce((end, s) => Math.max(end, s.offset + s.size), 0);
  const lettered = () => spans().length <= 26; // beyond Z a letter says nothing
  const named = (span) => (lettered() ? `${span.letter}: ${span.name}` : span.name);
  const hexAt = (at) => { const span = spanAt(at); return span.hex.slice(2 * (at - span.offset), 2 * (at - span.offset) + 2); };

  function describe(span) {
    if (!span) return ["Point at a byte or a field to see what it is."];
    if (span.whole) return [`All ${count(span.size)}.`];
    const words = [`, offset ${hexOf(span.offset, 2)}, ${count(span.size)}: ${short(span.text)}. ${span.doc}`];
    if (span.finding) words.push(` ODD: ${span.finding}.`);
    if (span.marked.length) words.push(` ${model.get("mark_meaning")}`);
    return [element("b", { textContent: named(span) }), words.join("")];
  }

  function select(name, at = -1) {
    cursor = at;
    pointed = null;
    model.set("field", name);
    model.save_changes();
    mark();
    reveal();
  }

  // "*" is all of it.
  const found = (name) =>
    name === "*" ? { name, whole: true, offset: 0, size: size() } : spans().find((s) => s.name === name) ?? null;

  function point(name) {
    pointed = found(name);
    mark();
  }

  // Scrolls the box of the bytes, and never the page.
  function reveal(span = chosen()) {
    const at = span === chosen() && cursor >= 0 ? cursor : span?.offset;
    if (at === undefined) return;
    const fold = folds().find(([start, end]) => at >= start && at < end && !open.has(start));
    if (fold && span === chosen()) {
      open.add(fold[0]);
      draw();
    }
    const cell = cells[at] ?? grid.querySelector(`[data-fold='${fold?.[0]}']`);
    if (!cell) return;
    const box = grid.getBoundingClientRect(), seen = cell.getBoundingClientRect(), head = grid.firstChild.offsetHeight;
    if (seen.top < box.top + head) grid.scrollTop -= box.top + head - seen.top;
    else if (seen.bottom > box.bottom) grid.scrollTop += seen.bottom - box.bottom + 4;
  }

  function mark() {
    const kept = chosen(), shown = pointed ?? kept;
    if (!kept) cursor = -1;
    else if (cursor < kept.offset || cursor >= kept.offset + kept.size) cursor = kept.offset;
    cells.forEach((cell, offset) => {
      const isIn = (span) => Boolean(span) && offset >= span.offset && offset < span.offset + span.size;
      cell.setAttribute("aria-selected", String(isIn(kept)));
      cell.classList.toggle("sevlab-pointed", isIn(pointed));
      cell.classList.toggle("sevlab-cursor", offset === cursor);
    });
    const names = [...list.children].map((one) => one.dataset.field);
    const stop = Math.max(0, names.indexOf(kept?.name)); // the one that Tab reaches
    [...list.children].forEach((button, number) => {
      button.setAttribute("aria-pressed", String(button.dataset.field === kept?.name));
      button.classList.toggle("sevlab-pointed", Boolean(pointed?.whole) || button.dataset.field === pointed?.name);
      if (!list.contains(document.activeElement)) button.tabIndex = number === stop ? 0 : -1;
    });
    if (cells[cursor]) grid.setAttribute("aria-activedescendant", cells[cursor].id);
    else grid.removeAttribute("aria-activedescendant");
    detail.replaceChildren(...describe(shown));
    if (!pointed && !model.get("error")) {
      // What is being typed, and what could not be read, stays as it is.
      const fill = (box, text) => { if (box !== document.activeElement || box.dataset.of !== `${kept?.name} ${cursor}`) box.value = text; };
      fill(edit, kept?.edit ?? "");
      fill(place, kept ? hexOf(cursor, 3) : "");
      fill(byte, kept ? `0x${hexAt(cursor)}` : "");
      for (const box of [edit, place, byte]) box.dataset.of = `${kept?.name} ${cursor}`;
      edit.disabled = byte.disabled = !kept;
    }
    for (const button of copies.querySelectorAll("[data-of=field]")) {
      button.disabled = !kept;
      button.setAttribute("aria-label", `Copy ${kept?.name ?? "the field"} as ${button.textContent}`);
    }
    el.dispatchEvent(new CustomEvent("sevlab-marked", { bubbles: true, detail: shown?.name ?? "" }));
  }

  // Runs of whole rows that are all zero, as [first offset, offset after the last].
  function folds() {
    const runs = [];
    const isPlain = Array.from({ length: Math.floor(size() / ROW) }, () => true);
    for (const span of spans()) {
      (span.hex.match(/../g) ?? []).forEach((hex, i) => {
        if (hex !== "00" || span.marked.includes(span.offset + i)) isPlain[Math.floor((span.offset + i) / ROW)] = false;
      });
    }
    isPlain.forEach((plain, row) => {
      if (!plain) return;
      if (runs.at(-1)?.[1] === row * ROW) runs.at(-1)[1] += ROW;
      else runs.push([row * ROW, (row + 1) * ROW]);
    });
    return runs.filter(([start, end]) => end - start >= FOLD * ROW);
  }

  function foldRow(start, end) {
    const names = spans().filter((s) => s.offset < end && s.offset + s.size > start).map((s) => s.name);
    const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
    const words = `${end - start} zero bytes: ${names.slice(0, 3).join(", ")}${more}`;
    const button = element("button", { type: "button", className: "sevlab-fold", "aria-expanded": String(open.has(start)) });
    button.textContent = `${open.has(start) ? "▾ Fold" : "▸"} ${words}`;
    button.dataset.fold = start;
    button.addEventListener("click", () => {
      if (!open.delete(start)) open.add(start);
      draw();
      grid.querySelector(`[data-fold='${start}']`)?.focus();
    });
    button.addEventListener("keydown", (event) => { if (["Enter", " "].includes(event.key)) event.stopPropagation(); });
    return element("div", { role: "row", className: "sevlab-row" }, element("span", { role: "rowheader", textContent: hexOf(start, 2) }),
      element("span", { role: "gridcell", "aria-colspan": ROW }, button));
  }

  function drawCell(span, offset, hex) {
    const changed = span.marked.includes(offset), start = offset === span.offset ? " sevlab-start" : "";
    const cell = element("span", { id: `${prefix}-${offset}`, role: "gridcell", className: `sevlab-cell${start}` }, hex);
    cell.setAttribute("aria-label", `byte ${offset}, ${hex}, ${span.name}${changed ? ", changed" : ""}`);
    cell.style.background = span.colour;
    cell.style.color = model.get("ink");
    cell.dataset.offset = offset;
    if (changed) cell.append(element("span", { className: "sevlab-mark", textContent: "*" }));
    if (span.other) {
      const other = span.other.slice(2 * (offset - span.offset), 2 * (offset - span.offset) + 2);
      cell.append(element("span", { className: `sevlab-other${other === hex ? "" : " sevlab-differs"}`, textContent: other }));
    }
    if (lettered()) cell.append(element("span", { className: "sevlab-letter", textContent: span.letter }));
    return cell;
  }

  function drawField(span) {
    const words = lettered() ? `${span.letter} ${span.name}: ${short(span.text)}` : span.name;
    const button = element("button", { type: "button", textContent: words });
    button.style.background = span.colour;
    button.style.color = model.get("ink");
    button.dataset.field = span.name;
    button.addEventListener("click", () => select(model.get("field") === span.name ? "" : span.name));
    for (const event of ["mouseenter", "focus"]) button.addEventListener(event, () => { point(span.name); reveal(span); });
    for (const event of ["mouseleave", "blur"]) button.addEventListener(event, () => point(null));
    return button;
  }

  function draw() {
    const top = grid.scrollTop, focus = list.contains(document.activeElement) ? document.activeElement.dataset.field : null;
    title.textContent = model.get("title");
    grid.setAttribute("aria-label", `${model.get("title")}. Arrow keys move, Escape lets go.`);
    boxes.hidden = !model.get("editable");
    copies.hidden = !spans().length;
    const head = element("div", { className: "sevlab-row sevlab-head", "aria-hidden": "true" }, element("span"));
    for (let i = 0; i < ROW; i++) head.append(element("span", { textContent: `+${i.toString(16)}` }));
    const rows = [head], folded = folds();
    cells = [];
    for (const span of spans()) {
      (span.hex.match(/../g) ?? []).forEach((hex, i) => {
        const offset = span.offset + i;
        const fold = folded.find(([start, end]) => offset >= start && offset < end);
        if (fold && offset === fold[0]) rows.push(foldRow(...fold));
        if (fold && !open.has(fold[0])) return;
        if (offset % ROW === 0) {
          const header = element("span", { role: "rowheader", textContent: hexOf(offset, 2) });
          rows.push(element("div", { role: "row", className: "sevlab-row" }, header));
        }
        cells[offset] = drawCell(span, offset, hex);
        rows.at(-1).append(cells[offset]);
      });
    }
    grid.replaceChildren(...rows);
    grid.scrollTop = top;
    list.replaceChildren(...spans().map(drawField));
    pointed = found(pointed?.name);
    if (focus) [...list.children].find((one) => one.dataset.field === focus)?.focus();
    const whole = copies.querySelector("[data-of=whole] + *");
    if (whole) whole.title = count(size());
    mark();
  }

  // Buttons to copy.
  const wholeHex = () => spans().map((s) => s.hex).join("");
  for (const [of, label, hex] of [["field", "Copy field:", () => chosen()?.hex ?? ""], ["whole", "Copy all:", wholeHex]]) {
    const group = element("span", { role: "group", "aria-label": label.slice(0, -1) }, label);
    for (const [form, write] of Object.entries(FORMS)) {
      const button = element("button", { type: "button", textContent: form, "aria-label": `Copy all bytes as ${form}` });
      button.dataset.of = of;
      button.addEventListener("click", async () => {
        const done = await copy(write(hex()));
        copied.textContent = done ? `Copied ${count(hex().length / 2)}.` : "The browser refused. Select the bytes and press Ctrl+C.";
      });
      group.append(" ", button);
    }
    copies.append(group);
  }
  copies.append(copied);

  // A selection is copied as hex and nothing else, with the line breaks of the rows.
  el.addEventListener("copy", (event) => {
    const selection = document.getSelection();
    if (!selection.rangeCount || !grid.contains(event.target)) return;
    const range = selection.getRangeAt(0);
    const isIn = (cell) => {
      const text = cell.firstChild;
      const nothing = (range.startContainer === text && range.startOffset === text.length) ||
        (range.endContainer === text && range.endOffset === 0);
      return range.intersectsNode(text) && !nothing;
    };
    const lines = [];
    cells.forEach((cell, offset) => {
      if (!isIn(cell)) return;
      const row = Math.floor(offset / ROW);
      (lines[row] ??= []).push(cell.firstChild.data);
    });
    const text = Object.values(lines).map((row) => row.join(" ")).join("\n");
    if (!text) return;
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
  });

  // Edits. Each message says what it is an edit of, so none acts on another field than the one on the screen.
  function watch(box, act) {
    let timer = 0;
    const now = () => { clearTimeout(timer); timer = 0; act(box.value); };
    box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(now, PAUSE); });
    box.addEventListener("change", now);
  }
  watch(edit, (text) => { if (chosen()) model.send({ edit: text, field: chosen().name }); });
  watch(byte, (text) => { if (cursor >= 0) model.send({ edit: text, byte: cursor }); });
  watch(place, (text) => {
    const at = /^\s*(0x[0-9a-f]+|[0-9]+)\s*$/i.test(text) ? Number(text) : -1;
    if (at >= 0 && at < size()) {
      wrong.textContent = model.get("error");
      select(spanAt(at).name, at);
    } else wrong.textContent = `Byte at: received '${escaped(text.slice(0, 80))}'; needed 0 to ${size() - 1}, in decimal or 0x hex`;
  });

  grid.addEventListener("mouseover", (event) => {
    const cell = event.target.closest("[data-offset]");
    if (cell && pointed?.name !== spanAt(Number(cell.dataset.offset)).name) point(spanAt(Number(cell.dataset.offset)).name);
  });
  grid.addEventListener("mouseleave", () => point(null));
  grid.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-offset]");
    if (!cell || !document.getSelection().isCollapsed) return; // bytes were selected to be copied
    select(spanAt(Number(cell.dataset.offset)).name, Number(cell.dataset.offset));
    grid.focus({ preventScroll: true });
  });
  grid.addEventListener("keydown", (event) => {
    if (event.target !== grid) return;
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: ROW, ArrowUp: -ROW };
    const last = size() - 1;
    let next = null;
    if (event.key in moves) next = cursor < 0 ? 0 : Math.min(last, Math.max(0, cursor + moves[event.key]));
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = last;
    else if (event.key === "Escape") select("");
    else return;
    event.preventDefault();
    if (next !== null && last >= 0) select(spanAt(next).name, next);
  });
  list.addEventListener("keydown", (event) => {
    const all = [...list.children], at = all.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step === undefined || at < 0) return;
    event.preventDefault();
    const next = all[(at + step + all.length) % all.length];
    all.forEach((one) => { one.tabIndex = one === next ? 0 : -1; });
    next.focus();
  });
  // Otherwise the notebook's own shortcuts fire: b inserts a cell, d d deletes one.
  el.addEventListener("keydown", (event) => event.stopPropagation());
  // A row of a table that the frame around this map links with a field of it is under the pointer.
  el.addEventListener("sevlab-point", (event) => {
    point(event.detail);
    if (pointed) reveal(pointed);
  });

  const chose = () => { mark(); reveal(); };
  const failed = () => {
    wrong.textContent = model.get("error");
    mark();
  };
  // anywidget gives an element the classes that its model has at first, and none later.
  const dim = () => el.classList.toggle("sevlab-stale", model.get("_dom_classes").includes("sevlab-stale"));
  const heard = { "change:_dom_classes": dim, "change:spans change:title change:editable": draw, "change:field": chose, "change:error": failed };
  for (const [events, act] of Object.entries(heard)) model.on(events, act);
  draw();
  failed();
  return () => { for (const [events, act] of Object.entries(heard)) model.off(events, act); };
}

// Every widget brings this text along; on one page the first of its kind serves them all.
export default () => (globalThis[`sevlab ${render}`] ??= { render });
