"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Theme: the system's, until the button is pressed. Storage may be forbidden for a local file; then it is forgotten.
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remember = (value) => { try { localStorage.setItem("foveate-theme", value); } catch { /* forgotten */ } };
  const remembered = () => { try { return localStorage.getItem("foveate-theme"); } catch { return null; } };
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const label = () => {
    button.textContent = isDark() ? "Light theme" : "Dark theme";
    button.setAttribute("aria-pressed", String(isDark()));
  };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    label();
  });
  system.addEventListener("change", label);
  label();

  // The values of a point, shown for pointer and keyboard alike.
  const tip = document.getElementById("tip");
  let shown = null;
  const hide = () => { tip.hidden = true; shown = null; };
  const show = (point) => {
    shown = point;
    tip.textContent = point.dataset.tip;
    tip.hidden = false;
    const at = (point.querySelector(".dot, .mark") || point).getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.x + at.width / 2 - box.width / 2), root.clientWidth - box.width - 8);
    const above = at.y - box.height - 10;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 8 ? at.bottom + 10 : above}px`;
  };
  const pointOf = (event) => event.target instanceof Element && event.target.closest("[data-tip]");
  document.addEventListener("pointerover", (event) => { const p = pointOf(event); if (p) show(p); });
  document.addEventListener("pointerout", (event) => { if (pointOf(event) && document.activeElement !== shown) hide(); });
  document.addEventListener("focusin", (event) => { const p = pointOf(event); if (p) show(p); else hide(); });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", () => { if (shown) show(shown); }, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // One stop of the tab key a chart; the arrows go from point to point.
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  for (const group of all("[data-points]")) {
    const points = all(".point", group);
    const every = group.dataset.points === "all";
    for (const point of points) point.setAttribute("tabindex", every || point === points[0] ? "0" : "-1");
    group.addEventListener("keydown", (event) => {
      const from = points.indexOf(document.activeElement);
      if (from < 0 || !(event.key in steps)) return;
      event.preventDefault();
      const to = points[Math.min(points.length - 1, Math.max(0, from + steps[event.key]))];
      if (!every) { points[from].setAttribute("tabindex", "-1"); to.setAttribute("tabindex", "0"); }
      to.focus();
    });
  }

  // Which of the drawn charts is seen.
  const chosen = (name) => document.querySelector(`input[data-switch="${name}"]:checked`)?.value;
  const choose = () => {
    hide();
    for (const chart of all("[data-x]")) {
      chart.hidden = chart.dataset.x !== chosen("x") || chart.dataset.y !== (chosen("y") ?? chart.dataset.y);
    }
    for (const part of all("[data-confusion]")) part.hidden = part.dataset.confusion !== (chosen("confusion") ?? part.dataset.confusion);
    for (const panels of all("[data-curve]")) panels.hidden = panels.dataset.curve !== (chosen("curve") ?? panels.dataset.curve);
  };
  for (const input of all("input[data-switch]")) input.addEventListener("change", choose);
  choose(); // a browser may remember the choice over a reload

  // A click enlarges a picture; the arrows go to the others of the same item, so that variants can be compared.
  const large = document.getElementById("large");
  let shots = [], at = 0;
  const enlarge = (place) => {
    at = Math.min(shots.length - 1, Math.max(0, place));
    const frame = large.querySelector(".shot");
    frame.className = shots[at].className;
    frame.replaceChildren(...[...shots[at].children].map((image) => image.cloneNode()));
    large.querySelector("p").textContent = shots[at].dataset.zoom;
    if (!large.open) large.showModal();
  };
  document.addEventListener("click", (event) => {
    const shot = event.target instanceof Element && event.target.closest("[data-zoom]");
    if (!shot) return;
    shots = all("[data-zoom]", shot.closest("article"));
    enlarge(shots.indexOf(shot));
  });
  for (const button of all("[data-step]", large)) {
    button.addEventListener("click", () => { if (button.dataset.step === "0") large.close(); else enlarge(at + Number(button.dataset.step)); });
  }
  large.addEventListener("keydown", (event) => { if (event.key in steps) { event.preventDefault(); enlarge(at + steps[event.key]); } });
  large.addEventListener("click", (event) => { if (event.target === large) large.close(); });

  // Paper shows everything that a click would open.
  addEventListener("beforeprint", () => { for (const part of all("details.prose")) part.open = true; });

  const copied = async (from) => {
    const text = document.getElementById(from);
    try { await navigator.clipboard.writeText(text.textContent); return true; } catch { /* not for a local file */ }
    getSelection().selectAllChildren(text);
    return false;
  };
  for (const copy of all("[data-copy]")) {
    copy.addEventListener("click", async () => {
      copy.textContent = (await copied(copy.dataset.copy)) ? "Copied" : "Selected";
      setTimeout(() => { copy.textContent = "Copy"; }, 1600);
    });
  }

  // The numbers, from the page itself.
  const cell = (value) => (/[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const csv = (rows) => {
    const columns = [...new Set(rows.flatMap(Object.keys))];
    return [columns, ...rows.map((row) => columns.map((column) => row[column] ?? ""))]
      .map((row) => row.map((value) => cell(String(value))).join(",")).join("\n") + "\n";
  };
  for (const save of all("[data-save]")) {
    save.addEventListener("click", () => {
      const study = document.getElementById("study").textContent;
      const text = save.dataset.save.endsWith(".csv") ? csv(JSON.parse(study).runs) : study;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
      link.download = save.dataset.save;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
})();
