// Shows the handsets and updates them live. The sandbox holds all state; the page reloads it at
// each change event.
"use strict";

const byId = (id) => document.getElementById(id);
const handsets = new Map(); // phone -> its elements on the page
let seen = null; // highest id that was announced; null before the first refresh
let known = {}; // available faults of each provider

async function ask(method, path, body) {
  const init = { method };
  if (body !== undefined) {
    const isFile = body instanceof File;
    const isYaml = isFile && !body.name.endsWith(".json");
    init.headers = { "Content-Type": isYaml ? "application/yaml" : "application/json" };
    init.body = isFile ? body : JSON.stringify(body);
  }
  const response = await fetch(path, init);
  if (response.status === 204) return null;
  const answer = await response.json();
  if (!response.ok) {
    // The detail says how to write a number, so that its field adds nothing.
    const fields = Object.entries(answer.fields || {})
      .filter(([, what]) => what !== "not a phone number")
      .map(([name, what]) => `${name}: ${what}`);
    const text = [answer.detail, ...fields].join("; ");
    throw new Error(`${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`);
  }
  return answer;
}

async function attempt(action) {
  const trouble = byId("trouble");
  try {
    trouble.hidden = true;
    return await action();
  } catch (error) {
    trouble.textContent = error.message;
    trouble.hidden = false;
    return undefined;
  }
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

const COUNTRY = /^(\+(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3})|\+)?(.*)$/;

// Groups digits by three and keeps the digits of the code apart: "+98 990 000 " and "3563".
function spread(number, code = "") {
  const head = code && number.endsWith(code) ? number.slice(0, -code.length) : number;
  const [, country, rest] = head.match(COUNTRY);
  const grouped = code
    ? rest.replace(/(\d{3})(?=\d)/g, "$1 ")
    : rest.replace(/(\d{3})(?=\d{3})/g, "$1 ");
  const gap = country && country !== "+" ? " " : "";
  return { head: `${country || ""}${gap}${grouped}`, tail: head === number ? "" : code };
}

function numberElement(number, code) {
  const { head, tail } = spread(number, code);
  const made = element("bdi", "digits", head);
  if (tail) made.append(" ", element("strong", "", tail));
  return made;
}

function copyButton(code) {
  const button = element("button", "copy", "Copy");
  button.type = "button";
  button.setAttribute("aria-label", `Copy the code ${code.split("").join(" ")}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}

function time(at) {
  const made = element("time", "", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  made.dateTime = at;
  return made;
}

const title = (provider) => (known[provider] ? known[provider].title : provider);

function deleteButton(phone, id, what) {
  const button = element("button", "delete plain", icon("delete"));
  button.type = "button";
  button.setAttribute("aria-label", `Delete this ${what}`);
  button.addEventListener("click", () => attempt(() => ask("DELETE", `/api/handsets/${encodeURIComponent(phone)}/${id}`)));
  return button;
}

const CHANNELS = { telegram: "Telegram", whatsapp: "WhatsApp", sms: "SMS" };

// A digit in Western, Arabic and Persian writing.
const anyDigit = (digit) => `[${digit}${String.fromCodePoint(0x660 + Number(digit), 0x6f0 + Number(digit))}]`;

// A text with its code in bold; a spoken code has its digits apart.
function bubbleElement(text, code) {
  const bubble = element("div", "bubble");
  bubble.dir = "auto";
  const spaced = code.replace(/[^0-9A-Za-z]/g, "").split("").map((each) => (/\d/.test(each) ? anyDigit(each) : each)).join("[\\s.,،-]*");
  const found = spaced ? text.match(new RegExp(spaced)) : null;
  if (!found) bubble.append(text);
  else {
    bubble.append(text.slice(0, found.index), element("strong", "", found[0]), text.slice(found.index + found[0].length));
  }
  return bubble;
}

function messageElement(phone, message) {
  const bubble = bubbleElement(message.text, message.code);
  const meta = element("div", "meta", element("b", "", message.sender), ` ${CHANNELS[message.channel]}`, time(message.at));
  const foot = element("div", "foot", element("span", "via", `via ${title(message.provider)}`));
  const actions = element("span", "actions");
  if (message.code) actions.append(copyButton(message.code));
  actions.append(deleteButton(phone, message.id, "message"));
  foot.append(actions);
  return element("li", `item message ${message.channel}`, meta, bubble, foot);
}

function makeTabs(tabs, panels, chosen) {
  const choose = (index, focus) => {
    tabs.forEach((tab, each) => {
      tab.setAttribute("aria-selected", String(each === index));
      tab.tabIndex = each === index ? 0 : -1;
      panels[each].hidden = each !== index;
    });
    if (focus) tabs[index].focus();
    if (chosen) chosen(index);
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(index, false));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) choose((index + step + tabs.length) % tabs.length, true);
    });
  });
  return choose;
}

function makeHandset(phone) {
  const article = byId("handset").content.firstElementChild.cloneNode(true);
  const find = (selector) => article.querySelector(selector);
  const key = phone.slice(1);
  const own = find(".own");
  own.id = `own-${key}`;
  own.append(numberElement(phone));
  article.setAttribute("aria-labelledby", own.id);

  const tabs = [...article.querySelectorAll('[role="tab"]')];
  const panels = [...article.querySelectorAll('[role="tabpanel"]')];
  tabs.forEach((tab, index) => {
    tab.id = `tab-${index}-${key}`;
    panels[index].id = `panel-${index}-${key}`;
    tab.setAttribute("aria-controls", panels[index].id);
    panels[index].setAttribute("aria-labelledby", tab.id);
  });
  const choose = makeTabs(tabs, panels);

  const number = find(".number");
  for (const digit of "123456789*0+") {
    const button = element("button", "", digit);
    button.type = "button";
    button.addEventListener("click", () => { number.value += digit; });
    find(".keys").append(button);
  }
  find(".erase").addEventListener("click", () => { number.value = number.value.slice(0, -1); });
  find("form").addEventListener("submit", (event) => {
    event.preventDefault();
    call(phone, article);
  });

  find(".mask").addEventListener("toggle", () => find(".mask").scrollIntoView({ block: "nearest" }));
  find(".remove").addEventListener("click", () => attempt(() => ask("DELETE", `/api/handsets/${encodeURIComponent(phone)}`)));

  const shown = { article, choose, rejected: 0, answered: null, timer: 0, calls: [], waits: [], waitTimer: 0, unread: 0, text: "", row: null };
  for (const kind of ["pointerenter", "focusin"]) article.addEventListener(kind, () => markRead(shown));
  find(".reject").addEventListener("click", () => {
    const ended = shown.answered ? [shown.answered] : shown.calls;
    shown.rejected = Math.max(shown.rejected, ...ended.map((each) => each.id));
    shown.answered = null;
    if (canSpeak) speechSynthesis.cancel();
    ring(shown);
  });
  find(".answer").addEventListener("click", () => {
    shown.answered = ringingCall(shown);
    ring(shown);
    find(".reject").focus();
  });
  return shown;
}

function habitText(habit) {
  const shows = habit.hidden ? ", hiding its number" : habit.caller ? `, showing ${habit.caller}` : "";
  return `Calls automatically after ${habit.dials_after} s${shows}`;
}

function fill(shown, handset) {
  const items = [
    ...handset.messages.map((message) => ({ id: message.id, made: () => messageElement(handset.phone, message) })),
    ...handset.calls.map((each) => ({ id: each.id, made: () => callElement(handset.phone, each) })),
  ].sort((one, other) => other.id - one.id);
  const list = shown.article.querySelector("ol");
  const signature = items.map((item) => item.id).join();
  if (list.dataset.signature !== signature) {
    list.dataset.signature = signature;
    list.replaceChildren(...items.map((item) => item.made()));
    shown.article.querySelector(".inbox").scrollTop = 0;
    const texts = handset.messages.map((message) => `${message.sender} ${message.text}`);
    shown.text = [handset.phone, ...texts, ...handset.calls.map((each) => `${each.number} ${each.spoken}`)].join("\n").toLowerCase();
    const [newest] = [...handset.messages, ...handset.calls].sort((one, other) => other.id - one.id);
    shown.preview = !newest ? "No messages or calls yet" : newest.text || newest.spoken || (newest.direction === "in" ? "Missed call" : "Outgoing call");
  }
  shown.article.querySelector(".empty").hidden = items.length > 0;
  const habit = shown.article.querySelector(".habit");
  habit.hidden = !handset.habit;
  habit.textContent = handset.habit ? habitText(handset.habit) : "";
  shown.calls = handset.calls
    .filter((each) => each.ringing_for > 0)
    .map((each) => ({ ...each, until: performance.now() + each.ringing_for * 1000 }));
  ring(shown);
  shown.waits = handset.waits.map((wait) => ({ ...wait, until: performance.now() + wait.expires_in * 1000 }));
  showWaits(shown, handset.phone);
}

let asList = false;
let selected = null; // phone of the handset that the list shows
const searched = () => byId("search").value.trim().toLowerCase();
const isFound = (shown) => {
  const wanted = searched();
  const digits = wanted.replace(/[\s().-]/g, "");
  return shown.text.includes(wanted) || (/^\+?\d+$/.test(digits) && shown.text.includes(digits));
};

// Applies the search and the list, and draws the rows of the list.
function arrange() {
  const found = [...handsets].reverse().filter(([, shown]) => isFound(shown));
  if (!found.some(([phone]) => phone === selected)) selected = found.length ? found[0][0] : null;
  const phones = new Set(found.map(([phone]) => phone));
  for (const [phone, shown] of handsets) shown.article.hidden = !phones.has(phone) || (asList && phone !== selected);
  byId("handsets-panel").classList.toggle("as-list", asList);
  byId("list").hidden = !asList || found.length === 0;
  if (asList) {
    const rows = found.map(([phone, shown]) => shown.row || makeRow(phone, shown));
    // Moving a row would take the focus from it.
    if (rows.some((row, index) => byId("list").children[index] !== row) || byId("list").children.length !== rows.length) {
      byId("list").replaceChildren(...rows);
    }
    for (const [phone, shown] of found) {
      shown.row.querySelector("button").setAttribute("aria-current", String(phone === selected));
      shown.row.querySelector(".preview").textContent = shown.preview;
    }
  }
  byId("nothing-found").hidden = found.length > 0 || handsets.size === 0;
  showUnread();
}

function makeRow(phone, shown) {
  const button = element("button", "", element("span", "row-number", numberElement(phone)), element("span", "count unread"), element("span", "preview"));
  button.type = "button";
  button.addEventListener("click", () => { selected = phone; markRead(shown); arrange(); });
  shown.row = element("li", "", button);
  return shown.row;
}

function markRead(shown) {
  if (!shown.unread) return;
  shown.unread = 0;
  showUnread();
}

function showCount(badge, count) {
  badge.hidden = count === 0;
  badge.replaceChildren(String(count), element("span", "unseen", " unread"));
}

const plainTitle = document.title;
function showUnread() {
  let sum = 0;
  for (const shown of handsets.values()) {
    sum += shown.unread;
    if (shown.row) showCount(shown.row.querySelector(".unread"), shown.unread);
  }
  showCount(byId("unread"), sum);
  document.title = sum ? `(${sum}) ${plainTitle}` : plainTitle;
}

// Whether the user sees what arrives at this handset.
const isInView = (shown) => document.visibilityState === "visible" && !byId("handsets-panel").hidden && !shown.article.hidden;

// Announces new items to screen readers, and scrolls the handset into view.
function announce(list) {
  const arrived = list.flatMap((handset) => [
    ...handset.messages.map((message) => ({ id: message.id, handset, text: `${message.sender}: ${message.text}` })),
    ...handset.calls.filter((each) => each.direction === "in").map((each) => ({
      id: each.id, handset, text: `${each.spoken ? "voice call" : "call"} from ${each.number ? each.number.split("").join(" ") : "a hidden number"}`,
    })),
  ]);
  const newest = Math.max(0, ...arrived.map((item) => item.id));
  if (seen !== null && newest > seen) {
    const item = arrived.find((each) => each.id === newest);
    byId("news").textContent = `Handset ${spread(item.handset.phone).head}: ${item.text}`;
    for (const each of arrived) {
      const receiver = handsets.get(each.handset.phone);
      if (each.id > seen && !isInView(receiver)) receiver.unread += 1;
    }
    showUnread();
    const shown = handsets.get(item.handset.phone);
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    // Do not move the focus of a user who is working in this handset.
    if (!shown.article.contains(document.activeElement)) {
      shown.choose(0, false);
      shown.article.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "nearest", inline: "nearest" });
    }
  }
  seen = Math.max(seen || 0, newest); // ids are not reused after a deletion
}

function showHandsets(list) {
  const phones = new Set(list.map((handset) => handset.phone));
  for (const [phone, shown] of handsets) {
    if (phones.has(phone)) continue;
    clearTimeout(shown.timer);
    clearTimeout(shown.waitTimer);
    shown.article.remove();
    handsets.delete(phone);
  }
  // Newest first. Only new handsets are inserted, so that focus and scrolling stay where they are.
  [...list].reverse().forEach((handset) => {
    if (!handsets.has(handset.phone)) {
      const shown = makeHandset(handset.phone);
      handsets.set(handset.phone, shown);
      byId("handsets").prepend(shown.article);
    }
    fill(handsets.get(handset.phone), handset);
  });
  byId("nobody").hidden = list.length > 0;
  arrange();
  announce(list);
  tick();
}

function tick() {
  const now = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  document.querySelectorAll(".clock").forEach((clock) => { clock.textContent = now; });
}

function options(select, pairs) {
  const before = select.value;
  select.replaceChildren(...pairs.map(([value, text]) => {
    const option = element("option", "", text);
    option.value = value;
    return option;
  }));
  if (pairs.some(([value]) => value === before)) select.value = before;
}

function showDialects() {
  const form = byId("fault");
  const provider = known[form.elements.provider.value];
  if (!provider) return;
  options(form.elements.refuse, [["", "none"], ...provider.refuse.map((name) => [name, name])]);
  byId("variants").replaceChildren(...Object.entries(provider.variants).map(([name, choices]) => {
    const select = element("select");
    select.dataset.variant = name;
    options(select, choices.map((choice) => [choice, choice]));
    return element("label", "", `${name.replace("_", " ")} `, select);
  }));
}

function describe(fault) {
  const parts = [];
  if (fault.refuse) parts.push(`returns ${fault.refuse}`);
  if (fault.delay) parts.push(`responds ${fault.delay} s late`);
  if (fault.hang) parts.push("times out");
  if (fault.lose) parts.push("drops messages");
  if (fault.double) parts.push("delivers twice");
  if (fault.malformed) parts.push(`malformed response (${fault.malformed === true ? "cut" : fault.malformed})`);
  if (fault.hidden_caller) parts.push("hides the caller ID");
  if (fault.webhook_signature) parts.push(`signs webhooks wrongly (${fault.webhook_signature.replace("_", " ")})`);
  if (fault.webhook_delay) parts.push(`sends webhooks ${fault.webhook_delay} s late`);
  if (fault.webhook_first) parts.push("sends webhooks before its response");
  if (fault.foreign_caller) parts.push(`spoofs the caller ID ${fault.foreign_caller}`);
  for (const [name, choice] of Object.entries(fault.variants)) parts.push(`${name.replace("_", " ")}: ${choice}`);
  if (fault.times) parts.push(`for ${fault.times} more requests`);
  return parts.join(", ") || "no fault";
}

function learn(providers, waysToSpoil) {
  if (Object.keys(known).length) return;
  known = providers;
  options(byId("fault").elements.malformed, [["", "none"], ...waysToSpoil.map((way) => [way, way])]);
  options(byId("fault").elements.provider, Object.entries(known).map(([name, each]) => [name, each.title]));
  showDialects();
}

function showFaults(faults) {
  options(byId("fault").elements.phone, [["", "all phones"], ...[...handsets.keys()].map((phone) => [phone, spread(phone).head])]);
  byId("faults").replaceChildren(...faults.map((fault) => {
    const button = element("button", "plain", "Remove");
    button.type = "button";
    const query = new URLSearchParams(fault.phone ? { provider: fault.provider, phone: fault.phone } : { provider: fault.provider });
    button.addEventListener("click", () => attempt(() => ask("DELETE", `/api/faults?${query}`)));
    const where = fault.phone ? `${title(fault.provider)}, ${spread(fault.phone).head}` : title(fault.provider);
    return element("li", "", element("span", "", element("b", "", where), ` ${describe(fault)}`), button);
  }));
  byId("chaos-count").textContent = faults.length;
  byId("chaos-count").hidden = faults.length === 0;
}

async function setFault(event) {
  event.preventDefault();
  const fields = byId("fault").elements;
  const fault = { provider: fields.provider.value, delay: Number(fields.delay.value), variants: {} };
  for (const name of ["phone", "refuse", "malformed", "foreign_caller", "webhook_signature"]) if (fields[name].value) fault[name] = fields[name].value;
  for (const name of ["hang", "lose", "double", "hidden_caller", "webhook_first"]) fault[name] = fields[name].checked;
  if (fields.webhook_delay.value) fault.webhook_delay = Number(fields.webhook_delay.value);
  if (fields.times.value) fault.times = Number(fields.times.value);
  byId("variants").querySelectorAll("select").forEach((select) => {
    if (select.selectedIndex > 0) fault.variants[select.dataset.variant] = select.value;
  });
  if (await attempt(() => ask("PUT", "/api/faults", fault))) {
    byId("fault").reset();
    fields.provider.value = fault.provider;
    showDialects();
  }
}

async function loadScenario(event) {
  const [file] = event.target.files;
  if (!file) return;
  const status = byId("scenario-loaded");
  status.textContent = "";
  if (await attempt(() => ask("PUT", "/api/scenario", file))) status.textContent = `Loaded ${file.name}.`;
  event.target.value = ""; // so that the same file can be loaded again
}

// One refresh at a time; changes that arrive meanwhile cause exactly one more.
let refreshing = false;
let stale = false;
async function refresh() {
  if (refreshing) { stale = true; return; }
  refreshing = true;
  do {
    stale = false;
    // Failures are reported by the event stream, which reconnects when the sandbox is back.
    const answers = await Promise.all([ask("GET", "/api/faults"), ask("GET", "/api/handsets")]).catch(() => null);
    if (answers) {
      const [faults, phones] = answers;
      learn(faults.known, faults.malformed);
      showHandsets(phones.handsets);
      showFaults(faults.faults);
      document.dispatchEvent(new CustomEvent("sandbox-change"));
    }
  } while (stale);
  refreshing = false;
}

function follow() {
  const link = byId("link");
  const stream = new EventSource("/api/events");
  stream.addEventListener("change", () => {
    link.textContent = "Live";
    link.className = "link live";
    refresh();
  });
  stream.addEventListener("error", () => {
    link.textContent = "Reconnecting…";
    link.className = "link";
    if (stream.readyState === EventSource.CLOSED) { stream.close(); setTimeout(follow, 2000); }
  });
}

const addHandset = (phone) => attempt(() => ask("POST", "/api/handsets", { phone }));

byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await addHandset(byId("add-phone").value)) byId("add").reset();
});
byId("clear").addEventListener("click", () => attempt(() => ask("DELETE", "/api/handsets")));
document.querySelectorAll("[data-phone]").forEach((button) => button.addEventListener("click", () => addHandset(button.dataset.phone)));
byId("fault").addEventListener("submit", setFault);
byId("scenario-file").addEventListener("change", loadScenario);
byId("fault").elements.provider.addEventListener("change", showDialects);
// A narrow page breaks the lines after the sign.
byId("dsn").append(...["SMS", "VOICE", "FLASH_CALL", "INBOUND_CALL", "WHATSAPP"].flatMap(
  (channel) => [`PHONE_VERIFY_${channel}=`, element("wbr"), `sandbox://${location.host}\n`],
));

const siteTabs = [...document.querySelectorAll(".site-bar [role='tab']")];
if (siteTabs.length) {
  const panels = [...document.querySelectorAll(".site")];
  const alone = (index) => { byId("site-alone").href = panels[index].querySelector("iframe").src; };
  makeTabs(siteTabs, panels, alone);
  alone(0);
}

const views = [byId("view-0"), byId("view-1")];
makeTabs(views, [byId("handsets-panel"), byId("requests-panel")], (index) => {
  byId("as-list").hidden = index > 0;
  if (index === 0) for (const shown of handsets.values()) if (isInView(shown)) markRead(shown);
  document.dispatchEvent(new CustomEvent("sandbox-change"));
});
byId("search").addEventListener("input", () => { arrange(); document.dispatchEvent(new CustomEvent("sandbox-change")); });
byId("as-list").addEventListener("click", () => {
  asList = !asList;
  byId("as-list").setAttribute("aria-pressed", String(asList));
  arrange();
});
// A user who comes back sees what arrived; the badges stay long enough to be noticed.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") {
    setTimeout(() => { for (const shown of handsets.values()) if (isInView(shown)) markRead(shown); }, 3000);
  }
});

setInterval(tick, 20000);
follow();
