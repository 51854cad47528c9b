// A box for text of any size, and for files. What the kernel's connection would not take is refused, and only its length
// is sent.

function render({ model, el }) {
  const box = document.createElement("textarea");
  box.placeholder = model.get("placeholder");
  box.setAttribute("aria-label", model.get("label"));
  box.spellcheck = false;
  Object.assign(box.style, { height: "8em", width: "100%", boxSizing: "border-box" });
  // The look of ipywidgets' own boxes, in every theme.
  el.classList.add("jupyter-widgets", "widget-textarea");
  el.append(box);

  const show = () => {
    if (box.value !== model.get("value")) box.value = model.get("value");
  };

  const take = async (files) => {
    for (const file of files) {
      if (file.size > model.get("file_limit")) model.send({ refused: file.size, file: file.name });
      else model.send({ file: file.name }, undefined, [await file.arrayBuffer()]);
    }
  };

  // Before it is in the box: to lay out tens of megabytes takes a browser long, or its life.
  const guard = (event) => {
    const data = event.clipboardData ?? event.dataTransfer;
    if (data?.files.length && model.get("file_limit")) {
      event.preventDefault();
      take([...data.files]);
      return;
    }
    const text = data?.getData("text") ?? "";
    const length = box.value.length - (box.selectionEnd - box.selectionStart) + text.length;
    if (length <= model.get("limit")) return;
    event.preventDefault();
    model.send({ refused: text.length });
  };
  box.addEventListener("paste", guard);
  box.addEventListener("drop", guard);
  box.addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  box.addEventListener("change", () => {
    if (box.value.length > model.get("limit")) {
      model.send({ refused: box.value.length });
      show();
    } else {
      model.set("value", box.value);
      model.save_changes();
    }
  });
  if (model.get("file_limit")) {
    const input = Object.assign(document.createElement("input"), { type: "file", multiple: true, hidden: true });
    const words = `Upload files (up to ${model.get("file_limit") >> 20} MiB each)`;
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: words });
    button.className = "jupyter-widgets jupyter-button widget-button";
    button.style.width = "auto";
    button.dataset.lmSuppressShortcuts = "true";
    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      take([...input.files]);
      input.value = "";
    });
    el.append(button, input);
  }
  // The connection would not take megabytes out of any other box of the page either, and the verdict would stay.
  const shorten = ({ target }) => {
    const isOurs = target !== box && target.matches("input[type=text], textarea") && el.closest(".sevlab-page")?.contains(target);
    if (isOurs) target.maxLength = model.get("limit");
  };
  document.addEventListener("focusin", shorten);
  model.on("change:value", show);
  show();
  return () => {
    document.removeEventListener("focusin", shorten);
    model.off("change:value", show);
  };
}

export default { render };
