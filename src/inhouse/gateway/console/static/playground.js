// The playground: one question to two models, shown as they stream. Text is only ever inserted as text.
"use strict";
(() => {
  const arms = document.getElementById("arms"), form = document.getElementById("ask"), question = document.getElementById("question");
  const send = document.getElementById("send"), stop = document.getElementById("stop"), home = arms.dataset.home;
  const token = document.querySelector('meta[name="csrf"]').content;
  const sections = [...arms.querySelectorAll(".arm")];
  let histories = sections.map(() => []), running = null;

  const make = (tag, name = "", text = "") => { const e = document.createElement(tag); if (name) e.className = name; if (text) e.textContent = text; return e; };
  const button = (icon, label, act) => {
    const b = make("button", "quiet compact");
    b.type = "button";
    b.append(document.getElementById(`icon-${icon}`).content.cloneNode(true), make("span", "", label));
    b.addEventListener("click", () => act(b));
    return b;
  };
  const post = (path, body, signal) => fetch(`${home}/playground/${path}`, { method: "POST", signal, headers: { "content-type": "application/json", "x-csrf": token }, body: JSON.stringify(body) });
  const trouble = async (response) => {
    if (response.status === 401) location.reload();
    try { return (await response.json()).error.message; } catch { return `The gateway returned status ${response.status}.`; }
  };

  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
    }
  }

  // The answer with a mark after each sentence that a passage supports.
  const cited = (place, text, citations, show) => {
    place.textContent = "";
    let at = 0;
    for (const c of citations ?? []) {
      const found = text.indexOf(c.sentence, at);
      if (found < 0) continue;
      const end = found + c.sentence.length;
      place.append(text.slice(at, end));
      const mark = make("button", "cite", String(c.passage));
      mark.type = "button";
      mark.setAttribute("aria-label", `Passage ${c.passage}`);
      mark.addEventListener("click", () => show(c.passage));
      place.append(mark);
      at = end;
    }
    place.append(text.slice(at));
  };

  const passages = (rows, citations) => {
    const box = make("details", "passages");
    box.append(make("summary", "", rows.length === 1 ? "1 passage" : `${rows.length} passages`));
    const used = new Set((citations ?? []).map((c) => c.passage));
    rows.forEach((p, n) => {
      const one = make("div", `passage${used.has(n + 1) ? " is-cited" : ""}`);
      one.tabIndex = -1;
      one.append(make("b", "", `[${n + 1}] ${p.title}`));
      if (p.trust === "external") {
        const mark = make("span", "badge is-warn", "external");
        mark.title = "Others may have written this document";
        one.append(" ", mark);
      }
      if (p.heading) one.append(" ", make("span", "soft", p.heading));
      one.append(make("p", "pre", p.text));
      const source = make("p", "small");
      if (arms.dataset.knowledge) {
        const link = make("a", "", p.source);
        link.href = `${home}/knowledge/document?source=${encodeURIComponent(p.source)}`;
        source.append(link);
      } else source.append(make("span", "soft", p.source));
      if (p.page) source.append(make("span", "soft", `, page ${p.page}`));
      one.append(source);
      box.append(one);
    });
    const show = (number) => { box.open = true; const one = box.children[number]; one?.scrollIntoView({ block: "nearest" }); one?.focus(); };
    return [box, show];
  };

  const waitForPerson = async (answer, id) => {
    const note = make("div", "person");
    note.setAttribute("role", "status");
    note.append(make("p", "soft small", "Handed to a person. The reply will appear here."));
    answer.append(note);
    for (let tries = 0; tries < 40; tries++) {
      const response = await fetch(`${home}/playground/person?id=${encodeURIComponent(id)}&wait=20`).catch(() => null);
      if (!response?.ok) { await new Promise((r) => setTimeout(r, 5000)); continue; }
      const handoff = await response.json();
      if (handoff.status === "waiting") continue;
      note.textContent = "";
      note.append(make("p", "label", handoff.reply ? "Reply from a colleague" : "Closed without a reply"));
      if (handoff.reply) note.append(make("p", "pre", handoff.reply));
      return;
    }
  };

  const tools = (answer, ours) => {
    const row = make("div", "tools");
    const thumb = async (b, value) => {
      const body = { id: ours.id, thumb: value };
      const response = await post("feedback", body);
      if (response.ok) row.querySelectorAll("[data-thumb]").forEach((x) => x.setAttribute("aria-pressed", String(x === b)));
      return response.ok;
    };
    const up = button("up", "Good", (b) => thumb(b, 1));
    const down = button("down", "Bad", async (b) => { if (await thumb(b, -1)) comment(answer, ours); });
    up.dataset.thumb = down.dataset.thumb = "";
    const person = button("person", "Ask a person", async (b) => {
      b.disabled = true;
      const response = await post("person", { id: ours.id });
      if (response.ok) waitForPerson(answer, (await response.json()).handoff); else b.disabled = false;
    });
    row.append(up, down);
    if (ours.handoff) waitForPerson(answer, ours.handoff); else row.append(person);
    answer.append(row);
  };

  const comment = (answer, ours) => {
    if (answer.querySelector(".comment")) return;
    const box = make("form", "comment fields"), field = make("div", "field grow"), input = make("input"), label = make("label", "", "What was wrong?");
    input.id = label.htmlFor = `comment-${ours.id}`;
    input.maxLength = 2000;
    field.append(label, input);
    box.append(field, make("button", "compact", "Send"));
    box.addEventListener("submit", async (event) => {
      event.preventDefault();
      if ((await post("feedback", { id: ours.id, thumb: -1, comment: input.value })).ok) box.replaceWith(make("p", "soft small", "Thank you."));
    });
    answer.append(box);
    input.focus();
  };

  async function ask(section, n, text, signal) {
    const log = section.querySelector(".log"), model = section.querySelector("select").value;
    log.querySelector(".empty")?.remove();
    const turn = make("div", "turn is-user");
    turn.append(make("span", "label", "You"), make("div", "pre", text));
    const answer = make("div", "answer"), body = make("div", "pre thinking");
    answer.append(make("span", "label", model), body);
    log.append(turn, answer);
    const messages = [...histories[n], { role: "user", content: text }];
    const began = performance.now();
    let answered = "", ours = {}, reason = "", problem = "";
    try {
      const response = await post("chat", { model, messages, stream: true }, signal);
      if (!response.ok) problem = await trouble(response);
      else for await (const event of events(response)) {
        if (event.error) { problem = event.error.message; break; }
        answered += event.choices[0]?.delta?.content ?? "";
        reason = event.choices[0]?.finish_reason ?? reason;
        ours = { ...ours, ...event.inhouse };
        body.textContent = answered;
      }
    } catch (error) { problem = error.name === "AbortError" ? "Stopped." : "The connection was lost."; }
    body.classList.remove("thinking");
    if (answered && !problem) histories[n] = [...messages, { role: "assistant", content: answered }];
    if (problem) answer.append(make("p", "bad small", problem));
    if (problem || !ours.id) return;
    const rows = ours.passages ?? [], [box, show] = passages(rows, ours.citations);
    cited(body, answered, ours.citations, show);
    const meta = make("div", "meta");
    [ours.release && ours.release !== model ? ours.release : "", ours.arm, `${((performance.now() - began) / 1000).toFixed(1)} s`,
      ours.confidence === null || ours.confidence === undefined ? "" : `${Math.round(100 * ours.confidence)}% confidence`, reason === "length" ? "cut off at the length limit" : ""]
      .filter(Boolean).forEach((t) => meta.append(make("span", "", t)));
    (ours.findings ?? []).filter((f) => !["pass", "allow"].includes(f.action)).forEach((f) => meta.append(make("span", "badge is-warn", `${f.rail}: ${f.action}`)));
    answer.append(meta);
    if (rows.length) answer.append(box);
    tools(answer, ours);
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = question.value.trim();
    if (!text || running) return;
    running = new AbortController();
    send.disabled = true; stop.hidden = false; question.value = "";
    await Promise.all(sections.map((s, n) => ask(s, n, text, running.signal)));
    running = null; send.disabled = false; stop.hidden = true;
    question.focus({ preventScroll: true });
  });
  stop.addEventListener("click", () => running?.abort());
  question.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); } });
  const clear = () => {
    running?.abort();
    histories = sections.map(() => []);
    sections.forEach((s) => { const e = make("div", "empty"); e.append(make("b", "", "No questions yet"), "Answers appear here."); s.querySelector(".log").replaceChildren(e); });
  };
  document.getElementById("clear").addEventListener("click", () => { clear(); question.focus(); });
  sections.forEach((s) => s.querySelector("select").addEventListener("change", clear));
})();
