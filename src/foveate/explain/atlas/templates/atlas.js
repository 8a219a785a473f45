"use strict";
(() => {
  const root = document.documentElement;
  const $ = (id) => document.getElementById(id);
  const make = (tag, text = "", more = {}) => Object.assign(document.createElement(tag), { textContent: text }, more);
  const trouble = (text) => { $("trouble").textContent = text; $("trouble").hidden = false; };

  // Theme: the system's, until the button is pressed. Storage may be forbidden for a local file; then it is forgotten.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remember = (value) => { try { localStorage.setItem("foveate-theme", value); } catch { /* forgotten */ } };
  const remembered = () => { try { return localStorage.getItem("foveate-theme"); } catch { return null; } };
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const label = () => { $("theme").textContent = isDark() ? "Light theme" : "Dark theme"; $("theme").setAttribute("aria-pressed", String(isDark())); };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  $("theme").addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; remember(root.dataset.theme); label(); });
  system.addEventListener("change", label);
  label();

  const atlas = JSON.parse($("atlas").textContent);
  if (typeof DecompressionStream === "undefined") { trouble("This browser cannot unpack the maps. Open the page in a current one: Chrome 103, Firefox 113 or Safari 16.4, or later."); return; }

  // Bytes: seven bits a character, then deflate. A layer is unpacked when it is first shown, and kept for its picture.
  const replaced = { 192: 0, 193: 13, 194: 60 };
  const bytesOf = (text, count) => {
    const out = new Uint8Array(count);
    let held = 0, bits = 0, at = 0;
    for (let i = 0; i < text.length && at < count; i++) {
      const letter = text.charCodeAt(i);
      held = (held << 7) | (letter < 128 ? letter : replaced[letter]);
      bits += 7;
      if (bits >= 8) { bits -= 8; out[at++] = held >> bits; held &= (1 << bits) - 1; }
    }
    return out;
  };
  const unpacked = async ({ id, packed }) => {
    const stream = new Blob([bytesOf($(id).textContent, packed)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
  const half = (bits) => {
    const e = (bits >> 10) & 31, f = bits & 1023;
    return e ? 2 ** (e - 15) * (1 + f / 1024) : 2 ** -14 * (f / 1024);
  };

  const kept = new Map();
  const layerData = (picture, number) => {
    const key = `${picture} ${number}`;
    if (!kept.has(key)) kept.set(key, read(atlas.pictures[picture].layers[number]));
    return kept.get(key);
  };
  const read = async (layer) => {
    const data = await unpacked(layer.blob);
    const { queries, keys } = atlas.geometries[layer.geometry];
    const rows = queries.entries, entries = keys.entries, heads = layer.heads.length, facts = heads * rows;
    const levels = Math.ceil((heads * rows * entries) / 2);
    const rowOfCell = queries.grid ? new Int32Array(queries.grid[0] * queries.grid[1]).fill(-1) : null;
    if (rowOfCell) queries.cells[0].forEach((cell, place) => { if (cell >= 0) rowOfCell[cell] = Math.floor(place / queries.parts); });
    return { layer, data, queries, keys, rows, entries, heads, levels, facts, rowOfCell };
  };
  const fact = (found, which, head, row) => found.data[found.levels + 2 * found.facts + which * found.facts + head * found.rows + row] / 255;
  const largest = (found, head, row) => { const at = found.levels + 2 * (head * found.rows + row); return half(found.data[at] | (found.data[at + 1] << 8)); };
  const weightsOf = (found, head, row) => {
    const out = new Float32Array(found.entries), most = largest(found, head, row);
    let at = (head * found.rows + row) * found.entries;
    for (let m = 0; m < found.entries; m++, at++) {
      const level = at & 1 ? found.data[at >> 1] & 15 : found.data[at >> 1] >> 4;
      out[m] = found.layer.signed ? Math.sign(level - 8) * most * ((level - 8) / 7) ** 2 : most * (level / 15) ** 2;
    }
    return out;
  };
  const rowWeights = (found, head, row) => {
    if (head >= 0) return weightsOf(found, head, row);
    const out = new Float32Array(found.entries);
    for (let h = 0; h < found.heads; h++) weightsOf(found, h, row).forEach((w, m) => { out[m] += w / found.heads; });
    return out;
  };
  const onCells = (found, row, weights) => {
    const { grid, parts, cells } = found.keys;
    if (!grid) return null;
    const set = cells[cells.length > 1 ? found.layer.sets[row] : 0], out = new Float32Array(grid[0] * grid[1]);
    for (let m = 0; m < found.entries; m++) {
      let covered = 0;
      for (let p = 0; p < parts; p++) covered += set[m * parts + p] >= 0;
      for (let p = 0; p < parts; p++) { const cell = set[m * parts + p]; if (cell >= 0) out[cell] += weights[m] / covered; }
    }
    return { values: out, rows: grid[0], columns: grid[1], reach: found.keys.reach };
  };

  // What is looked at: picture, layer, head (-1: their mean), and the place that looks: a point of the picture or a name.
  const state = { picture: 0, layer: 0, head: -1, y: 0.5, x: 0.5, name: null, method: null };
  const picture = () => atlas.pictures[state.picture];
  const cellOf = ({ grid, reach }) => {
    if (!grid) return -1;
    const row = Math.floor((state.y / reach[0]) * grid[0]), column = Math.floor((state.x / reach[1]) * grid[1]);
    return row < grid[0] && column < grid[1] ? row * grid[1] + column : -1;
  };
  const rowOf = (found) => {
    const names = found.queries.names;
    if (state.name !== null) { const hit = names.find(([, name]) => name === state.name); return hit ? hit[0] : -1; }
    const cell = cellOf(found.queries);
    return cell < 0 || !found.rowOfCell ? -1 : found.rowOfCell[cell];
  };

  const coloursOf = (name) => { const hex = atlas.palettes[name]; return Array.from({ length: 256 }, (_, i) => [0, 2, 4].map((k) => parseInt(hex.slice(6 * i + k, 6 * i + k + 2), 16))); };
  const palettes = Object.fromEntries(Object.keys(atlas.palettes).map((name) => [name, coloursOf(name)]));
  const extent = (values, signed) => {
    let high = 0;
    for (const value of values) high = Math.max(high, Math.abs(value));
    return { low: signed ? -high : 0, high, signed };
  };
  const paint = (canvas, map, scale, strength) => {
    canvas.width = map.columns; canvas.height = map.rows;
    const context = canvas.getContext("2d"), image = context.createImageData(map.columns, map.rows);
    const colours = palettes[scale.signed ? "signed" : $("palette").value], spread = scale.high - scale.low || 1;
    map.values.forEach((value, i) => {
      const level = Math.min(1, Math.max(0, (value - scale.low) / spread));
      const [r, g, b] = colours[Math.round(255 * level)];
      const share = strength === null ? 1 : strength * (scale.signed ? Math.abs(2 * level - 1) : (1 + level) / 2);
      image.data.set([r, g, b, Math.round(255 * share)], 4 * i);
    });
    context.putImageData(image, 0, 0);
  };
  const held = (map, share) => {
    const order = [...map.values.keys()].sort((a, b) => Math.abs(map.values[b]) - Math.abs(map.values[a]));
    let total = 0, sum = 0;
    for (const value of map.values) total += Math.abs(value);
    const inside = new Uint8Array(map.values.length);
    if (total > 0) for (const cell of order) { if (sum >= share * total - 1e-9) break; inside[cell] = 1; sum += Math.abs(map.values[cell]); }
    return inside;
  };

  const drawLines = (map, queries, row) => {
    const canvas = $("lines"), box = $("stage").getBoundingClientRect(), dots = devicePixelRatio || 1;
    canvas.width = box.width * dots; canvas.height = box.height * dots;
    const context = canvas.getContext("2d");
    const stroke = (path, dash) => {
      for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
        context.setLineDash(dash.map((d) => d * dots)); context.lineWidth = width * dots; context.strokeStyle = colour; context.stroke(path);
      }
    };
    if (map && $("contours").checked) {
      const high = (canvas.height * map.reach[0]) / map.rows, wide = (canvas.width * map.reach[1]) / map.columns;
      [[0.9, [5, 4]], [0.5, []]].forEach(([share, dash]) => {
        const inside = held(map, share), path = new Path2D();
        if (inside.every((v) => v)) return;
        const at = (r, c) => r >= 0 && c >= 0 && r < map.rows && c < map.columns && inside[r * map.columns + c];
        for (let r = 0; r < map.rows; r++) for (let c = 0; c < map.columns; c++) {
          if (!at(r, c)) continue;
          const x = c * wide, y = r * high;
          if (!at(r - 1, c)) { path.moveTo(x, y); path.lineTo(x + wide, y); }
          if (!at(r + 1, c)) { path.moveTo(x, y + high); path.lineTo(x + wide, y + high); }
          if (!at(r, c - 1)) { path.moveTo(x, y); path.lineTo(x, y + high); }
          if (!at(r, c + 1)) { path.moveTo(x + wide, y); path.lineTo(x + wide, y + high); }
        }
        stroke(path, dash);
      });
    }
    if (queries && queries.grid && state.name === null && row >= 0) {
      const [rows, columns] = queries.grid, cell = cellOf(queries);
      const high = (canvas.height * queries.reach[0]) / rows, wide = (canvas.width * queries.reach[1]) / columns;
      const path = new Path2D();
      path.rect((cell % columns) * wide, Math.floor(cell / columns) * high, wide, high);
      context.setLineDash([]);
      for (const [colour, width] of [["#000", 6], ["#00e5ff", 3]]) { context.lineWidth = width * dots; context.strokeStyle = colour; context.stroke(path); }
    }
  };

  const percent = (share) => { const p = 100 * share; return `${p >= 9.95 ? p.toFixed(0) : p >= 0.095 ? p.toFixed(1) : p.toPrecision(1)} %`; };
  const number = (value) => (value === 0 ? "0" : Math.abs(value) >= 0.001 ? value.toPrecision(3) : value.toExponential(1));
  const best = (map) => {
    let total = 0;
    for (const value of map.values) total += Math.abs(value);
    if (!(total > 0)) return "nothing on the picture";
    return [...map.values.keys()].sort((a, b) => Math.abs(map.values[b]) - Math.abs(map.values[a])).slice(0, 3).filter((c) => map.values[c])
      .map((c) => `row ${Math.floor(c / map.columns) + 1}, column ${(c % map.columns) + 1} (about ${percent(Math.abs(map.values[c]) / total)})`).join("; ");
  };
  const fromWhere = (found) => {
    if (state.name !== null) return `from ${state.name}`;
    const [, columns] = found.queries.grid || [0, 1], cell = cellOf(found.queries);
    return `from row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
  };

  let turn = 0;
  const show = async () => {
    const mine = ++turn;
    const strength = $("strength").value / 100, method = state.method && picture().maps.find((m) => m.name === state.method);
    for (const part of ["heads-frame", "asking", "looked"]) $(part).hidden = Boolean(method);
    for (const id of ["layer", "head", "range"]) $(id).closest("label").hidden = Boolean(method);
    $("stage").classList.toggle("smooth", $("smooth").checked);
    if (method) {
      const data = await unpacked(method.blob);
      if (mine !== turn) return;
      const values = Float32Array.from(data, (v) => method.low + (v / 255) * (method.high - method.low));
      const map = { values, rows: method.rows, columns: method.columns, reach: [1, 1] };
      present(map, { low: method.low, high: method.high, signed: method.signed }, strength);
      drawLines(map, null, -1);
      $("said").textContent = `${method.name}: most at ${best(map)}, of ${map.rows} rows and ${map.columns} columns.`;
      return;
    }
    if (!picture().layers.length) { present(null, null, 0); drawLines(null, null, -1); $("said").textContent = "This model has no recorded attention on this picture."; return; }
    const found = await layerData(state.picture, state.layer);
    if (mine !== turn) return;
    const row = rowOf(found), note = found.layer.note ? ` (${found.layer.note})` : "";
    chips(found);
    if (row < 0) {
      present(null, null, 0); drawLines(null, null, -1); looked(found, row, null); drawHeads(mine);
      $("said").textContent = `${found.layer.name}: no query ${fromWhere(found)} in this layer${note}.`;
      return;
    }
    const weights = rowWeights(found, state.head, row), map = onCells(found, row, weights);
    const scales = $("range").value === "all" ? await commonScale() : null;
    if (mine !== turn) return;
    const scale = map && (scales && !found.layer.signed ? scales : extent(map.values, found.layer.signed));
    present(map, scale, strength);
    drawLines(map, found.queries, row);
    looked(found, row, weights);
    const all = [...Array(found.heads).keys()], heads = state.head < 0 ? all : [state.head];
    const mean = (which) => heads.reduce((sum, h) => sum + fact(found, which, h, row), 0) / heads.length;
    const which = state.head < 0 ? "mean of the heads" : `head ${found.layer.heads[state.head]}`;
    const off = [[mean(1), "on named tokens"], [mean(2), "on padding"]].filter(([share]) => share > 0).map(([share, where]) => `, ${percent(share)} ${where}`).join("");
    const peak = heads.reduce((most, h) => Math.max(most, largest(found, h, row)), 0);
    $("said").textContent = `${found.layer.name}, ${which}, ${fromWhere(found)}: ${map ? `most at ${best(map)}, of ${map.rows} rows and ${map.columns} columns` : "keys without a place on the picture"}. `
      + `Largest weight ${number(peak)}; entropy ${mean(0).toFixed(2)} of an even row${off}${note}.`;
    drawHeads(mine);
  };

  const present = (map, scale, strength) => {
    $("stage").classList.toggle("mapped", Boolean(map));
    $("map").hidden = !map; document.querySelector(".scale").hidden = !map;
    if (!map) return;
    paint($("map"), map, scale, strength);
    $("map").style.width = `${100 * map.reach[1]}%`; $("map").style.height = `${100 * map.reach[0]}%`;
    $("low").textContent = number(scale.low); $("high").textContent = number(scale.high);
    const bar = { rows: 1, columns: 256, values: Float32Array.from({ length: 256 }, (_, i) => scale.low + (i / 255) * (scale.high - scale.low)) };
    paint($("bar"), bar, scale, null);
  };

  // Tokens without a place: those that can look, and what they receive.
  const chips = (found) => {
    const wanted = found.queries.names.map(([, name]) => name);
    const here = [...$("asking").children].map((b) => b.textContent);
    if (wanted.join("\n") !== here.join("\n")) {
      $("asking").replaceChildren(...wanted.map((name) => {
        const button = make("button", name, { type: "button" });
        button.addEventListener("click", () => { state.name = name; show(); });
        return button;
      }));
    }
    for (const button of $("asking").children) button.setAttribute("aria-pressed", String(state.name === button.textContent));
  };
  const looked = (found, row, weights) => {
    const names = weights ? found.keys.names : [];
    const high = Math.max(1e-12, ...names.map(([entry]) => Math.abs(weights[entry])));
    $("looked").replaceChildren(...names.map(([entry, name]) => {
      const chip = make("span", `${name} ${percent(Math.abs(weights[entry]))}`);
      chip.style.setProperty("--weight", found.keys.grid ? Math.min(1, Math.abs(weights[entry])) : Math.abs(weights[entry]) / high);
      return chip;
    }));
  };

  // Every layer and head from the same place. Layers are unpacked one after the other, so that the page stays quick.
  const cells = [];
  const buildHeads = () => {
    cells.length = 0;
    const layers = picture().layers, most = Math.max(0, ...layers.map((l) => l.heads.length));
    $("heads").style.setProperty("--columns", most + 1);
    const head = make("div", "", { className: "row head" });
    head.append(make("span"), make("span", "mean"), ...Array.from({ length: most }, (_, h) => make("span", String(h))));
    $("heads").replaceChildren(head, ...layers.map((layer, l) => {
      const line = make("div", "", { className: "row" }), row = [];
      line.append(make("span", layer.name, { title: layer.name }));
      for (let h = -1; h < layer.heads.length; h++) {
        const button = make("button", "", { type: "button", tabIndex: -1 });
        button.setAttribute("aria-label", `${layer.name}, ${h < 0 ? "mean of the heads" : `head ${layer.heads[h]}`}`);
        button.append(make("canvas"));
        button.addEventListener("click", () => { state.layer = l; state.head = h; choose(); });
        row.push(button); line.append(button);
      }
      cells.push(row);
      return line;
    }));
  };
  const commonScale = async () => {
    let high = 0;
    for (let l = 0; l < picture().layers.length; l++) {
      const found = await layerData(state.picture, l), row = rowOf(found);
      for (let h = 0; row >= 0 && h < found.heads; h++) {
        const map = onCells(found, row, weightsOf(found, h, row));
        if (map) high = Math.max(high, extent(map.values, false).high);
      }
    }
    return { low: 0, high, signed: false };
  };
  const drawHeads = async (mine) => {
    const common = $("range").value === "all" ? await commonScale() : null;
    for (let l = 0; l < cells.length; l++) {
      const found = await layerData(state.picture, l);
      if (mine !== turn) return;
      const row = rowOf(found);
      cells[l].forEach((button, place) => {
        const h = place - 1;
        button.setAttribute("aria-pressed", String(l === state.layer && h === state.head));
        button.tabIndex = l === state.layer && h === state.head ? 0 : -1;
        const map = row < 0 ? null : onCells(found, row, rowWeights(found, h, row)) || { values: rowWeights(found, h, row), rows: 1, columns: found.entries };
        if (map) paint(button.firstChild, map, common && !found.layer.signed ? common : extent(map.values, found.layer.signed), null);
        else { button.firstChild.width = button.firstChild.height = 1; }
      });
    }
  };

  const options = (select, texts, first = 0) => select.replaceChildren(...texts.map((text, i) => make("option", text, { value: i + first })));
  const choose = () => {
    const layers = picture().layers;
    if (layers.length) {
      state.layer = Math.min(state.layer, layers.length - 1);
      state.head = Math.min(state.head, layers[state.layer].heads.length - 1);
      options($("head"), ["mean", ...layers[state.layer].heads.map(String)], -1);
      $("layer").value = state.layer; $("head").value = state.head;
    }
    show();
  };
  const table = ({ caption, columns, rows }) => {
    const frame = make("div", "", { className: "scroll", tabIndex: 0 }), made = make("table"), head = make("tr"), body = make("tbody");
    frame.setAttribute("role", "region"); frame.setAttribute("aria-label", caption);
    head.append(...columns.map((text) => Object.assign(make("th", text), { scope: "col" })));
    body.append(...rows.map((row) => { const line = make("tr"); line.append(...row.map((text, i) => (i ? make("td", text) : Object.assign(make("th", text), { scope: "row" })))); return line; }));
    const top = make("thead"); top.append(head);
    made.append(make("caption", caption), top, body); frame.append(made);
    return frame;
  };
  const choosePicture = (place) => {
    for (const key of [...kept.keys()]) if (!key.startsWith(`${place} `)) kept.delete(key);
    state.picture = place;
    const shown = picture();
    $("photo").src = shown.image; $("photo").alt = shown.name;
    $("stage").setAttribute("aria-label", `Picture ${shown.name}`);
    $("stage").style.aspectRatio = `${shown.width} / ${shown.height}`;
    $("stage").classList.toggle("small", Math.max(shown.width, shown.height) <= 128);
    [...$("pictures").children].forEach((b, i) => { b.setAttribute("aria-checked", String(i === place)); b.tabIndex = i === place ? 0 : -1; });
    options($("layer"), shown.layers.map((l) => l.name));
    $("turn").classList.toggle("plain", !shown.layers.length);
    const names = [...(shown.layers.length ? [null] : []), ...shown.maps.map((m) => m.name)];
    if (!names.includes(state.method)) state.method = names[0] ?? null;
    $("methods").hidden = names.length < 2;
    $("methods").replaceChildren($("methods").querySelector("legend"), ...names.map((name) => {
      const box = make("label"), input = make("input", "", { type: "radio", name: "method", checked: name === state.method });
      input.addEventListener("change", () => { state.method = name; choose(); });
      box.append(input, make("span", name ?? "attention"));
      return box;
    }));
    const answer = [];
    if (shown.prediction.length || shown.truth !== null) {
      answer.push(make("h3", "What the model says"));
      if (shown.truth !== null) answer.push(make("p", `True: ${shown.truth}`));
      const bars = make("div", "", { className: "bars" });
      bars.append(...shown.prediction.map(([name, share]) => { const line = make("div"); line.style.setProperty("--weight", share); line.append(make("b", name), make("i", percent(share))); return line; }));
      answer.push(bars);
    }
    $("answer").replaceChildren(...answer);
    const tables = [...shown.tables, ...atlas.tables];
    $("tables").replaceChildren(...(tables.length ? [make("h3", "Whether to believe it"), ...tables.map(table)] : []));
    buildHeads();
    choose();
  };

  // Pointer, keys, choices.
  const stage = $("stage");
  const point = (event) => {
    const box = stage.getBoundingClientRect(), inside = (value) => Math.min(1 - 1e-9, Math.max(0, value));
    state.x = inside((event.clientX - box.left) / box.width); state.y = inside((event.clientY - box.top) / box.height);
    state.name = null;
    show();
  };
  stage.addEventListener("pointerdown", (event) => { if (!event.isPrimary) return; stage.setPointerCapture(event.pointerId); point(event); });
  stage.addEventListener("pointermove", (event) => { if (event.isPrimary && stage.hasPointerCapture(event.pointerId)) point(event); });
  stage.addEventListener("dragstart", (event) => event.preventDefault());

  const move = async (rows, columns) => {
    if (!picture().layers.length) return;
    const { queries } = await layerData(state.picture, state.layer);
    if (!queries.grid) {
      const names = queries.names.map(([, name]) => name), at = names.indexOf(state.name);
      state.name = names[Math.min(names.length - 1, Math.max(0, at + (rows || columns)))] ?? null;
    } else if (state.name !== null) { state.name = null; } else {
      const step = (value, by, count, reach) => Math.min(count - 0.5, Math.max(0.5, Math.floor((value / reach) * count) + 0.5 + by)) / count * reach;
      state.y = Math.min(1 - 1e-9, step(state.y, rows, queries.grid[0], queries.reach[0]));
      state.x = Math.min(1 - 1e-9, step(state.x, columns, queries.grid[1], queries.reach[1]));
    }
    show();
  };
  const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  stage.addEventListener("keydown", (event) => {
    if (!(event.key in arrows) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const far = event.shiftKey ? 4 : 1;
    move(...arrows[event.key].map((step) => step * far));
  });
  $("heads").addEventListener("keydown", (event) => {
    if (!(event.key in arrows)) return;
    event.preventDefault();
    const [rows, columns] = arrows[event.key], layers = picture().layers;
    state.layer = Math.min(layers.length - 1, Math.max(0, state.layer + rows));
    state.head = Math.min(layers[state.layer].heads.length - 1, Math.max(-1, state.head + columns));
    choose();
    cells[state.layer][state.head + 1].focus();
  });
  $("pictures").addEventListener("keydown", (event) => {
    if (!(event.key in arrows)) return;
    event.preventDefault();
    const to = Math.min(atlas.pictures.length - 1, Math.max(0, state.picture + arrows[event.key][0] + arrows[event.key][1]));
    choosePicture(to);
    $("pictures").children[to].focus();
  });
  const keys = {
    "[": () => { state.layer = Math.max(0, state.layer - 1); choose(); },
    "]": () => { state.layer = Math.min(picture().layers.length - 1, state.layer + 1); choose(); },
    "-": () => { state.head = Math.max(-1, state.head - 1); choose(); },
    "=": () => { state.head += 1; choose(); },
    "m": () => { state.head = -1; choose(); },
    "c": () => { $("contours").checked = !$("contours").checked; show(); },
    ",": () => choosePicture(Math.max(0, state.picture - 1)),
    ".": () => choosePicture(Math.min(atlas.pictures.length - 1, state.picture + 1)),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("select") || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  $("layer").addEventListener("change", () => { state.layer = Number($("layer").value); choose(); });
  $("head").addEventListener("change", () => { state.head = Number($("head").value); choose(); });
  for (const id of ["palette", "range", "strength", "contours", "smooth"]) $(id).addEventListener("input", show);
  new ResizeObserver(() => show()).observe(stage);

  $("palette").replaceChildren(...Object.keys(palettes).filter((name) => name !== "signed").map((name) => make("option", name, { value: name })));
  $("pictures").replaceChildren(...atlas.pictures.map((shown, place) => {
    const button = make("button", "", { type: "button" });
    button.setAttribute("role", "radio");
    button.append(make("img", "", { src: shown.image, alt: "" }), make("span", shown.name, { title: shown.name }));
    button.addEventListener("click", () => choosePicture(place));
    return button;
  }));
  state.layer = Math.max(0, atlas.pictures[0].layers.length - 1);
  addEventListener("unhandledrejection", (event) => trouble(`A map cannot be shown: ${event.reason}`));
  choosePicture(0);
})();
