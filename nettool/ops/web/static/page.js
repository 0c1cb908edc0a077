// The status page: asks /api every two seconds, and writes what it hears as text, never as HTML.
"use strict";

const EVERY = 2000; // ms
const byId = (id) => document.getElementById(id);

// How values are written

const number = (value) => value.toLocaleString("en");
const rounded = (value) => (value < 10 && value % 1 ? value.toFixed(1) : number(Math.round(value)));
const size = (bytes) => {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 3);
  return `${rounded(bytes / 1024 ** power)} ${["", "KiB", "MiB", "GiB"][power]}`;
};
const time = (seconds) => {
  if (seconds === "forever") return "for ever";
  if (!seconds) return "";
  if (seconds < 120) return `${rounded(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
};
const some = (write) => (value) => (value ? write(value) : "");
const text = (value) => value;
const lastEnd = (link) => (link.advice ? `${link.last_end}: ${link.last_end_detail} (${link.advice})` : "");
const clock = (at) => new Date(at * 1000).toLocaleTimeString();

// Tables: key of the row, heading, how it is written, classes

const TABLES = {
  peers: {
    query: "sort=-queued_bytes&limit=20",
    columns: [
      ["name", "name", (name) => name || "(no name yet)", "text"],
      ["phase", "phase", text, "text minor"],
      ["queued_bytes", "queued", some(size), ""],
      ["queued_lines", "lines", some(number), "minor"],
      ["oldest", "oldest", time, ""],
      ["full_for", "full for", time, "bad"],
      ["paused_by", "waits for", (names) => names.join(", "), "text warn"],
      ["paused_for", "since", time, "minor"],
      ["lagged", "lagged", some(number), "minor"],
      ["topics", "topics", some(number), "minor"],
      ["connected_for", "connected", time, "minor"],
      ["address", "address", text, "text minor"],
    ],
  },
  topics: {
    query: "sort=-hearers&limit=20",
    columns: [["name", "name", text, "text"], ["hearers", "hearers", number, ""]],
  },
  links: {
    query: "limit=50",
    columns: [
      ["node", "node", text, "text"],
      ["state", "state", text, "text short"],
      ["state_for", "for", time, "minor"],
      ["queued_bytes", "queued", some(size), ""],
      ["oldest", "oldest", time, ""],
      ["full_for", "full for", time, "bad"],
      ["unconfirmed_bytes", "unconfirmed", some(size), "minor"],
      ["unconfirmed_for", "since", time, "minor"],
      ["slow", "slow there", (names, link) => names.slice(0, 3).join(", ")
        + (link.slow_receivers > 3 ? ` and ${number(link.slow_receivers - 3)} more` : ""), "text warn"],
      ["peers", "peers", number, "minor"],
      ["topics", "topics", number, "minor"],
      ["address", "address", text, "text short minor"],
      ["last_end", "", (reason, link) => lastEnd(link), "text bad"],
    ],
  },
  closed: {
    query: "limit=20",
    columns: [
      ["closed_at", "at", clock, "text"],
      ["name", "name", (name) => name || "(no name)", "text"],
      ["reason", "reason", text, "text"],
      ["connected_for", "connected", time, "minor"],
      ["given_back", "given back", some(number), ""],
      ["lost", "lost", some(number), ""],
      ["address", "address", text, "text minor"],
    ],
  },
};

const element = (tag, content = "", classes = "") => {
  const made = document.createElement(tag);
  made.textContent = content;
  made.className = classes;
  return made;
};
const put = (node, content) => {
  if (node.textContent !== String(content)) node.textContent = content; // so that what is selected stays so
};

function drawTable(word, told) {
  const { columns } = TABLES[word];
  const table = byId(word);
  if (!table.tBodies.length) {
    table.createTHead().insertRow().append(...columns.map(([, heading, , classes]) => {
      const cell = element("th", heading, classes.replace(/bad|warn/, ""));
      cell.scope = "col";
      return cell;
    }));
    table.createTBody();
  }
  const body = table.tBodies[0];
  const rows = told[word];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, at) => {
    const line = body.rows[at] || newLine(word, body, columns);
    columns.forEach(([key, , write], column) => {
      const cell = line.cells[column];
      put(cell.firstElementChild || cell, write(row[key], row));
    });
    if (word === "peers") line.peer = row.name;
  });
  table.hidden = !rows.length;
  put(byId(`of-${word}`), rows.length < told.total ? `${number(rows.length)} of ${number(told.total)}` : number(told.total));
}

function newLine(word, body, columns) {
  const line = body.insertRow();
  for (const [, , , classes] of columns) line.insertCell().className = classes;
  if (word === "peers") {
    const button = element("button");
    button.type = "button";
    button.title = "why does it get its lines late?";
    button.addEventListener("click", () => { location.hash = encodeURIComponent(line.peer); });
    line.cells[0].append(button);
  }
  return line;
}

// The node as a whole

let before = null;

const sum = (counts) => Object.values(counts).reduce((all, one) => all + one, 0);

function drawStats(stats) {
  const { ledger } = stats;
  const ended = { accepted: ledger.accepted, delivered: ledger.delivered };
  let rate = { accepted: "", delivered: "" };
  const seconds = before ? stats.now - before.now : 0;
  if (seconds > 0 && ended.accepted >= before.ended.accepted) {
    rate = {};
    for (const word in ended) rate[word] = `${rounded((ended[word] - before.ended[word]) / seconds)}/s`;
  }
  if (seconds !== 0 || !before) before = { now: stats.now, ended, rate };
  put(byId("node"), stats.node);
  put(byId("state"), stats.state);
  byId("state").className = stats.state === "running" ? "badge" : "badge warn";
  put(byId("version"), `nettool ${stats.version} · ${stats.listening.join(" · ")}`);
  document.title = `${stats.node} · nettool`;
  drawPairs(byId("tiles"), [
    ["peers", number(stats.peers)],
    ["connections", number(stats.connections)],
    ["topics", number(stats.topics)],
    ...(sum(stats.links.states) ? [["links up", `${number(stats.links.states.up)} of ${number(sum(stats.links.states))}`]] : []),
    ["accepted", before.rate.accepted || number(ledger.accepted)],
    ["delivered", before.rate.delivered || number(ledger.delivered)],
    ["queued", size(stats.queued_bytes)],
    ["largest queue", size(stats.largest_queued_bytes)],
    ["full queues", number(stats.full)],
    ["waiting peers", number(stats.paused)],
    ["given back", number(sum(ledger.returned))],
    ["dropped", number(sum(ledger.dropped))],
    ["faults", number(stats.faults)],
  ], true);
}

function drawPairs(list, pairs, boxed = false) {
  const count = boxed ? pairs.length : pairs.length * 2;
  if (list.childElementCount !== count) {
    list.replaceChildren();
    for (let at = 0; at < pairs.length; at += 1) {
      const into = boxed ? list.appendChild(element("div")) : list;
      into.append(element("dt"), element("dd"));
    }
  }
  const words = list.querySelectorAll("dt");
  const values = list.querySelectorAll("dd");
  pairs.forEach(([word, value], at) => { put(words[at], word); put(values[at], value); });
}

// Why one peer gets its lines late

const inAddress = () => { // the page's address says who, as /#bob
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
};
let asked = inAddress();

const inLanes = (lanes, bound) => lanes.filter((lane) => lane.held_bytes).map((lane) => [`${lane.lane} lines`, [
  `${size(lane.held_bytes)} of ${bound ? size(bound) : "any size"}`,
  lane.full_for !== null && `full for ${time(lane.full_for) || "0 s"}`,
  lane.patience_over && "patience is over: its senders are read again",
  lane.patience_left !== null && `its senders wait ${time(lane.patience_left) || "0 s"} more`,
].filter(Boolean).join(", ")]);
const byWhom = (why) => [
  ["filled by", why.fillers.slice(0, 20).map((one) => `${one.name} (${number(one.lines)} lines, ${size(one.bytes)})`)
    .join(", ") || "nobody"],
  ["who waits", why.waiting.slice(0, 20).map((one) => `${one.name} (${time(one.seconds) || "0 s"})`).join(", ") || "nobody"],
];
const pairsThere = (why) => [ // somebody on another node
  [why.link.node, `${why.link.state} for ${time(why.link.state_for) || "0 s"}`
    + (why.link.advice && `: ${lastEnd(why.link)}`)],
  ...(why.listed ? [] : [["there", "not as far as its node has told"]]),
  ["under way", why.under_way_bytes || why.queued_lines
    ? `${number(why.queued_lines)} lines here or not confirmed; ${size(why.there_bytes)} in its outbox there`
    : "nothing"],
  ...inLanes(why.lanes, why.window),
  ["written by", why.writers.slice(0, 20).join(", ") || "nobody who is here"],
  ...byWhom(why),
];

function drawWhy(why) {
  const section = byId("why");
  section.hidden = !why;
  if (!why) return;
  put(section.querySelector("h2"), why.error ? asked : `Why does ${asked} get its lines late?`);
  drawPairs(section.querySelector("dl"), why.error ? [["", why.error]] : why.link ? pairsThere(why) : [
    ["queued", why.peer.queued_lines
      ? `${number(why.peer.queued_lines)} lines, ${size(why.peer.queued_bytes)}, the oldest ${time(why.peer.oldest)}`
      : "nothing: it gets its lines as they come"],
    ["its transport", why.blocked ? "takes nothing now" : "takes data"],
    ...inLanes(why.lanes, why.bound),
    ...byWhom(why),
    ...(why.given_up_in === null ? [] : [["given up in", `${time(why.given_up_in) || "0 s"}, if it takes nothing`]]),
  ]);
}

// Asking

let token = sessionStorage.getItem("nettool-token") || "";
let refused = false;
let heard = "";
let busy = false;

async function ask(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store" });
  if (answer.status === 401) refused = true;
  if (!answer.ok && answer.status !== 404) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function tick() {
  if (busy || document.hidden || !byId("login").hidden) return;
  busy = true;
  refused = false;
  try {
    drawStats(await ask("api/stats"));
    for (const word in TABLES) drawTable(word, await ask(`api/${word}?${TABLES[word].query}`));
    const whom = asked;
    const why = whom && await ask(`api/why?name=${encodeURIComponent(whom)}`);
    if (whom === asked) drawWhy(why);
    heard = new Date().toLocaleTimeString();
    put(byId("news"), heard);
    byId("news").className = "quiet";
  } catch (error) {
    put(byId("news"), `no answer${heard && ` since ${heard}`}`);
    byId("news").className = "bad";
  }
  byId("login").hidden = !refused;
  busy = false;
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  sessionStorage.setItem("nettool-token", token);
  byId("login").hidden = true;
  tick();
});
byId("why").querySelector("button").addEventListener("click", () => { location.hash = ""; });
window.addEventListener("hashchange", () => {
  asked = inAddress();
  drawWhy(null);
  tick();
});
document.addEventListener("visibilitychange", tick);
setInterval(tick, EVERY);
tick();
