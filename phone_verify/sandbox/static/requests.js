// Shows the requests to providers and to webhooks, and what was delivered. Loaded after sandbox.js, which has the functions
// used here.
"use strict";

let requestsShown = "";

function clock(at) {
  const made = element("time", "", new Date(at).toLocaleTimeString([], { hour12: false }));
  made.dateTime = at;
  return made;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function valuesElement(heading, values) {
  const pairs = Object.entries(values);
  if (!pairs.length) return "";
  const list = element("dl", "", ...pairs.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", element("bdi", "", String(value)))]));
  return element("div", "", element("h2", "", heading), list);
}

function requestElement(item) {
  const failed = item.status === null || item.status === "failed" || item.status >= 400;
  const status = element("span", `status ${failed ? "bad" : "good"}`, item.status === null ? "no response" : String(item.status));
  const head = element("summary", "", clock(item.at), element("b", "", item.who), element("code", "", `${item.method} ${item.path}`), status);
  const body = element("div", "request-body", valuesElement("Headers", item.headers), valuesElement("Parameters", item.params));
  if (item.answer) body.append(element("div", "", element("h2", "", "Response"), element("pre", "", pretty(item.answer))));
  const details = element("details", "", head, body);
  details.dataset.key = item.key;
  return element("li", "", details);
}

const STATES = { done: "delivered", failed: "failed", unknown: "on its way" };

function merged(requests, deliveries, dispatches) {
  return [
    ...requests.map((each) => ({ ...each, who: title(each.provider) })),
    ...deliveries.map((each) => ({ ...each, who: "Webhook", path: each.url, headers: {}, answer: null })),
    ...dispatches.map((each) => ({
      at: each.at, who: title(each.provider), method: each.channel.replace("_", " "), path: `to ${each.phone}`,
      headers: {}, params: { id: each.id, state: each.state }, answer: null, status: STATES[each.state],
    })),
  ]
    .map((each) => ({ ...each, key: `${each.at} ${each.who} ${each.path} ${each.status}` }))
    .filter((each) => JSON.stringify(each).toLowerCase().includes(searched()))
    .sort((one, other) => (one.at < other.at ? 1 : one.at > other.at ? -1 : 0));
}

async function showRequests() {
  if (byId("requests-panel").hidden) return;
  const paths = ["/api/requests", "/api/webhooks/deliveries", "/api/dispatches"];
  const answers = await Promise.all(paths.map((path) => ask("GET", path))).catch(() => null);
  if (!answers) return; // the event stream reports that the sandbox is away
  const items = merged(answers[0].requests, answers[1].deliveries, answers[2].dispatches);
  byId("no-requests").hidden = items.length > 0;
  byId("no-requests").textContent = searched() ? "No request matches this search." : "No requests yet.";
  const signature = items.map((item) => item.key).join("\n");
  if (signature === requestsShown) return;
  requestsShown = signature;
  const open = new Set([...document.querySelectorAll("#requests details[open]")].map((each) => each.dataset.key));
  byId("requests").replaceChildren(...items.map(requestElement));
  for (const each of document.querySelectorAll("#requests details")) each.open = open.has(each.dataset.key);
}

document.addEventListener("sandbox-change", showRequests);
