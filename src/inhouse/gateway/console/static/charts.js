// Draws each chart from the table that stands beside it: the table is the data, the chart its picture.
"use strict";
(() => {
  const COLORS = ["--accent", "--two", "--three"];
  const drawn = [];
  const color = (name) => { // custom properties hold light-dark(); only a used value is a color
    const probe = document.createElement("i");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const columns = (table) => {
    const names = [...table.tHead.rows[0].cells].map((c) => c.dataset.name);
    const labels = Object.fromEntries([...table.tHead.rows[0].cells].map((c) => [c.dataset.name, c.textContent]));
    const rows = [...table.tBodies[0].rows].map((r) => [...r.cells].map((c) => c.dataset.value));
    const values = Object.fromEntries(names.map((n, i) => [n, rows.map((r) => (i === 0 ? Date.parse(r[0]) / 1000 : r[i] === "" ? null : Number(r[i])))]));
    return { labels, values };
  };
  const short = (v, unit) => {
    if (v === null || v === undefined) return "–";
    const n = Math.abs(v) >= 1e6 ? `${+(v / 1e6).toFixed(1)} M` : Math.abs(v) >= 1e4 ? `${+(v / 1e3).toFixed(1)} k` : String(+v.toPrecision(3));
    return unit === "$" ? `$${n}` : unit === "s" ? `${n} s` : n;
  };
  const two = (n) => String(n).padStart(2, "0");
  const moment = (s, day) => { const d = new Date(s * 1000); const date = `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`; return day ? date.slice(5) : `${date} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`; };
  const draw = (place) => {
    const table = document.getElementById(place.dataset.table);
    if (!table || !place.clientWidth) return;
    const { labels, values } = columns(table), names = place.dataset.columns.split(" "), unit = place.dataset.unit;
    const soft = color("--soft"), line = color("--line"), span = values.time.at(-1) - values.time[0];
    const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const latest = (u) => { if (u.cursor.idx === null || u.cursor.idx === undefined) u.setLegend({ idx: u.data[0].length - 1 }, false); };
    const options = {
      hooks: { ready: [latest], setCursor: [latest] }, // the legend shows the last point until the user points at another
      width: place.clientWidth - 16, height: 196, padding: [8, 8, 0, 0], legend: { markers: { width: 0, fill: (u, i) => u.series[i].stroke(u, i) } }, cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      tzDate: (s) => new Date(new Date(s * 1e3).toLocaleString("en-US", { timeZone: "UTC" })),
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.08, unit ? 1e-6 : 4)] } },
      axes: [
        { ...axis, space: 64, size: 30, values: (_, ticks) => ticks.map((t) => (span > 3 * 86400 ? moment(t, true) : moment(t).slice(11))) },
        { ...axis, size: 52, ...(unit ? {} : { incrs: [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4, 5, 6, 7].map((e) => n * 10 ** e)).sort((a, b) => a - b) }), values: (_, ticks) => ticks.map((t) => short(t, unit)) },
      ],
      series: [{ label: "From", value: (_, v) => (v === null || v === undefined ? "–" : moment(v)) },
        ...names.map((n, i) => ({ label: labels[n], stroke: color(COLORS[i]), width: 1.75, points: { size: 6, show: (u, n) => u.data[n].filter((v) => v !== null).length < 3 }, spanGaps: false, fill: names.length === 1 ? color("--accent-soft") : undefined, value: (_, v) => short(v, unit) }))],
    };
    place.textContent = "";
    drawn.push(new uPlot(options, [values.time, ...names.map((n) => values[n])], place));
  };
  const all = () => { while (drawn.length) drawn.pop().destroy(); document.querySelectorAll(".chart").forEach(draw); };
  let waiting = 0;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(all, 80); };
  addEventListener("resize", soon);
  document.addEventListener("themechange", all);
  document.addEventListener("htmx:afterSettle", all);
  all();
})();
