// A plugin's log. What it wrote is a stranger's text: it is put in as text and as nothing else.
"use strict";

const MOST_SHOWN = 5000; // older lines go, so that a page left open does not grow
const FIRST_TAIL = 500;
const AGAIN_MS = 2000;
const WORST = { warning: "warn", warn: "warn", error: "bad", critical: "bad", fatal: "bad" };
const OWN = ["level", "message", "msg", "at", "time", "timestamp", "plugin"];
const IDS = ["request_id", "trace_id"];

const $ = (id) => document.getElementById(id);
const plugin = location.pathname.split("/")[2];
const keyName = "orchestrator-logs-key";
const asked = new URLSearchParams(location.search);
const lines = [];
let day = "";
let running = null; // what aborts the answer that is being read

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// Control characters and those that turn the direction of writing would lie about what stands there.
const harmless = (text) =>
  text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

function read(line) {
  let said = null;
  if (line.text.startsWith("{")) {
    try {
      said = JSON.parse(line.text);
    } catch {
      said = null;
    }
  }
  const level = said && typeof said.level === "string" ? said.level.toLowerCase() : "";
  const message = said && (said.message ?? said.msg);
  return {
    seconds: line.at,
    at: new Date(line.at * 1000),
    level: level || (line.stream === "stderr" ? "stderr" : ""),
    worst: WORST[level] || "",
    text: typeof message === "string" ? message : line.text,
    pairs: typeof message === "string" ? Object.entries(said).filter(([name]) => !OWN.includes(name)) : [],
    whole: line.text.toLowerCase(),
  };
}

function row(line) {
  const node = make("div", `row ${line.worst}`);
  const time = make("time", "", line.at.toLocaleTimeString([], { hour12: false }) + "." + String(line.at.getMilliseconds()).padStart(3, "0"));
  time.dateTime = line.at.toISOString();
  const text = make("div", "text", harmless(line.text));
  if (line.pairs.length) {
    const pairs = make("span", "pairs");
    for (const [name, value] of line.pairs) {
      const words = harmless(typeof value === "string" ? value : JSON.stringify(value));
      pairs.append(`  ${harmless(name)}=`);
      if (IDS.includes(name)) {
        const only = make("button", "", words);
        only.type = "button";
        only.title = "Only lines of this call";
        only.addEventListener("click", () => filter(words));
        pairs.append(only);
      } else {
        pairs.append(words);
      }
    }
    text.append(pairs);
  }
  node.append(time, make("span", "level", harmless(line.level)), text);
  return node;
}

function fits(line) {
  const words = $("words").value.trim().toLowerCase();
  return (!words || line.whole.includes(words)) && (!$("errors").checked || line.worst);
}

function put(line) {
  if (!fits(line)) return;
  const today = line.at.toLocaleDateString([], { weekday: "long", year: "numeric", month: "long", day: "numeric" });
  if (today !== day) {
    $("lines").append(make("div", "day", today));
    day = today;
  }
  $("lines").append(row(line));
}

function redraw() {
  day = "";
  $("lines").replaceChildren();
  lines.forEach(put);
  if (!$("lines").childElementCount) {
    $("lines").append(make("p", "none", lines.length ? "No line fits the filter." : "No line was written in this time."));
  }
  end();
}

function filter(words) {
  $("words").value = words;
  redraw();
}

function end() {
  $("lines").scrollTop = $("lines").scrollHeight;
}

function add(found) {
  const box = $("lines");
  const low = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  if (!lines.length) box.replaceChildren();
  for (const line of found) {
    if (line.more) {
      box.append(make("div", "gap", `Only the first ${lines.length.toLocaleString()} lines of this time are shown.`));
      continue;
    }
    lines.push(read(line));
    put(lines[lines.length - 1]);
  }
  if (lines.length > MOST_SHOWN + 500) {
    lines.splice(0, lines.length - MOST_SHOWN);
    redraw();
  } else if (low) {
    end();
  }
}

function range() {
  const since = Number(asked.get("from")) / 1000 || 0;
  const until = Number(asked.get("to")) / 1000 || 0;
  return { since, until };
}

function say() {
  const { since, until } = range();
  const count = `${lines.length.toLocaleString()} ${lines.length === 1 ? "line" : "lines"}`;
  const words = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
  if ($("follow").getAttribute("aria-pressed") === "true") $("state").textContent = `${count}, following`;
  else if (since) $("state").textContent = `${count}, ${words(since)} to ${until ? words(until) : "now"}`;
  else $("state").textContent = `the last ${count}`;
}

function refuse(why) {
  $("why").textContent = why;
  $("command").textContent = `orchestrator logs ${plugin} --web`;
  $("closed").hidden = false;
  $("lines").hidden = true;
  document.querySelector("header").hidden = true;
}

// One answer, whole or followed. True: it ended by itself.
async function fetchLines(query) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const key = localStorage.getItem(keyName);
  if (!key) {
    refuse("This browser has none yet.");
    return false;
  }
  const answer = await fetch(`/plugins/${plugin}/logs/lines?${new URLSearchParams(query)}`, {
    headers: { Authorization: `Bearer ${key}` },
    signal,
  });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    if (answer.status === 403) {
      localStorage.removeItem(keyName);
      refuse("The one that this browser has does not fit: the daemon was started anew.");
    } else {
      $("state").textContent = problem.detail || `status ${answer.status}`;
    }
    return false;
  }
  if (query.follow) return readOn(answer.body, signal);
  add((await answer.text()).split("\n").filter(Boolean).map((line) => JSON.parse(line)));
  return true;
}

async function readOn(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return !signal.aborted;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    add(parts.map((part) => JSON.parse(part)));
    say();
  }
}

async function show() {
  const { since, until } = range();
  try {
    const whole = await fetchLines(since ? { since, until } : { tail: FIRST_TAIL });
    if (whole && !lines.length) redraw();
    if (whole) say();
  } catch (error) {
    if (error.name !== "AbortError") $("state").textContent = "The daemon does not answer.";
  }
}

async function follow() {
  const on = () => $("follow").getAttribute("aria-pressed") === "true";
  while (on()) {
    const last = lines.length ? lines[lines.length - 1].seconds + 1e-6 : 0;
    try {
      if (!(await fetchLines(last ? { follow: 1, since: last } : { follow: 1, tail: FIRST_TAIL }))) return;
    } catch (error) {
      if (error.name === "AbortError") return;
      $("state").textContent = "The daemon does not answer; trying again.";
    }
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

function toggle() {
  const on = $("follow").getAttribute("aria-pressed") !== "true";
  $("follow").setAttribute("aria-pressed", String(on));
  if (on) {
    follow();
    end();
  } else {
    running?.abort();
  }
  say();
}

function start() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key) {
    localStorage.setItem(keyName, key);
    history.replaceState(null, "", location.pathname + location.search);
  }
  $("plugin").textContent = plugin;
  document.title = `${plugin} · log`;
  $("words").value = asked.get("call") || "";
  $("words").addEventListener("input", redraw);
  $("errors").addEventListener("change", redraw);
  $("wrap").addEventListener("change", () => $("lines").classList.toggle("wrap", $("wrap").checked));
  $("lines").classList.add("wrap");
  $("follow").addEventListener("click", toggle);
  addEventListener("hashchange", () => location.reload()); // a new key in an open page
  show();
}

start();
