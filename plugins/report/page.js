"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const element = (name) => document.getElementById(name);
const PRINTED = { ink: "#1b2430", line: "#d5dae1" };
const isSolid = (figure) => figure.data.some((trace) => trace.type === "scatter3d");

async function loadPlotly() {
  const packed = Uint8Array.from(atob(element("plotly").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function layoutOf(figure, width) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--soft"), linecolor: colour("--line"), automargin: true };
  const narrow = width < 560;
  const layout = structuredClone(figure.layout);
  if (narrow && layout.scene) layout.scene.camera = { eye: { x: 1.6, y: 1.6, z: 1.6 } };
  return {
    autosize: true,
    height: 400,
    margin: { l: 12, r: 12, t: 12, b: 12 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: narrow ? 11 : 13, color: colour("--ink") },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
    hoverlabel: { bgcolor: colour("--paper"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
    dragmode: narrow ? false : "zoom",
    template: { layout: { xaxis: axis, yaxis: axis } },
    ...layout,
  };
}

async function draw(figure) {
  const plot = element(figure.name);
  const layout = layoutOf(figure, plot.clientWidth);
  await Plotly.react(plot, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  if (!isSolid(figure)) return;
  plot.classList.add("solid");
  let picture = plot.parentElement.querySelector(".printed");
  if (!picture) {  // a browser prints no WebGL
    picture = document.createElement("img");
    picture.className = "printed";
    picture.alt = plot.getAttribute("aria-label");
    plot.after(picture);
  }
  const printed = { data: figure.data, layout: { ...layout, font: { ...layout.font, color: PRINTED.ink } } };
  picture.src = await Plotly.toImage(printed, { format: "png", width: 800, height: 520 });
}

const drawAll = async () => { for (const figure of page.figures) await draw(figure); };

function csvOf(columns) {
  const cell = (value) => {
    const text = value === null ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const names = Object.keys(columns);
  const rows = columns[names[0]].map((_, row) => names.map((name) => cell(columns[name][row])).join(","));
  return [names.map(cell).join(","), ...rows, ""].join("\n");
}

function save(name) {
  const { columns } = page.figures.find((figure) => figure.name === name);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvOf(columns)], { type: "text/csv" }));
  link.download = `${name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function turn(plot, aside, up) {
  const { x, y, z } = plot._fullLayout.scene._scene.getCamera().eye;
  const radius = Math.hypot(x, y, z);
  const around = Math.atan2(y, x) + aside;
  const above = Math.max(-1.5, Math.min(1.5, Math.asin(z / radius) + up));
  const flat = radius * Math.cos(above);
  const eye = { x: flat * Math.cos(around), y: flat * Math.sin(around), z: radius * Math.sin(above) };
  return Plotly.relayout(plot, { "scene.camera.eye": eye });
}

function listen() {
  for (const button of document.querySelectorAll("[data-csv]")) {
    button.addEventListener("click", () => save(button.dataset.csv));
  }
  for (const button of document.querySelectorAll("[data-turn]")) {
    const plot = element(button.dataset.turn);
    const isOn = () => button.getAttribute("aria-pressed") === "true";
    const step = async () => {
      if (!isOn()) return;
      await turn(plot, calm.matches ? 0.3 : 0.02, 0);
      setTimeout(() => requestAnimationFrame(step), calm.matches ? 1000 : 30);
    };
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(!isOn()));
      step();
    });
    const keys = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    plot.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      turn(plot, ...keys[event.key]);
    });
  }
  dark.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
    for (const figure of page.figures.filter((each) => !isSolid(each))) {
      const axes = Object.keys(element(figure.name)._fullLayout).filter((name) => /^[xy]axis/.test(name));
      const lines = axes.map((name) => [`${name}.gridcolor`, PRINTED.line]);
      Plotly.relayout(element(figure.name), { width: 640, "font.color": PRINTED.ink, ...Object.fromEntries(lines) });
    }
  });
  addEventListener("afterprint", () => {
    for (const figure of page.figures.filter((each) => !isSolid(each))) {
      Plotly.relayout(element(figure.name), { width: null, autosize: true });
    }
    drawAll();
  });
}

loadPlotly().then(drawAll).then(listen).then(
  () => { document.documentElement.dataset.drawn = "true"; },
  (error) => {
    element("trouble").textContent = `The figures cannot be drawn (${error}). A browser of 2023 or newer can.`;
    element("trouble").hidden = false;
    console.error(error);
  },
);
