// What all explorers share on the page: text counts after a short pause, a field and the rows of tables that consume its
// bytes are marked together, and the box of what cannot be read says so. And what opens and closes a part.

const TABLES = ".sevlab-loaded, .sevlab-chain, .sevlab-checklist";
const LONGEST = 1 << 20; // characters in a box: JupyterLab drops the connection, without a word, over a message of 10 MiB
const PAUSE = 300; // ms without a key after which what was typed counts

function renderFrame({ model, el }) {
  const stop = new AbortController(), timers = new Map();
  const root = () => el.closest(".sevlab-frame");
  const on = (event, act) => document.addEventListener(event, (e) => { if (root()?.contains(e.target)) act(e); }, { signal: stop.signal });
  el.style.display = "none";

  const isText = (target) => target.matches("input:is([type=text], [type=number]), textarea") && !target.closest(".sevlab-map");
  // A number can be stepped, by its arrows and by keys; the kernel reads its text, and nothing snaps while one types.
  const step = ({ target }) => { if (target.matches(".sevlab-number input")) target.type = "number"; };
  on("mouseover", step);
  on("focusin", step);
  on("focusin", ({ target }) => { if (isText(target)) target.maxLength = LONGEST; });
  on("input", ({ target }) => {
    // There is something to take back, though the kernel does not know it yet.
    for (const button of root().querySelectorAll(".sevlab-undo button")) button.disabled = false;
    if (!isText(target)) return;
    if (target.value.length > LONGEST) target.value = target.value.slice(0, LONGEST); // which a number's box does not do
    clearTimeout(timers.get(target));
    // As if the box were left: so every box of ipywidgets sends its text, and a press of a button finds it sent.
    timers.set(target, setTimeout(() => target.dispatchEvent(new Event("change", { bubbles: true })), PAUSE));
  });
  on("change", ({ target }) => { clearTimeout(timers.get(target)); timers.delete(target); });

  const map = () => root()?.querySelector(".sevlab-linked-map");
  const row = (number) => root()?.querySelector(`:is(${TABLES}) table`)?.rows[number];
  on("sevlab-marked", ({ target, detail }) => {
    if (!map()?.contains(target)) return;
    for (const [number, field] of Object.entries(model.get("links"))) {
      row(number)?.classList.toggle("sevlab-linked", detail === field || (field === "*" && detail !== ""));
    }
  });
  let under = null; // the row under the pointer
  on("mouseover", ({ target }) => {
    const now = target.closest("tr");
    if (now === under) return;
    const fieldOf = (one) => one && Object.entries(model.get("links")).find(([number]) => row(number) === one)?.[1];
    const before = fieldOf(under), field = fieldOf(now);
    under = now;
    if (before === undefined && field === undefined) return;
    map()?.querySelector(".sevlab-bytemap").dispatchEvent(new CustomEvent("sevlab-point", { bubbles: true, detail: field ?? "" }));
  });

  const note = () => {
    for (const label of root()?.querySelectorAll(".widget-label") ?? []) {
      const box = label.parentElement.querySelector("input, textarea, select");
      if (label.textContent === model.get("wrong")) box?.setAttribute("aria-invalid", "true");
      else box?.removeAttribute("aria-invalid");
    }
  };
  model.on("change:wrong", note);
  return () => { stop.abort(); model.off("change:wrong", note); };
}

function renderDisclosure({ model, el }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sevlab-disclosure";
  button.addEventListener("click", () => { model.set("is_open", !model.get("is_open")); model.save_changes(); });
  button.addEventListener("keydown", (event) => { if (event.key !== "Tab") event.stopPropagation(); });
  const show = () => {
    button.textContent = `${model.get("is_open") ? "▾" : "▸"} ${model.get("title")}`;
    button.setAttribute("aria-expanded", String(model.get("is_open")));
  };
  model.on("change:is_open change:title", show);
  show();
  el.append(button);
  return () => model.off("change:is_open change:title", show);
}

const render = (context) => (context.model.get("title") === undefined ? renderFrame : renderDisclosure)(context);

// Every widget brings this text along; on one page the first of its kind serves them all.
export default () => (globalThis[`sevlab ${renderFrame}`] ??= { render });
