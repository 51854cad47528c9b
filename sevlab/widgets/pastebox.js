// A box for text of any size. What the kernel's connection would not take is refused, and only its length is sent.

function render({ model, el }) {
  const box = document.createElement("textarea");
  box.placeholder = model.get("placeholder");
  box.setAttribute("aria-label", model.get("label"));
  box.spellcheck = false;
  Object.assign(box.style, { height: "9em", width: "100%", boxSizing: "border-box" });
  // The look of ipywidgets' own boxes, in every theme.
  el.classList.add("jupyter-widgets", "widget-textarea");
  el.append(box);

  const show = () => {
    if (box.value !== model.get("value")) box.value = model.get("value");
  };

  // Before it is in the box: to lay out tens of megabytes takes a browser long, or its life.
  const guard = (event) => {
    const text = (event.clipboardData ?? event.dataTransfer)?.getData("text") ?? "";
    const length = box.value.length - (box.selectionEnd - box.selectionStart) + text.length;
    if (length <= model.get("limit")) return;
    event.preventDefault();
    model.send({ refused: text.length });
  };
  box.addEventListener("paste", guard);
  box.addEventListener("drop", guard);
  box.addEventListener("change", () => {
    if (box.value.length > model.get("limit")) {
      model.send({ refused: box.value.length });
      show();
    } else {
      model.set("value", box.value);
      model.save_changes();
    }
  });
  model.on("change:value", show);
  show();
  return () => model.off("change:value", show);
}

export default { render };
