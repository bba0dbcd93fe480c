"use strict";
// The viewer of the report: maps in three planes, one cursor, lesion outlines, windows.
(() => {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const [nk, nj, ni] = scene.shape;
  const [si, sj, sk] = scene.spacing;
  const byId = (id) => document.getElementById(id);

  // Voxels run to the left (i), the posterior (j) and the superior (k) of the patient.
  // Columns and rows of each plane give the radiological view: patient right on the left.
  const PLANES = [
    { name: "Axial", axis: 0, width: ni, height: nj, dx: si, dy: sj, up: false,
      letters: ["R", "L", "A", "P"], index: (s, y, x) => [s, y, x], spot: (c) => [c[2], c[1]] },
    { name: "Coronal", axis: 1, width: ni, height: nk, dx: si, dy: sk, up: true,
      letters: ["R", "L", "S", "I"], index: (s, y, x) => [y, s, x], spot: (c) => [c[2], c[0]] },
    { name: "Sagittal", axis: 2, width: nj, height: nk, dx: sj, dy: sk, up: true,
      letters: ["A", "P", "S", "I"], index: (s, y, x) => [y, x, s], spot: (c) => [c[1], c[0]] },
  ];
  const CURSOR = "rgba(255,225,90,0.75)", PLAIN = "#009E73";
  const state = {
    cursor: [nk >> 1, nj >> 1, ni >> 1], chosen: 0, views: [], sliders: [], windows: [], touched: false,
  };
  const offset = (c) => (c[0] * nj + c[1]) * ni + c[2];

  async function unpack(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let n = 0; n < raw.length; n++) bytes[n] = raw.charCodeAt(n);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function valueAt(map, cursor) {
    const level = map.levels[offset(cursor)];
    if (level === 0) return null;
    return map.span[0] + ((level - 1) / 254) * (map.span[1] - map.span[0]);
  }

  function lookup(map) {
    const table = new Uint8ClampedArray(256);
    const [low, high] = map.window;
    for (let level = 1; level < 256; level++) {
      const value = map.span[0] + ((level - 1) / 254) * (map.span[1] - map.span[0]);
      table[level] = (255 * (value - low)) / Math.max(high - low, 1e-6);
    }
    return table;
  }

  // Row of the array that a row of the picture shows: superior is up.
  const row = (plane, y) => (plane.up ? plane.height - 1 - y : y);

  function paint(view) {
    const { plane, map, canvas, small } = view;
    const slice = state.cursor[plane.axis];
    const image = new ImageData(plane.width, plane.height);
    const table = lookup(map);
    for (let y = 0, n = 0; y < plane.height; y++) {
      for (let x = 0; x < plane.width; x++, n += 4) {
        const grey = table[map.levels[offset(plane.index(slice, row(plane, y), x))]];
        image.data[n] = image.data[n + 1] = image.data[n + 2] = grey;
        image.data[n + 3] = 255;
      }
    }
    small.getContext("2d").putImageData(image, 0, 0);
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
    if (byId("outlines").checked) drawOutlines(context, view, slice);
    if (byId("cross").checked) drawCursor(context, view);
    drawLetters(context, view);
  }

  function drawOutlines(context, { plane, canvas }, slice) {
    const ux = canvas.width / plane.width, uy = canvas.height / plane.height;
    const label = (y, x) =>
      x < 0 || y < 0 || x >= plane.width || y >= plane.height
        ? 0 : scene.labelData[offset(plane.index(slice, row(plane, y), x))];
    const lineWidth = (number) => (number === state.chosen ? 3.4 : 2);
    // Lines run outside the border: on it they would hide the rim that is looked for.
    const paths = new Map();
    for (let y = 0; y < plane.height; y++) {
      for (let x = 0; x < plane.width; x++) {
        const here = label(y, x);
        if (!here) continue;
        if (!paths.has(here)) paths.set(here, new Path2D());
        const path = paths.get(here), off = lineWidth(here) / 2;
        const left = x * ux - off, right = (x + 1) * ux + off, top = y * uy - off, bottom = (y + 1) * uy + off;
        const edge = (x0, y0, x1, y1) => { path.moveTo(x0, y0); path.lineTo(x1, y1); };
        if (label(y - 1, x) !== here) edge(left, top, right, top);
        if (label(y + 1, x) !== here) edge(left, bottom, right, bottom);
        if (label(y, x - 1) !== here) edge(left, top, left, bottom);
        if (label(y, x + 1) !== here) edge(right, top, right, bottom);
      }
    }
    for (const [number, path] of paths) {
      context.strokeStyle = (scene.lesions[number] || {}).color || PLAIN;
      context.lineWidth = lineWidth(number);
      context.stroke(path);
    }
  }

  function drawCursor(context, { plane, canvas }) {
    const [column, line] = plane.spot(state.cursor);
    const x = ((column + 0.5) * canvas.width) / plane.width;
    const y = ((row(plane, line) + 0.5) * canvas.height) / plane.height;
    const gap = 14;
    context.strokeStyle = CURSOR;
    context.lineWidth = 1.2;
    context.beginPath();
    context.moveTo(0, y); context.lineTo(x - gap, y);
    context.moveTo(x + gap, y); context.lineTo(canvas.width, y);
    context.moveTo(x, 0); context.lineTo(x, y - gap);
    context.moveTo(x, y + gap); context.lineTo(x, canvas.height);
    context.stroke();
  }

  function drawLetters(context, { plane, canvas }) {
    const [left, right, top, bottom] = plane.letters;
    const size = Math.round(canvas.width / 24);
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.fillStyle = "#f2f2f2";
    context.strokeStyle = "#000";
    context.lineWidth = 3;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const put = (text, x, y) => { context.strokeText(text, x, y); context.fillText(text, x, y); };
    put(left, size * 0.8, canvas.height / 2);
    put(right, canvas.width - size * 0.8, canvas.height / 2);
    put(top, canvas.width / 2, size * 0.8);
    put(bottom, canvas.width / 2, canvas.height - size * 0.8);
  }

  // SD maps are shown when they are asked for: the reader sees the sources first.
  const showsSd = () => Boolean(byId("sds") && byId("sds").checked);

  function toggleSd() {
    for (const one of document.querySelectorAll(".sd")) one.hidden = !showsSd();
    refresh();
  }

  let waiting = false;
  function refresh() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      state.views.filter((view) => !view.map.sd || showsSd()).forEach(paint);
      state.sliders.forEach(({ plane, slider, output }) => {
        slider.value = state.cursor[plane.axis];
        output.textContent = `${state.cursor[plane.axis] + 1} of ${scene.shape[plane.axis]}`;
      });
      readout();
    });
  }

  function readout() {
    const [k, j, i] = state.cursor;
    const d = scene.direction, p = [i * si, j * sj, k * sk];
    const world = [0, 1, 2].map((r) =>
      scene.origin[r] + d[3 * r] * p[0] + d[3 * r + 1] * p[1] + d[3 * r + 2] * p[2]);
    const side = (value, plus, minus) => `${value < 0 ? minus : plus} ${Math.abs(value).toFixed(0)}`;
    const words = [`${side(world[0], "L", "R")}  ${side(world[1], "P", "A")}  ${side(world[2], "S", "I")} mm`];
    for (const map of scene.maps.filter((one) => !one.sd || showsSd())) {
      const value = valueAt(map, state.cursor);
      words.push(`${map.title}: ${value === null ? "outside" : `${value.toFixed(0)} ${map.unit}`}`);
    }
    const lesion = scene.labelData[offset(state.cursor)];
    if (lesion) words.push(`lesion ${lesion}`);
    byId("readout").replaceChildren(...words.map((word) => element("span", {}, word)));
  }

  function moveTo(cursor) {
    state.cursor = cursor.map((v, n) => Math.min(scene.shape[n] - 1, Math.max(0, Math.round(v))));
    refresh();
  }

  function onClick(event, { plane, canvas }) {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * plane.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * plane.height);
    moveTo(plane.index(state.cursor[plane.axis], row(plane, y), x));
  }

  function onKey(event, { plane }) {
    const up = plane.up ? 1 : -1;
    const steps = {
      ArrowLeft: [0, -1, 0], ArrowRight: [0, 1, 0], ArrowUp: [0, 0, up], ArrowDown: [0, 0, -up],
      PageUp: [1, 0, 0], PageDown: [-1, 0, 0],
    };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const move = plane.index(step[0], step[2], step[1]);
    moveTo(state.cursor.map((v, n) => v + move[n]));
  }

  function buildPlane(plane) {
    const id = `slice-${plane.name.toLowerCase()}`;
    const slider = element("input", {
      type: "range", id, min: 0, max: scene.shape[plane.axis] - 1, step: 1,
    });
    const output = element("output", { for: id });
    slider.addEventListener("input", () => {
      const cursor = [...state.cursor];
      cursor[plane.axis] = Number(slider.value);
      moveTo(cursor);
    });
    state.sliders.push({ plane, slider, output });
    const views = element("div", { class: "views" });
    const zoom = Math.max(1, Math.round(640 / plane.width));
    for (const map of scene.maps) {
      const canvas = element("canvas", {
        tabindex: 0, role: "img", "data-map": map.name, "data-plane": plane.name.toLowerCase(),
        "aria-label": `${map.title}, ${plane.name.toLowerCase()} slice; arrow keys move the cursor`,
      });
      canvas.width = plane.width * zoom;
      canvas.height = Math.round((plane.height * zoom * plane.dy) / plane.dx);
      const small = element("canvas");
      small.width = plane.width;
      small.height = plane.height;
      const view = { plane, map, canvas, small };
      canvas.addEventListener("click", (event) => onClick(event, view));
      canvas.addEventListener("keydown", (event) => onKey(event, view));
      state.views.push(view);
      views.append(element("div", { class: map.sd ? "view sd" : "view" }, element("h4", {}, map.title), canvas));
    }
    const head = element("div", { class: "plane-head" }, element("label", { for: id }, plane.name), slider, output);
    byId("planes").append(element("div", { class: "plane" }, head, views));
  }

  function buildWindow(map) {
    const box = element("div", { class: map.sd ? "window sd" : "window" }, `${map.title} [${map.unit}]`);
    const inputs = ["from", "to"].map((word, n) => {
      const input = element("input", {
        type: "number", step: "any", id: `window-${map.name}-${word}`, "aria-label": `${map.title} window ${word}`,
      });
      input.addEventListener("input", () => {
        const value = Number(input.value);
        if (input.value === "" || !Number.isFinite(value)) return;
        map.window[n] = value;
        state.touched = true;
        refresh();
      });
      return input;
    });
    state.windows.push(() => inputs.forEach((input, n) => { input.value = map.window[n]; }));
    box.append(inputs[0], " to ", inputs[1]);
    byId("windows").append(box);
  }

  function setWindows(name) {
    for (const map of scene.maps) map.window = [...map.windows[name]];
    state.windows.forEach((show) => show());
    byId("preset").value = name;
    refresh();
  }

  function buildPresets() {
    const choice = element("select", { id: "preset" });
    for (const [name, title] of Object.entries(scene.presets)) {
      choice.append(element("option", { value: name }, title));
    }
    choice.addEventListener("change", () => {
      state.touched = true;
      setWindows(choice.value);
    });
    byId("windows").append(element("label", { class: "window" }, "All maps ", choice));
  }

  function choose(id, scroll) {
    const lesion = scene.lesions[id];
    if (!lesion) return;
    state.chosen = Number(id);
    // Lesions differ from white matter by a few ppb; windows that the reader chose stay.
    if (!state.touched) setWindows("narrow");
    for (const marked of document.querySelectorAll(".chosen")) marked.classList.remove("chosen");
    for (const mark of document.querySelectorAll(`[data-lesion="${Number(id)}"]`)) mark.classList.add("chosen");
    moveTo(lesion.at);
    if (scroll) byId("maps").scrollIntoView({ block: "start" });
  }

  function watchLesions() {
    for (const button of document.querySelectorAll("button.jump")) {
      button.addEventListener("click", () => choose(button.dataset.lesion, true));
    }
    for (const point of document.querySelectorAll(".point")) {
      point.addEventListener("click", () => choose(point.dataset.lesion, false));
      point.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          choose(point.dataset.lesion, false);
        }
      });
    }
  }

  async function start() {
    if (byId("lesions")) sortable(byId("lesions"));
    watchLesions();
    for (const map of scene.maps) {
      map.levels = await unpack(map.data);
      map.window = [...map.windows.standard];
      delete map.data;
    }
    const labels = await unpack(scene.labels);
    scene.labelData = new Int32Array(labels.buffer);
    PLANES.forEach(buildPlane);
    buildPresets();
    scene.maps.forEach(buildWindow);
    setWindows("standard");
    for (const id of ["outlines", "cross"]) byId(id).addEventListener("change", refresh);
    if (byId("sds")) byId("sds").addEventListener("change", toggleSd);
    toggleSd();
    document.documentElement.dataset.ready = "yes";
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "o" || event.ctrlKey || event.metaKey || event.target.matches("input, select")) return;
    byId("outlines").checked = !byId("outlines").checked;
    refresh();
  });

  window.addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
  });
  start().catch((error) => {
    const note = byId("viewer-error");
    note.hidden = false;
    note.textContent = `This browser cannot show the maps (${error.message}); use a current Firefox, Chrome, Edge or Safari.`;
    console.error(error);
  });
})();
