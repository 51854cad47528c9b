// A button. Its message carries what stands in the boxes beside it: see action.py.

const REFERENCE = "IPY_MODEL_";
const TYPED = ":is(input[type=text], input[type=number], textarea)";
const LONGEST = 5000; // ms that a press waits for what was typed before it

const state = (models) =>
  models.map((one) => {
    const labels = one.get("_options_labels");
    return labels ? labels[one.get("index")] : one.get("value");
  });

// ipywidgets holds a value back while the one before it is on its way. One that arrived after the press would undo it.
async function arrived(models) {
  const end = Date.now() + LONGEST;
  while (models.some((one) => one._pending_msgs) && Date.now() < end) await new Promise((done) => setTimeout(done, 10));
}

function makeButton(model, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "jupyter-widgets jupyter-button widget-button";
  if (model.get("look")) button.classList.add(`mod-${model.get("look")}`);
  button.style.width = "auto";
  button.dataset.lmSuppressShortcuts = "true"; // a key pressed here is none for the notebook
  button.addEventListener("click", act);
  return button;
}

// Copy text, or else show it selected. Not every page has a clipboard: one that came over plain HTTP has none.
async function copy(text, el) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = Object.assign(document.createElement("textarea"), { value: text, readOnly: true, className: "sevlab-copy" });
    box.setAttribute("aria-label", "The text to copy");
    el.append(box);
    box.select();
    const done = document.execCommand("copy");
    if (done) box.remove();
    return done;
  }
}

function save(name, buffer) {
  const url = URL.createObjectURL(new Blob([buffer], { type: "application/octet-stream" }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// What the kernel asks for after a press: text to copy, a file to save, or a result to bring into view.
async function answer(el, told, content, buffers) {
  for (const old of el.querySelectorAll(".sevlab-copy")) old.remove();
  told.textContent = "";
  if (content.copy !== undefined) {
    const done = await copy(content.copy, el);
    told.textContent = done ? `Copied ${content.copy.length} characters.` : "Not copied: press Ctrl+C, it is selected below.";
  } else if (content.save !== undefined) {
    save(content.save, buffers[0]);
    told.textContent = `Saved as ${content.save}.`;
  } else if (content.reveal !== undefined) {
    // A moment later: what is to be shown was sent before this, and is drawn then.
    setTimeout(() => {
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      const shown = el.closest(".sevlab-page")?.querySelector(content.reveal);
      // Of what is too long for the window its beginning.
      const block = shown?.offsetHeight > 0.6 * innerHeight ? "start" : "nearest";
      shown?.scrollIntoView({ block, behavior: calm ? "auto" : "smooth" });
    }, 50);
  }
}

function render({ model, el }) {
  let models = []; // those of the boxes beside, once they are known
  const known = () =>
    Promise.all(model.get("beside").map((name) => model.widget_manager.get_model(name.slice(REFERENCE.length))));
  let ready = known().then((found) => { models = found; });
  const again = () => { ready = known().then((found) => { models = found; }); };

  const act = async () => {
    // What is being typed is sent now, not after its pause: not every press takes the focus from its box.
    const typing = el.closest(".sevlab-page, .sevlab-frame")?.querySelector(`${TYPED}:focus`);
    typing?.dispatchEvent(new Event("change", { bubbles: true }));
    if (models.length !== model.get("beside").length) await ready;
    // Read before anything is waited for: what the kernel answers to something else must not change what was pressed.
    const seen = state(models);
    await arrived(models);
    model.send({ state: seen });
  };
  const button = makeButton(model, act);
  const told = document.createElement("span");
  told.setAttribute("role", "status");
  told.className = "sevlab-told";
  el.append(button, told);
  const hear = (content, buffers) => answer(el, told, content, buffers);
  const show = () => {
    button.textContent = model.get("description");
    button.disabled = model.get("disabled");
    if (model.get("expanded") !== null) button.setAttribute("aria-expanded", model.get("expanded"));
  };
  const events = "change:description change:disabled change:expanded";
  model.on(events, show);
  model.on("change:beside", again);
  model.on("msg:custom", hear);
  show();
  return () => {
    model.off(events, show);
    model.off("msg:custom", hear);
    model.off("change:beside", again);
  };
}

export default { render };
