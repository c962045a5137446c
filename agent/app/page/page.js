"use strict";
// Everything that comes from the agent becomes text (textContent) or a number; nothing becomes markup.
const POLL_MS = 2000, FRESH_MS = 10000, KEEP_MS = 300000, HISTORY_MS = 20000, HOUR_S = 3600;
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function make(tag, cls, text) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
}
function draw(parent, tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}
function put(node, text) { if (node.textContent !== text) node.textContent = text; }
function dress(node, cls) { if (node.className !== cls) node.className = cls; }

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
function count(n) {
  if (n < 1e6) return whole.format(n);
  for (const [size, unit] of [[1e12, " T"], [1e9, " G"], [1e6, " M"]]) if (n >= size) return (n / size).toPrecision(n / size >= 1000 ? 4 : 3) + unit;
}
function rate(n) {
  if (n === null) return "–";
  return n === 0 ? "0" : n < 0.1 ? "<0.1" : n < 10 ? n.toFixed(1) : count(n);
}
function bytes(n) {
  for (const [size, unit] of [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [1024, "KiB"]])
    if (n >= size) return (n / size >= 100 ? (n / size).toFixed(0) : (n / size).toFixed(1)) + " " + unit;
  return n + " B";
}
function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return s + " s";
  if (s < 7200) return Math.round(s / 60) + " min";
  if (s < 172800) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}
function clock(ms, seconds) {
  return new Date(ms).toLocaleTimeString("en-GB", seconds ? {} : { hour: "2-digit", minute: "2-digit" });
}
function when(ms, now) {
  return now - ms < 72000000 ? clock(ms, true) : new Date(ms).toLocaleDateString("en-GB", { day: "2-digit", month: "short" }) + " " + clock(ms);
}

// What each counter was in the last minutes: name -> [[uptime_ms, number], ...].
const seen = new Map();
function note(name, at, number) {
  let points = seen.get(name);
  if (!points) seen.set(name, points = []);
  if (points.length && (at < points[points.length - 1][0] || number < points[points.length - 1][1]) && name.endsWith("+")) points.length = 0;
  points.push([at, number]);
  while (points[0][0] < at - KEEP_MS) points.shift();
}
function rateOf(name) {  // of the last seconds; null: not known yet
  const points = seen.get(name);
  if (!points || points.length < 2) return null;
  const last = points[points.length - 1];
  let first = points[points.length - 2];
  for (let i = points.length - 3; i >= 0 && last[0] - points[i][0] <= FRESH_MS; --i) first = points[i];
  return last[0] > first[0] ? Math.max(0, (last[1] - first[1]) * 1000 / (last[0] - first[0])) : null;
}
function forgetOthers(names) { for (const name of seen.keys()) if (!names.has(name)) seen.delete(name); }

// Rows by key, kept as nodes, so that a selection or a pointer on them survives.
function rows(body, items, keyOf, create, update) {
  const old = new Map();
  for (const node of body.children) old.set(node.rowKey, node);
  items.forEach((item, i) => {
    const key = keyOf(item);
    let node = old.get(key);
    if (node) old.delete(key);
    else { node = create(item); node.rowKey = key; }
    if (body.children[i] !== node) body.insertBefore(node, body.children[i] || null);
    update(node, item);
  });
  for (const node of old.values()) node.remove();
}
function cells(row, classes) { for (const cls of classes) row.append(make("td", cls)); return row; }
function nameCell(cell, name, tag, lines, chips) {
  if (!cell.firstChild) {
    const top = make("div");
    top.append(make("span", "name"), make("span", "tag"));
    cell.append(top, make("div", "sub"), make("div", "chips"));
  }
  const [top, sub, row] = cell.children;
  put(top.children[0], name);
  put(top.children[1], tag);
  put(sub, lines);
  const wanted = chips.map((chip) => chip[1] + "\n" + chip[0]).join("\r");
  if (row.shown !== wanted) {
    row.shown = wanted;
    row.replaceChildren(...chips.map(([text, cls]) => make("span", "chip " + cls, text)));
  }
}
function numberCell(cell, n, cls) {
  put(cell, count(n));
  dress(cell, "num " + (n === 0 ? "zero" : cls || "") + (cell.classList.contains("wide") ? " wide" : ""));
}
function spark(cell, values, cls) {
  let svg = cell.firstChild;
  if (!svg) svg = draw(cell, "svg", { class: "spark", viewBox: "0 0 130 22", "aria-hidden": "true" });
  svg.replaceChildren();
  if (values.length < 2) return;
  const top = Math.max(...values.map((v) => v[1]), 1e-9), end = values[values.length - 1][0], length = Math.max(end - values[0][0], 30000);
  const path = values.map(([t, v], i) => (i ? "L" : "M") + (129 - (end - t) * 128 / length).toFixed(1) + " " + (20.5 - v * 19 / top).toFixed(1)).join("");
  draw(svg, "path", { class: "line " + cls, d: path });
}
function steps(name) {  // a counter's rate over time
  const points = seen.get(name) || [], out = [];
  for (let i = 1; i < points.length; ++i) {
    const ms = points[i][0] - points[i - 1][0];
    if (ms > 0) out.push([points[i][0], Math.max(0, (points[i][1] - points[i - 1][1]) * 1000 / ms)]);
  }
  return out;
}

const TROUBLE = /drop|lost|error|reject|refus|bad|fail|oversiz|too_|invalid|corrupt|closed|denied|unknown|missing|skipped/;
function showSources(s) {
  rows($("sources"), s.sources, (x) => x.name, () => cells(make("tr"), ["", "num", "wide", "num", "num wide"]), (row, x) => {
    const c = row.children;
    const chips = Object.entries(x.events).filter((e) => e[1] > 0).map(([what, n]) => [what.replaceAll("_", " ") + " " + count(n), TROUBLE.test(what) ? "warn" : ""]);
    if (x.waiting) chips.unshift(["waits for room", "wrong"]);
    nameCell(c[0], x.name, x.type, x.state, chips);
    put(c[1], rate(rateOf("source:" + x.name + "+")));
    spark(c[2], steps("source:" + x.name + "+"), "in");
    numberCell(c[3], x.records);
    put(c[4], bytes(x.bytes));
  });
  $("tables-card").hidden = s.tables.length === 0;
  rows($("tables"), s.tables, (x) => x.name, () => cells(make("tr"), [""]), (row, x) => nameCell(row.children[0], x.name, "", x.state, x.ready ? [] : [["not ready: sources wait", "wrong"]]));
}
function showPipelines(s) {
  rows($("pipelines"), s.pipelines, (x) => x.name, () => cells(make("tr"), ["", "num", "num wide", "num", "num", "num"]), (row, x) => {
    const c = row.children;
    nameCell(c[0], x.name, "", "", []);
    put(c[1], rate(rateOf("pipeline:" + x.name + "+")));
    numberCell(c[2], x.in);
    numberCell(c[3], x.out);
    numberCell(c[4], x.late, "warn");
    numberCell(c[5], x.failed, "wrong");
  });
}
const streamKey = (x) => x.name + "\n" + x.topic;  // a pipeline with several outputs has a stream of its name for each
function showStreams(s) {
  rows($("streams"), s.streams || [], streamKey, () => cells(make("tr"), ["", "num", "wide", "num", "num wide", "num wide"]), (row, x) => {
    const c = row.children;
    nameCell(c[0], x.name, "→\u00a0" + x.topic, "", x.held ? [["held: " + x.held, "wrong"]] : []);
    put(c[1], rate(rateOf("stream:" + streamKey(x) + "+")));
    spark(c[2], seen.get("waiting:" + streamKey(x)) || [], "back");
    numberCell(c[3], x.waiting, x.held ? "wrong" : "");
    put(c[4], bytes(x.waiting > 0 ? x.bytes : 0));
    numberCell(c[5], x.acknowledged);
  });
}
const sinkKey = (x) => x.pipeline + "\n" + x.destination;
function showSinks(s) {
  const sinks = s.sinks || [];
  $("sinks-card").hidden = sinks.length === 0;
  rows($("sinks"), sinks, sinkKey, () => cells(make("tr"), ["", "num wide", "num", "num", "num wide"]), (row, x) => {
    const c = row.children, chips = x.trouble ? [["takes nothing: " + x.trouble, "wrong"]] : [];
    if (x.missing) chips.push(["missing " + count(x.missing), "warn"]);
    nameCell(c[0], x.destination, x.pipeline, x.state, chips);
    put(c[1], rate(rateOf("sink:" + sinkKey(x) + "+")));
    numberCell(c[2], x.backlog, x.trouble ? "wrong" : "");
    numberCell(c[3], x.refused, "warn");
    numberCell(c[4], x.records);
  });
}
function showErrors(s) {
  const errors = s.last_errors || [];
  $("no-errors").hidden = errors.length > 0;
  rows($("errors"), errors, (e) => e.level + e.first_ms + e.text.replace(/\d+/g, "#"), () => {
    const item = make("li");
    item.append(make("time"), make("span"), make("span"), make("span", "times"));
    return item;
  }, (item, e) => {
    const c = item.children;
    put(c[0], when(e.last_ms, s.now_ms));
    put(c[1], e.level);
    dress(c[1], "chip " + (e.level === "error" ? "wrong" : "warn"));
    put(c[2], e.text);
    put(c[3], e.count > 1 ? "×" + count(e.count) : "");
    c[3].title = e.count > 1 ? "first at " + when(e.first_ms, s.now_ms) : "";
  });
}
function showTiles(s) {
  const forward = s.forward, store = s.store, inRate = rateOf("in+"), outRate = rateOf("out+");
  put($("in-rate"), rate(inRate));
  const bad = s.totals.undecodable + s.totals.failed;
  put($("in-more"), count(s.totals.in) + " since the start" + (bad ? "; " + count(bad) + " failed" : "") + (s.totals.late ? "; " + count(s.totals.late) + " late" : ""));
  put($("out-title"), forward ? "To Kafka" : "Stored");
  put($("out-legend"), forward ? "to Kafka" : "stored");
  put($("out-rate"), rate(outRate));
  put($("out-more"), forward ? count(forward.forwarded_records) + " in " + count(forward.transactions) + " transactions" : count(s.totals.stored) + " since the start");
  put($("wait"), count(store.outbox_records));
  const first = (seen.get("backlog") || [])[0], span_ms = first ? s.uptime_ms - first[0] : 0;
  const slope = span_ms > 8000 ? (store.outbox_records - first[1]) * 1000 / span_ms : 0;
  const few = store.outbox_records <= 3 * Math.max(inRate || 0, 1);
  put($("wait-more"), bytes(store.outbox_bytes) + (few ? "" : slope > 0.5 ? "; grows by " + rate(slope) + "/s" : slope < -0.5 ? "; empty in about " + span(store.outbox_records / -slope) : ""));
  const link = forward ? forward.link : "off";
  dress($("link-tile"), "tile " + (link === "up" ? "up" : link === "connecting" ? "connecting" : link === "off" || link === "idle" ? "" : "down"));
  put($("link"), link);
  put($("link-more"), !forward ? "no kafka section: " + ((s.sinks || []).length ? "local outputs only" : "records are stored only")
    : forward.alarm ? "stopped until somebody acts"
    : link !== "up" && link !== "idle" && forward.last_error ? forward.last_error
    : (forward.last_settled_ms ? "last transaction " + span((s.now_ms - forward.last_settled_ms) / 1000) + " ago" : "no transaction yet") + (forward.held.length ? "; " + forward.held.length + " held" : ""));
  const share = store.limit_bytes ? store.used_bytes / store.limit_bytes : 0;
  put($("room"), Math.min(100, share * 100).toFixed(share < 0.1 ? 1 : 0) + " %");
  dress($("meter"), "meter" + (share >= 0.95 || store.disk_full ? " full" : share >= 0.7 ? " high" : ""));
  $("meter").firstElementChild.style.width = Math.min(100, share * 100) + "%";
  put($("room-more"), bytes(store.used_bytes) + " of " + bytes(store.limit_bytes) + (store.quarantine_records ? "; " + count(store.quarantine_records) + " in quarantine" : "") +
    (store.dropped_records ? "; " + count(store.dropped_records) + " dropped" : ""));
}
function show(s) {
  put($("agent"), s.agent);
  document.title = (s.healthy ? "" : "⚠ ") + s.agent + " – rivulet";
  put($("about"), "up " + span(s.uptime_ms / 1000) + " · " + bytes(s.resident_bytes) + " memory · rivulet " + s.version + (s.clock_plausible === false ? " · clock not set" : ""));
  dress($("health"), "pill " + (s.healthy ? "good" : "bad"));
  put($("health").lastElementChild, s.healthy ? "Healthy" : "Needs a look");
  $("problems").hidden = s.problems.length === 0;
  rows($("problems").querySelector("ul"), s.problems, (p) => p, (p) => make("li", "", p), () => {});
  const config = s.config || {};
  $("refused").hidden = !config.problem;
  put($("refused").lastElementChild, config.problem ? when(config.refused_ms, s.now_ms) + "  " + config.problem : "");
  put($("foot"), "store " + s.incarnation + " · " + clock(s.now_ms, true) + " on the gateway");
  showTiles(s);
  showSources(s);
  showPipelines(s);
  showStreams(s);
  showSinks(s);
  showErrors(s);
}
function remember(s) {
  const names = new Set(), at = s.uptime_ms;
  const add = (name, n) => { names.add(name); note(name, at, n); };
  add("in+", s.totals.in);
  add("out+", s.forward ? s.forward.forwarded_records : s.totals.stored);
  add("backlog", s.store.outbox_records);
  for (const x of s.sources) add("source:" + x.name + "+", x.records);
  for (const x of s.pipelines) add("pipeline:" + x.name + "+", x.in);
  for (const x of s.streams || []) { add("stream:" + streamKey(x) + "+", x.last); add("waiting:" + streamKey(x), x.waiting); }
  for (const x of s.sinks || []) add("sink:" + sinkKey(x) + "+", x.records);
  forgetOthers(names);
}

// The plots: an hour to the left of now, from the agent's own history.
let history = [], nowMs = 0, pointer = null;
function nice(top) {
  if (top <= 0) return 1;
  const size = 10 ** Math.floor(Math.log10(top));
  for (const m of [1, 2, 2.5, 5, 10]) if (m * size >= top) return m * size;
}
function points() {  // [age in s, in/s, forwarded/s, backlog, up, length]
  let age = 0;
  const out = [];
  for (let i = history.length - 1; i >= 0 && age < HOUR_S; --i) {
    const [seconds, inn, forwarded, backlog, up] = history[i];
    out.unshift([age, inn / seconds, forwarded / seconds, backlog, up, seconds]);
    age += seconds;
  }
  return out;
}
function outages(data) {  // [[age at its begin, age at its end], ...]
  const out = [];
  data.forEach((p, i) => {
    if (p[4]) return;
    if (i && !data[i - 1][4]) out[out.length - 1][1] = p[0];
    else out.push([Math.min(p[0] + p[5], HOUR_S), p[0]]);
  });
  return out;
}
function plot(id, series, label) {
  const svg = $(id), width = svg.clientWidth || 500, height = 168, left = 46, bottom = 22, top = 8;
  svg.setAttribute("viewBox", "0 0 " + width + " " + height);
  svg.replaceChildren();
  const data = points(), x = (age) => width - (width - left) * age / HOUR_S;
  const highest = nice(Math.max(0, ...data.flatMap((p) => series.map((s) => p[s.at]))));
  const y = (v) => height - bottom - (height - bottom - top) * v / highest;
  for (const part of [0, 0.5, 1]) {
    draw(svg, "line", { class: "grid", x1: left, x2: width, y1: y(highest * part), y2: y(highest * part) });
    draw(svg, "text", { x: left - 8, y: y(highest * part) + 4, "text-anchor": "end" }, highest >= 10 || part === 0 ? count(highest * part) : String(+(highest * part).toFixed(2)));
  }
  for (const minutes of [60, 45, 30, 15, 0])
    draw(svg, "text", { x: x(minutes * 60), y: height - 5, "text-anchor": minutes === 60 ? "start" : minutes === 0 ? "end" : "middle" }, minutes ? clock(nowMs - minutes * 60000) : "now");
  for (const [from, to] of label === "wait" && linkMatters ? outages(data) : []) {
    const place = { x: x(from), width: Math.max(1, x(to) - x(from)) };
    draw(svg, "rect", { class: "band", y: top, height: height - bottom - top, ...place });
    draw(svg, "rect", { class: "rail", y: height - bottom - 2, height: 3, ...place });
  }
  if (data.length > 1) {
    for (const s of series) {
      const path = data.map((p, i) => (i ? "L" : "M") + x(p[0]).toFixed(1) + " " + y(p[s.at]).toFixed(1)).join("");
      if (s.filled) draw(svg, "path", { class: "area " + s.cls, d: path + "L" + x(data[data.length - 1][0]) + " " + y(0) + "L" + x(data[0][0]) + " " + y(0) + "Z" });
      draw(svg, "path", { class: "line " + s.cls, d: path });
    }
  } else {
    draw(svg, "text", { x: (width + left) / 2, y: height / 2, "text-anchor": "middle" }, "the history begins: a point each 20 s");
  }
  if (pointer === null || !data.length) return "";
  const at = data.reduce((best, p) => (Math.abs(p[0] - pointer) < Math.abs(best[0] - pointer) ? p : best));
  draw(svg, "line", { class: "cross", x1: x(at[0]), x2: x(at[0]), y1: top, y2: height - bottom });
  return clock(nowMs - at[0] * 1000) + "  " + series.map((s) => s.name + " " + (s.at === 3 ? count(at[3]) : rate(at[s.at]))).join(", ") + (label === "wait" && linkMatters && !at[4] ? ", link down" : "");
}
let linkMatters = true;
function plots() {
  put($("plot-rate-now"), plot("plot-rate", [{ at: 1, cls: "in", name: "in", filled: true }, { at: 2, cls: "out", name: "out" }], "rate"));
  put($("plot-wait-now"), plot("plot-wait", [{ at: 3, cls: "back", name: "waiting", filled: true }], "wait"));
}
for (const id of ["plot-rate", "plot-wait"]) {
  $(id).addEventListener("pointermove", (event) => {
    const box = $(id).getBoundingClientRect();
    pointer = Math.max(0, (box.right - event.clientX) * HOUR_S / (box.width - 46));
    plots();
  });
  $(id).addEventListener("pointerleave", () => { pointer = null; plots(); });
}
addEventListener("resize", plots);

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", headers: { accept: "application/json" }, signal: AbortSignal.timeout(5000) });
  if (!answer.ok) throw new Error(path + ": " + answer.status);
  return answer.json();
}
let lastUptime = 0, historyAt = -Infinity, answeredMs = 0, timer = 0, asking = false;
async function poll() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  try {
    const s = await ask("status");
    if (s.uptime_ms < lastUptime) { seen.clear(); historyAt = -Infinity; }  // it was started anew
    lastUptime = s.uptime_ms;
    linkMatters = s.forward !== null;
    remember(s);
    show(s);
    nowMs = s.now_ms;
    answeredMs = Date.now();
    document.body.classList.remove("stale");
    if (performance.now() - historyAt >= HISTORY_MS) {
      historyAt = performance.now();
      history = (await ask("history")).samples;
      plots();
    }
  } catch (error) {
    document.body.classList.add("stale");
    dress($("health"), "pill bad");
    put($("health").lastElementChild, answeredMs ? "No answer since " + clock(answeredMs, true) : "No answer");
    console.warn(error);
  }
  asking = false;
  if (!document.hidden) timer = setTimeout(poll, seen.size && seen.get("in+").length < 2 ? POLL_MS / 2 : POLL_MS);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
poll();
