// A button, or a box to edit. Its message carries what stands in the boxes beside it: see action.py.

const REFERENCE = "IPY_MODEL_";

const state = (models) =>
  models.map((one) => {
    const labels = one.get("_options_labels");
    return labels ? labels[one.get("index")] : one.get("value");
  });

function makeButton(model, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "jupyter-widgets jupyter-button widget-button";
  if (model.get("look")) button.classList.add(`mod-${model.get("look")}`);
  button.style.width = "auto";
  button.addEventListener("click", () => act({}));
  return [[button], button, () => { button.textContent = model.get("description"); }];
}

function makeBox(model, act) {
  const whole = document.createElement("label");
  const label = document.createElement("span");
  const box = document.createElement("input");
  box.type = "text";
  label.className = "widget-label";
  label.style.width = "8em";
  whole.style.display = "contents"; // label and box are laid out as ipywidgets lays out its own
  whole.append(label, box);
  box.addEventListener("change", () => {
    model.set("value", box.value); // for the actions that read this box; the kernel has it from the message
    act({ entered: box.value });
  });
  return [[whole], box, () => {
    label.textContent = label.title = model.get("description");
    box.placeholder = model.get("placeholder");
    box.value = model.get("value");
  }];
}

function render({ model, el }) {
  let models = []; // those of the boxes beside, once they are known
  const known = () =>
    Promise.all(model.get("beside").map((name) => model.widget_manager.get_model(name.slice(REFERENCE.length))));
  let ready = known().then((found) => { models = found; });
  const again = () => { ready = known().then((found) => { models = found; }); };

  const act = (what) => {
    // Read now: what the kernel answers to something else must not change what was pressed.
    if (models.length === model.get("beside").length) model.send({ ...what, state: state(models) });
    else ready.then(() => model.send({ ...what, state: state(models) }));
  };
  const isButton = model.get("kind") === "button";
  const [nodes, input, write] = isButton ? makeButton(model, act) : makeBox(model, act);
  if (!isButton) el.classList.add("jupyter-widgets", "widget-inline-hbox", "widget-text");
  el.append(...nodes);
  const show = () => {
    write();
    input.disabled = model.get("disabled");
  };
  const events = "change:description change:value change:placeholder change:disabled";
  model.on(events, show);
  model.on("change:beside", again);
  show();
  return () => {
    model.off(events, show);
    model.off("change:beside", again);
  };
}

export default { render };
