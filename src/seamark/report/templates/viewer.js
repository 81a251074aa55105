"use strict";
// Viewer: one image with switchable layers and zoom. The address names the image, so that it can be linked and the
// browser's back button closes the viewer.

(() => {
  const LAYERS = ["photograph", "map", "coarse", "refined", "truth"];
  const LARGEST_SCALE = 32;
  const KEPT_PX = 48; // of the image that always stay in sight
  const GATE = {
    kept: "",
    emptied: "Called good, so the refined mask was emptied; the coarse mask shows what was found.",
    marked: "Called bad with nothing found, so the refined mask marks the place of the highest score.",
  };
  const dialog = document.getElementById("viewer");
  const stage = dialog.querySelector(".stage");
  const stack = dialog.querySelector(".stack");
  const note = dialog.querySelector(".stage-note");
  const help = dialog.querySelector(".help");
  const slider = dialog.querySelector("input[type=range]");
  const buttons = new Map(LAYERS.map((name) => [name, dialog.querySelector(`[data-layer=${name}]`)]));
  const pageTitle = document.title;
  const view = { scale: 1, x: 0, y: 0, fitted: true };
  let gallery = null;
  let image = null;
  let entered = false; // whether going back in the history leaves the viewer

  const element = (name, text, properties = {}) => {
    const made = Object.assign(document.createElement(name), properties);
    if (text !== null) made.textContent = text;
    return made;
  };
  const raw = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(4)).toString());
  const px = (value) => `${value.toLocaleString("en")} px`;
  const switchedOn = new Set(LAYERS.filter((name) => buttons.get(name).ariaPressed === "true")); // whatever an image has
  const shown = (name) => switchedOn.has(name) && Boolean(image.layers[name]);

  // ---- Address ----

  const parse = (hash) => {
    if (!hash.startsWith("#image=")) return null;
    try {
      const parts = hash.slice(7).split("/").map(decodeURIComponent);
      return parts.length === 3 ? parts : null;
    } catch {
      return null;
    }
  };

  const route = async () => {
    const key = parse(location.hash);
    if (key === null) return hide();
    const found = seamark.galleries.get(key[0]);
    try {
      await found?.load();
    } catch {
      return undefined;
    }
    if (location.hash && parse(location.hash)?.join("/") !== key.join("/")) return undefined;
    const wanted = found?.find(key[1], key[2]);
    if (!wanted) return leave();
    gallery = found;
    return show(wanted);
  };

  const leave = () => {
    if (entered) {
      entered = false;
      history.back();
    } else {
      history.replaceState(null, "", "#images");
      hide();
    }
  };

  const hide = () => {
    entered = false;
    document.title = pageTitle;
    if (!dialog.open) return;
    dialog.close();
    const shot = gallery.shots.get(image);
    if (shot.isConnected && !document.activeElement.closest(".verdict")) {
      shot.scrollIntoView({ block: "nearest" });
      shot.focus({ preventScroll: true });
    }
  };

  const step = (by) => {
    const next = gallery.order[gallery.order.indexOf(image) + by];
    if (!next) return;
    history.replaceState(null, "", seamark.hashOf(gallery.category, next));
    show(next);
  };

  // ---- One image ----

  const show = (wanted) => {
    const resized = image === null || image.layer_size.join() !== wanted.layer_size.join();
    image = wanted;
    help.hidden = true;
    dialog.querySelector("h2").textContent = image.id;
    document.title = `${image.id} – ${pageTitle}`;
    const place = gallery.order.indexOf(image);
    dialog.querySelector(".viewer-place").textContent =
      `${gallery.category} · ${image.split} · ` + (place < 0 ? "not in the gallery's selection" : `${place + 1} of ${gallery.order.length}`);
    dialog.querySelector("[data-do=previous]").disabled = place <= 0;
    dialog.querySelector("[data-do=next]").disabled = place < 0 || place + 1 >= gallery.order.length;
    note.textContent = GATE[image.verdict.mask];
    layers();
    facts();
    if (!dialog.open) {
      dialog.showModal();
      stage.focus();
    }
    if (resized || view.fitted) fit();
    for (const by of [1, -1]) {
      const neighbour = gallery.order[place + by];
      if (place >= 0 && neighbour) new Image().src = file(neighbour, neighbour.layers.photograph);
    }
  };

  const file = (of, name) => gallery.splits[of.split].base + name;

  const missing = (name) => {
    if (name === "refined" && image.verdict.mask === "emptied") return "emptied";
    if (name !== "truth") return "nothing found";
    return image.scores?.left_out ?? { good: "no defect", bad: "no mask" }[image.label] ?? "the truth is not known";
  };

  const layers = () => {
    stack.replaceChildren(
      ...LAYERS.filter((name) => image.layers[name]).map((name) => {
        const layer = element("img", null, { alt: `${buttons.get(name).dataset.title} of ${image.id}` });
        layer.dataset.layer = name;
        layer.draggable = false;
        layer.onerror = () => (note.textContent = `cannot read ${layer.src}`);
        return layer;
      }),
    );
    for (const [name, button] of buttons) {
      button.classList.toggle("absent", !image.layers[name]);
      button.ariaDisabled = String(!image.layers[name]);
      button.title = `${button.dataset.title} (${LAYERS.indexOf(name) + 1})` + (image.layers[name] ? "" : `: ${missing(name)}`);
    }
    reveal();
  };

  const reveal = () => {
    for (const [name, button] of buttons) button.ariaPressed = String(shown(name));
    for (const layer of stack.children) {
      const name = layer.dataset.layer;
      layer.hidden = !shown(name);
      if (shown(name) && !layer.src) layer.src = file(image, image.layers[name]);
      if (name === "map") layer.style.opacity = shown("photograph") ? slider.value / 100 : 1;
    }
    slider.disabled = !(shown("map") && shown("photograph"));
  };

  const toggle = (name) => {
    if (!image.layers[name]) return;
    if (!switchedOn.delete(name)) switchedOn.add(name);
    reveal();
  };

  // ---- Numbers ----

  const group = (title, source, rows) => {
    const part = element("section", null);
    const heading = element("h3", `${title} `);
    heading.append(element("a", source.name, { href: source.link }));
    const list = element("dl", null);
    for (const [name, value] of rows) list.append(element("dt", name), element("dd", value));
    part.append(heading, list);
    return part;
  };

  const mask = (found) => {
    if (!found.px) return "nothing found";
    const kept = found.kept ? `, ${found.kept} left coarse` : "";
    return `${px(found.px)} in ${found.components} component${found.components === 1 ? "" : "s"}${kept}`;
  };

  const facts = () => {
    const { sources, range } = gallery.splits[image.split];
    const scores = image.scores;
    const f1 = (value) => (value === null ? "nothing to find or found" : value.toFixed(4));
    const covered = ({ defect_px, refined_false_negative_px: missed }) =>
      defect_px ? `${((100 * (defect_px - missed)) / defect_px).toFixed(1)} %` : "–";
    const { answer, p, percentile, mask: gate } = image.verdict;
    const parts = [
      group("Score", sources.calibration, [["Peak score", raw(image.peak)]]),
      group("Verdict", sources.verdicts, [
        ["Answer", answer],
        ["p", raw(p)],
        ["Normal images below", `${raw(percentile)} %`],
      ]),
    ];
    if (scores?.left_out) {
      const why = [["Scores of images only", scores.left_out]];
      parts.push(group("Against the truth", sources.evaluation, why));
    } else if (scores) {
      parts.push(
        group("Against the truth", sources.evaluation, [
          ["F1 coarse", f1(scores.coarse_f1)],
          ["F1 refined", f1(scores.refined_f1)],
          ["False positives, refined", px(scores.refined_false_positive_px)],
          ["False negatives, refined", px(scores.refined_false_negative_px)],
          ["Defects more than half covered, coarse", `${scores.coarse_defects_found} of ${scores.defects}`],
          ["Defects more than half covered, refined", `${scores.refined_defects_found} of ${scores.defects}`],
          ["Defect", px(scores.defect_px)],
          ["Of it covered, refined", covered(scores)],
        ]),
      );
    }
    const thresholds = image.thresholds.map(([rule, value]) => [`Threshold ${rule}`, value === null ? "none found" : raw(value)]);
    parts.push(
      group("Coarse mask", sources.coarse, [["Mask", mask(image.coarse)], ...thresholds]),
      group("Refined mask", sources.refined, [["Mask", gate === "emptied" ? "emptied by the verdict" : mask(image.refined)]]),
      group("Photograph", sources.index, [
        ["Size", `${image.size[0]} x ${image.size[1]} px`],
        ["Light", image.light],
        ["Truth", image.label ?? "not known"],
        ["File below the data root", image.photograph],
      ]),
      files(sources.preview),
    );
    dialog.querySelector(".numbers").replaceChildren(...parts);
    colourBar(range, sources.preview);
  };

  const files = (preview) => {
    const titles = { strip: "Strip (JPEG)", map: "Anomaly map (float32 TIFF)", coarse: "Coarse mask (PNG)", refined: "Refined mask (PNG)" };
    const part = group("Files", preview, []);
    const list = element("ul", null);
    for (const [name, title] of Object.entries(titles)) {
      const entry = element("li", null);
      entry.append(element("a", title, { href: file(image, image.files[name]) }));
      list.append(entry);
    }
    const factor = (image.size[0] / image.layer_size[0]).toFixed(2);
    part.append(list, element("p", `Layers: ${image.layer_size[0]} x ${image.layer_size[1]} px, one for ${factor} of the photograph.`, { className: "muted" }));
    return part;
  };

  const colourBar = ([low, high], source) => {
    const bar = dialog.querySelector(".bar");
    for (const tick of bar.querySelectorAll("i")) tick.remove();
    const marks = [...image.thresholds.map(([rule, value]) => [`${rule} ${value === null ? "" : raw(value)}`, value, "threshold"])];
    if (image.peak !== null) marks.push([`peak ${raw(image.peak)}`, image.peak, "peak"]);
    for (const [title, value, kind] of marks) {
      if (value === null) continue;
      const tick = element("i", null, { title, className: kind });
      tick.style.left = `${100 * Math.min(1, Math.max(0, (value - low) / (high - low)))}%`;
      bar.append(tick);
    }
    const [first, last] = dialog.querySelectorAll(".ends span");
    first.textContent = raw(low);
    last.textContent = raw(high);
    const text = dialog.querySelector(".colour-bar p");
    text.replaceChildren(marks.filter(([, value]) => value !== null).map(([title]) => title).join(", ") + ". Range from ");
    text.append(element("a", source.name, { href: source.link }));
  };

  // ---- Zoom ----

  const apply = () => {
    const [width, height] = image.layer_size;
    const keep = (at, length, room) => Math.min(room - KEPT_PX, Math.max(KEPT_PX - length, at));
    view.x = keep(view.x, width * view.scale, stage.clientWidth);
    view.y = keep(view.y, height * view.scale, stage.clientHeight);
    stack.style.width = `${width * view.scale}px`;
    stack.style.height = `${height * view.scale}px`;
    stack.style.transform = `translate(${view.x}px, ${view.y}px)`;
    stack.classList.toggle("pixelated", view.scale > 1);
    dialog.querySelector(".zoom output").textContent = `${Math.round(100 * view.scale)} %`;
  };

  const smallest = () => Math.min(stage.clientWidth / image.layer_size[0], stage.clientHeight / image.layer_size[1]);

  const place = (scale) => {
    view.scale = scale;
    view.x = (stage.clientWidth - image.layer_size[0] * scale) / 2;
    view.y = (stage.clientHeight - image.layer_size[1] * scale) / 2;
  };

  const fit = () => {
    place(smallest());
    view.fitted = true;
    apply();
  };

  const zoom = (factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
    const least = Math.min(1, smallest()) / 2;
    const scale = Math.min(LARGEST_SCALE, Math.max(least, view.scale * factor));
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    view.fitted = false;
    apply();
  };

  const actual = (x, y) => zoom(1 / view.scale, x, y);

  const inStage = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  const pointers = new Map();

  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { distance: Math.hypot(a[0] - b[0], a[1] - b[1]), x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2 };
  };

  const drag = (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = pointers.get(event.pointerId);
    const pinch = pointers.size === 2 ? spread() : null;
    const now = inStage(event);
    pointers.set(event.pointerId, now);
    view.fitted = false;
    if (pinch) {
      const after = spread();
      view.x += after.x - pinch.x;
      view.y += after.y - pinch.y;
      zoom(after.distance / Math.max(1, pinch.distance), after.x, after.y);
    } else {
      view.x += now[0] - before[0];
      view.y += now[1] - before[1];
      apply();
    }
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, inStage(event));
  });
  stage.addEventListener("pointermove", drag);
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
  stage.addEventListener("dblclick", (event) => (view.fitted ? actual(...inStage(event)) : fit()));
  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 30;
      zoom(Math.exp(-0.0015 * lines * event.deltaY), ...inStage(event));
    },
    { passive: false },
  );
  new ResizeObserver(() => {
    if (dialog.open && image) view.fitted ? fit() : apply();
  }).observe(stage);

  // ---- Buttons and keys ----

  const ACTIONS = {
    previous: () => step(-1),
    next: () => step(1),
    in: () => zoom(1.25),
    out: () => zoom(0.8),
    fit,
    actual: () => actual(),
    help: () => (help.hidden = !help.hidden),
    close: leave,
  };
  const KEYS = { ArrowLeft: "previous", ArrowRight: "next", "+": "in", "=": "in", "-": "out", 0: "fit", "?": "help" };

  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.layer) toggle(button.dataset.layer);
    if (button?.dataset.do) ACTIONS[button.dataset.do]();
  });
  slider.addEventListener("input", reveal);
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const layer = LAYERS[Number(event.key) - 1];
    const slides = event.target === slider && event.key.startsWith("Arrow");
    if (event.key === "Escape") {
      if (help.hidden) leave();
      else help.hidden = true;
    } else if (layer) toggle(layer);
    else if (event.key in KEYS && !slides) ACTIONS[KEYS[event.key]]();
    else return;
    event.preventDefault();
  });
  dialog.addEventListener("close", () => {
    if (parse(location.hash)) leave();
  });
  window.addEventListener("hashchange", (event) => {
    entered ||= parse(location.hash) !== null && parse(new URL(event.oldURL).hash) === null;
    route();
  });
  route();
})();
