"use strict";
// Everything that comes from a file is put in as text (textContent), never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = 7;
const colour = (i) => `var(--s${i % COLOURS})`;
const isRepeated = (i) => i >= COLOURS; // a colour is used again: dots and lines look different
const byId = (id) => document.getElementById(id);
const known = (v) => v !== null && v !== undefined;
const unique = (values) => [...new Set(values)];

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, options);
  element.append(...children);
  return element;
}

function draw(parent, tag, attributes, style = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  Object.assign(element.style, style);
  parent.append(element);
  return element;
}

function format(value) {
  if (!known(value)) return "-";
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

function selectOf(label, choices, chosen, onChange) {
  const select = make("select", { onchange: () => onChange(select.value) });
  for (const [value, text] of choices) select.append(make("option", { value, textContent: text, selected: value === chosen }));
  return make("label", {}, label + " ", select);
}

/* ---- theme ---- */
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  document.dispatchEvent(new Event("themed"));
}
byId("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
setTheme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

/* ---- tables that sort by a click on a column's head; what has no value stays last ---- */
function keyOf(cell) {
  const text = cell.textContent.trim();
  const number = /^[-+]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?/i.exec(text);
  if (text === "" || text === "-") return null;
  return number ? Number(number[0].replaceAll(",", "")) : text.toLowerCase();
}

function compareKeys(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(table, column, ascending) {
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row.cells[column]), row]);
  const full = rows.filter(([key]) => key !== null);
  full.sort(([a], [b]) => (ascending ? 1 : -1) * compareKeys(a, b));
  table.tBodies[0].append(...full.map(([, row]) => row), ...rows.filter(([key]) => key === null).map(([, row]) => row));
}

function makeSortable(table) {
  if (!table.tHead || !table.tBodies.length) return;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    button.onclick = () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(table, column, ascending);
    };
    head.classList.add("sortable");
    head.append(button);
  });
}
document.querySelectorAll("table").forEach(makeSortable);

const filter = byId("metric-filter");
if (filter) {
  filter.oninput = () => {
    for (const row of byId("metric-table").tBodies[0].rows) {
      row.hidden = !row.textContent.toLowerCase().includes(filter.value.trim().toLowerCase());
    }
  };
}

/* ---- scales and tips ---- */
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(Number((i * step).toPrecision(10)));
  return found;
}

function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) if (known(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low > high) return [0, 1];
  const margin = 0.04 * (high - low) || Math.abs(high) * 0.05 || 1;
  return [low - margin, high + margin];
}

const scale = ([low, high], from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);

function tipFor(figure) {
  const tip = make("div", { className: "tip", hidden: true });
  figure.append(tip);
  return {
    show(text, x, y) {
      tip.textContent = text;
      tip.hidden = false;
      const left = Math.min(x + 12, figure.clientWidth - tip.offsetWidth - 4);
      tip.style.left = `${Math.max(0, left)}px`;
      tip.style.top = `${y + 14}px`;
    },
    hide() { tip.hidden = true; },
  };
}

function withTip(element, text, figure, tip) {
  element.setAttribute("tabindex", "0");
  element.setAttribute("aria-label", text);
  element.setAttribute("role", "img");
  const show = () => {
    const [mark, box] = [element.getBoundingClientRect(), figure.getBoundingClientRect()];
    tip.show(text, mark.left - box.left, mark.top - box.top);
  };
  element.onpointerenter = element.onfocus = show;
  element.onpointerleave = element.onblur = tip.hide;
}

function legendOf(names, hidden, onToggle) {
  const legend = make("div", { className: "legend" });
  names.forEach((name, i) => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = colour(i);
    swatch.classList.toggle("repeated", isRepeated(i));
    const button = make("button", { type: "button" }, swatch, name);
    button.setAttribute("aria-pressed", String(!hidden.has(name)));
    button.onclick = () => {
      if (!hidden.delete(name)) hidden.add(name);
      onToggle();
    };
    legend.append(button);
  });
  return legend;
}

/* ---- metrics: dots of all methods, or lines where a metric was measured at several numbers ---- */
const metricView = { metric: null, hidden: new Set(), hiddenRuns: new Set(), isFresh: true };
const MOST_LINES = 8;
const labelOf = (measure) => measure.method || "the run";

function metricNames() {
  const methods = new Map();
  for (const { metric, method } of data.measures) methods.set(metric, (methods.get(metric) || new Set()).add(method));
  const names = [...methods.keys()];
  return names.sort((a, b) => methods.get(b).size - methods.get(a).size);
}

function startMetrics() {
  const names = metricNames();
  metricView.metric = names.includes("spearman") ? "spearman" : names[0];
  byId("metric-controls").append(
    selectOf("Metric", names.map((name) => [name, name]), metricView.metric, (name) => {
      metricView.metric = name;
      metricView.hidden.clear();
      metricView.isFresh = true;
      drawMetrics();
    }),
  );
  drawMetrics();
}

function drawMetrics() {
  const measures = data.measures.filter((measure) => measure.metric === metricView.metric);
  const direction = data.directions[metricView.metric];
  const better = direction ? `, ${direction} is better` : "";
  const baseline = measures.some((m) => m.baseline) ? " \u25C7 and dashes: baselines." : "";
  const spread = measures.some((m) => m.lower.some(known)) ? " Bars: what the run states as its spread (standard deviation or interval)." : "";
  byId("metric-note").textContent = `${metricView.metric}${better}.${baseline}${spread}`;
  const figure = byId("metric-plot");
  figure.replaceChildren();
  if (unique(measures.map((m) => m.at).filter(known)).length > 1) drawLines(figure, measures.filter((m) => known(m.at)), direction);
  const single = measures.filter((m) => !known(m.at));
  if (single.length) drawDots(figure, single, direction);
}

/* Of many lines the best of each run are drawn at first, and its best baseline; a click on a name shows another. */
function chooseLines(rows, names) {
  if (!metricView.isFresh) return;
  metricView.isFresh = false;
  if (names.length <= MOST_LINES) return;
  const runs = unique(rows.map((row) => row.run)), quota = Math.max(3, Math.floor(MOST_LINES / runs.length));
  const baselines = new Set(rows.filter((row) => row.baseline).map((row) => row.name));
  for (const run of runs) {
    const own = unique(rows.filter((row) => row.run === run).map((row) => row.name));
    const ordered = names.filter((name) => own.includes(name));
    const drawn = new Set([...ordered.slice(0, quota), ordered.find((name) => baselines.has(name))]);
    for (const name of ordered) if (!drawn.has(name)) metricView.hidden.add(name);
  }
}

function byMean(rows, sign) {
  const sums = new Map();
  for (const { name, value } of rows) {
    const [sum, count] = sums.get(name) || [0, 0];
    sums.set(name, [sum + value, count + 1]);
  }
  const mean = (name) => sums.get(name)[0] / sums.get(name)[1];
  return [...sums.keys()].sort((a, b) => sign * (mean(b) - mean(a)));
}

function drawLines(figure, measures, direction) {
  const filled = data.runs.filter((_, r) => measures.some((m) => known(m.values[r])));
  const nameOf = (measure, run) => (filled.length > 1 ? `${labelOf(measure)} (${run})` : labelOf(measure));
  const rows = measures.flatMap((m) => data.runs.map((run, r) => ({
    name: nameOf(m, run), run, at: m.at, value: m.values[r], baseline: m.baseline,
  }))).filter((row) => known(row.value));
  const names = byMean(rows, direction === "lower" ? -1 : 1);
  chooseLines(rows, names);
  const shown = rows.filter((row) => !metricView.hidden.has(row.name));
  const width = Math.max(300, figure.clientWidth), height = Math.min(420, 200 + width * 0.2);
  const svg = draw(figure, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": metricView.metric });
  const x = scale(range(rows.map((row) => row.at)), 52, width - 12);
  const y = scale(range(shown.map((row) => row.value)), height - 30, 8);
  drawAxes(svg, x, y, unique(rows.map((row) => row.at)).sort((a, b) => a - b), range(shown.map((row) => row.value)), width, height);
  const tip = tipFor(figure);
  names.forEach((name, i) => {
    const own = shown.filter((row) => row.name === name).sort((a, b) => a.at - b.at);
    if (!own.length) return;
    const points = own.map((row) => `${x(row.at)},${y(row.value)}`).join(" ");
    draw(svg, "polyline", { points, fill: "none", "stroke-width": 2, "stroke-dasharray": own[0].baseline ? "6 4" : isRepeated(i) ? "1 3" : "none" }, { stroke: colour(i) });
    for (const row of own) {
      const dot = draw(svg, "circle", { cx: x(row.at), cy: y(row.value), r: 5 }, { fill: colour(i) });
      withTip(dot, `${name}\n${metricView.metric}@${row.at}: ${format(row.value)}`, figure, tip);
    }
  });
  const left = names.filter((name) => metricView.hidden.has(name)).length;
  if (left) figure.append(make("p", { className: "note", textContent: `${names.length - left} of ${names.length} are drawn, the best first; a click on a name shows or hides it.` }));
  figure.append(legendOf(names, metricView.hidden, drawMetrics));
}

function drawAxes(svg, x, y, atX, yRange, width, height) {
  for (const value of ticks(...yRange, 5)) {
    draw(svg, "line", { x1: 52, x2: width - 12, y1: y(value), y2: y(value), class: "grid" });
    draw(svg, "text", { x: 46, y: y(value) + 4, "text-anchor": "end", class: "axis" }).textContent = format(value);
  }
  let free = -Infinity;
  for (const value of atX) {
    if (x(value) < free) continue; // labels would lie on each other
    free = x(value) + 34;
    draw(svg, "text", { x: x(value), y: height - 8, "text-anchor": "middle", class: "axis" }).textContent = `@${format(value)}`;
  }
}

function drawDots(figure, measures, direction) {
  const best = (m) => { const v = m.values.filter(known); return v.length ? (direction === "lower" ? -Math.min(...v) : Math.max(...v)) : -Infinity; };
  const rows = [...measures].sort((a, b) => best(b) - best(a));
  const width = Math.max(300, figure.clientWidth), narrow = width < 560;
  const longest = Math.max(...rows.map((m) => labelOf(m).length + (m.baseline ? 2 : 0)));
  const left = narrow ? 8 : Math.min(width * 0.36, 24 + longest * 7.4);
  const step = narrow ? 46 : 26, height = rows.length * step + 34;
  const limits = range(rows.flatMap((m) => [...m.values, ...m.lower, ...m.upper]));
  const x = scale(limits, left + 10, width - 14);
  const svg = draw(figure, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": metricView.metric });
  const tip = tipFor(figure);
  for (const value of ticks(...limits, narrow ? 4 : 7)) {
    draw(svg, "line", { x1: x(value), x2: x(value), y1: 4, y2: height - 24, class: "grid" });
    draw(svg, "text", { x: x(value), y: height - 8, "text-anchor": "middle", class: "axis" }).textContent = format(value);
  }
  rows.forEach((measure, row) => drawRow(svg, measure, row * step + step / 2 + (narrow ? 8 : 2), x, { narrow, left, limits }, figure, tip));
  if (data.runs.length > 1) figure.append(legendOf(data.runs, metricView.hiddenRuns, drawMetrics));
}

function drawRow(svg, measure, y, x, { narrow, left, limits }, figure, tip) {
  const name = labelOf(measure) + (measure.baseline ? " \u25C7" : "");
  const most = narrow ? 60 : Math.floor((left - 16) / 7);
  const text = draw(svg, "text", narrow ? { x: left, y: y - 13 } : { x: left, y: y + 4, "text-anchor": "end" });
  text.textContent = name.length > most ? `\u2026${name.slice(1 - most)}` : name;
  draw(svg, "line", { x1: x(limits[0]), x2: x(limits[1]), y1: y, y2: y, class: "grid" });
  const runs = measure.values.map((_, run) => run).filter((run) => known(measure.values[run]) && !metricView.hiddenRuns.has(data.runs[run]));
  runs.forEach((run, place) => {
    const value = measure.values[run];
    const at = y + (place - (runs.length - 1) / 2) * Math.min(5, 18 / runs.length);
    const [low, high] = [measure.lower[run], measure.upper[run]];
    if (known(low) && known(high)) draw(svg, "line", { x1: x(low), x2: x(high), y1: at, y2: at, "stroke-width": 2, "stroke-opacity": 0.55 }, { stroke: colour(run) });
    const dot = draw(svg, "circle", { cx: x(value), cy: at, r: 5.5, "stroke-width": 2 }, measure.baseline ? { fill: "var(--paper)", stroke: colour(run) } : { fill: colour(run), stroke: colour(run) });
    const spread = known(low) && known(high) ? ` [${format(low)}, ${format(high)}]` : "";
    withTip(dot, `${data.runs[run]}\n${labelOf(measure)}\n${measure.metric}: ${format(value)}${spread}`, figure, tip);
  });
}

/* ---- predictions: any number over any other, of the rows that are chosen ---- */
const pointView = { run: null, x: null, y: null, by: "", chosen: {}, hidden: new Set() };
const ALL = "\u0000all";

function startPoints() {
  const runs = data.runs.map((name, i) => [String(i), name]).filter(([i]) => data.predictions[i] && Object.keys(data.predictions[i].numbers).length > 1);
  byId("predictions").hidden = !runs.length;
  byId("to-predictions").hidden = !runs.length;
  if (!runs.length) return;
  pointView.runs = runs;
  chooseRun(runs[0][0]);
}

function chooseRun(run) {
  const table = data.predictions[run], numbers = Object.keys(table.numbers), choices = Object.keys(table.choices);
  const filled = (name) => numbers.includes(name) && table.numbers[name].some(known);
  Object.assign(pointView, { run, hidden: new Set(), chosen: {} });
  pointView.x = ["truth", "accuracy", "final"].find(filled) || numbers[0];
  pointView.y = ["mean", "forecast", "prediction", "score"].find(filled) || numbers.find((name) => name !== pointView.x);
  pointView.by = choices.find((name) => !(name in table.numbers) && unique(table.choices[name]).length <= COLOURS) || "";
  for (const name of choices) {
    const values = unique(table.choices[name]);
    const wide = !(name in table.numbers) && values.length > COLOURS;
    pointView.chosen[name] = /snapshots|epoch|observed/.test(name) ? values.sort(compareText).at(-1) : wide ? values[0] : ALL;
  }
  drawControls(table);
  drawPoints();
}

const compareText = (a, b) => String(a).localeCompare(String(b), "en", { numeric: true });

function drawControls(table) {
  const controls = byId("point-controls"), numbers = Object.keys(table.numbers).map((name) => [name, name]);
  const set = (key) => (value) => { pointView[key] = value; pointView.hidden.clear(); drawPoints(); };
  controls.replaceChildren();
  if (pointView.runs.length > 1) controls.append(selectOf("Run", pointView.runs, pointView.run, chooseRun));
  controls.append(selectOf("Across", numbers, pointView.x, set("x")), selectOf("Up", numbers, pointView.y, set("y")));
  for (const [name, column] of Object.entries(table.choices)) {
    const values = unique(column).sort(compareText);
    if (values.length < 2) continue;
    const options = [[ALL, "all"], ...values.map((value) => [value, value])];
    controls.append(selectOf(name, options, pointView.chosen[name], (value) => { pointView.chosen[name] = value; drawPoints(); }));
  }
  const colours = Object.keys(table.choices).filter((name) => unique(table.choices[name]).length > 1).map((name) => [name, name]);
  if (colours.length) controls.append(selectOf("Colour", [["", "none"], ...colours], pointView.by, set("by")));
}

function chosenRows() {
  const table = data.predictions[pointView.run];
  const [xs, ys] = [table.numbers[pointView.x], table.numbers[pointView.y]];
  const filters = Object.entries(pointView.chosen).filter(([, value]) => value !== ALL);
  const rows = [];
  for (let i = 0; i < xs.length; i += 1) {
    if (known(xs[i]) && known(ys[i]) && filters.every(([name, value]) => table.choices[name][i] === value)) rows.push(i);
  }
  return { table, xs, ys, rows };
}

function ranks(values) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]), rank = new Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start;
    while (end < order.length && values[order[end]] === values[order[start]]) end += 1;
    for (let i = start; i < end; i += 1) rank[order[i]] = (start + end - 1) / 2;
    start = end;
  }
  return rank;
}

function correlation(a, b) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, i) => { ab += (value - ma) * (b[i] - mb); aa += (value - ma) ** 2; bb += (b[i] - mb) ** 2; });
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : null;
}

function drawPoints() {
  const { table, xs, ys, rows } = chosenRows();
  const groups = pointView.by ? unique(table.choices[pointView.by]).sort(compareText) : [];
  const groupOf = pointView.by ? (i) => table.choices[pointView.by][i] : () => "";
  const shown = rows.filter((i) => !pointView.hidden.has(groupOf(i)));
  const figure = byId("point-plot");
  figure.replaceChildren();
  const [x, y] = [shown.map((i) => xs[i]), shown.map((i) => ys[i])];
  const agree = shown.length > 2 ? `, Spearman ${format(correlation(ranks(x), ranks(y)))}` : "";
  const sampled = table.shown < table.rows ? ` of a sample of ${table.shown.toLocaleString("en")} of ${table.rows.toLocaleString("en")} rows` : "";
  byId("point-note").textContent = `${shown.length.toLocaleString("en")} points${sampled}${agree}. Point at one to read it.`;
  const canvas = scatter(figure, x, y, shown.map((i) => groups.indexOf(groupOf(i))));
  const tip = tipFor(figure);
  const describe = (i) => [
    table.names ? table.names[i] : null, ...Object.entries(table.choices).filter(([name]) => !(name in table.numbers)).map(([name, column]) => `${name}: ${column[i]}`),
    ...Object.entries(table.numbers).map(([name, column]) => `${name}: ${format(column[i])}`),
  ].filter(known).join("\n");
  canvas.element.onpointermove = (event) => {
    const place = canvas.nearest(event.offsetX, event.offsetY);
    if (place < 0) tip.hide(); else tip.show(describe(shown[place]), event.offsetX, event.offsetY);
  };
  canvas.element.onpointerleave = tip.hide;
  if (groups.length > 1 && groups.length <= 60) figure.append(legendOf(groups, pointView.hidden, drawPoints));
}

function scatter(figure, x, y, group) {
  const width = Math.max(280, Math.min(figure.clientWidth, 900)), height = Math.min(460, width * 0.75);
  const element = make("canvas", {}), ratio = devicePixelRatio || 1, pen = element.getContext("2d");
  Object.assign(element, { width: width * ratio, height: height * ratio });
  Object.assign(element.style, { width: `${width}px`, height: `${height}px` });
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", `${pointView.y} over ${pointView.x}, ${x.length} points`);
  figure.append(element);
  pen.scale(ratio, ratio);
  const style = getComputedStyle(document.documentElement), ink = (name) => style.getPropertyValue(name);
  const [rx, ry] = [range(x), range(y)], overlap = Math.min(rx[1], ry[1]) - Math.max(rx[0], ry[0]);
  const sameUnit = overlap > 0.3 * Math.min(rx[1] - rx[0], ry[1] - ry[0]);
  const left = 64, px = scale(rx, left, width - 10), py = scale(ry, height - 46, 10);
  pen.font = "12px system-ui, sans-serif";
  pen.lineWidth = 1;
  for (const value of ticks(...ry, 6)) line(pen, ink("--line"), [left, py(value)], [width - 10, py(value)]);
  for (const value of ticks(...rx, width / 110)) line(pen, ink("--line"), [px(value), 10], [px(value), height - 46]);
  pen.fillStyle = ink("--faint");
  pen.textAlign = "right";
  for (const value of ticks(...ry, 6)) pen.fillText(format(value), left - 6, py(value) + 4);
  pen.textAlign = "center";
  for (const value of ticks(...rx, width / 110)) pen.fillText(format(value), px(value), height - 30);
  pen.fillStyle = ink("--ink");
  pen.fillText(pointView.x, (left + width) / 2, height - 8);
  pen.save();
  pen.translate(14, height / 2 - 18);
  pen.rotate(-Math.PI / 2);
  pen.fillText(pointView.y, 0, 0);
  pen.restore();
  if (sameUnit && pointView.x !== pointView.y) {
    const [low, high] = [Math.max(rx[0], ry[0]), Math.min(rx[1], ry[1])];
    pen.setLineDash([5, 4]);
    line(pen, ink("--faint"), [px(low), py(low)], [px(high), py(high)]);
    pen.setLineDash([]);
  }
  pen.globalAlpha = x.length > 2000 ? 0.35 : 0.65;
  for (let i = 0; i < x.length; i += 1) {
    pen.fillStyle = ink(`--s${Math.max(0, group[i]) % COLOURS}`);
    pen.beginPath();
    pen.arc(px(x[i]), py(y[i]), x.length > 2000 ? 2.5 : 4, 0, 2 * Math.PI);
    pen.fill();
  }
  const nearest = (atX, atY) => {
    let [found, least] = [-1, 14 ** 2];
    for (let i = 0; i < x.length; i += 1) {
      const distance = (px(x[i]) - atX) ** 2 + (py(y[i]) - atY) ** 2;
      if (distance < least) [found, least] = [i, distance];
    }
    return found;
  };
  return { element, nearest };
}

function line(pen, style, from, to) {
  pen.strokeStyle = style;
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

/* ---- start; canvas colours and widths are drawn anew when they change ---- */
if (data.measures.length) startMetrics();
startPoints();
const again = () => {
  if (data.measures.length) drawMetrics();
  if (pointView.run !== null) drawPoints();
};
let pending = 0;
let lastWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === lastWidth) return;
  lastWidth = innerWidth;
  cancelAnimationFrame(pending);
  pending = requestAnimationFrame(again);
});
document.addEventListener("themed", again);
