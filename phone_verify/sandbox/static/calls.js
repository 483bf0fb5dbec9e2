// The calls of a handset: in its list, while they ring or speak, and the calls that it makes. Loaded with sandbox.js,
// which has the functions used here.
"use strict";

// Reads a voice call aloud. The text is shown as well, so a browser without speech only lacks the button.
function speakButton(call) {
  const button = element("button", "speak", icon("speak"), "Read aloud");
  button.type = "button";
  button.addEventListener("click", () => {
    const said = new SpeechSynthesisUtterance(call.spoken);
    if (call.language) said.lang = call.language;
    said.rate = 0.9;
    speechSynthesis.cancel();
    speechSynthesis.speak(said);
  });
  return button;
}

const canSpeak = "speechSynthesis" in window;

function spokenElement(call) {
  const bubble = bubbleElement(call.spoken, call.code);
  if (call.language) bubble.lang = call.language;
  return bubble;
}

function voiceElement(phone, call) {
  const number = call.number ? numberElement(call.number) : element("span", "digits", "Hidden number");
  const actions = element("span", "actions");
  if (call.code) actions.append(copyButton(call.code));
  actions.append(deleteButton(phone, call.id, "call"));
  const foot = element("div", "foot", canSpeak ? speakButton(call) : element("span", "via", `via ${title(call.provider)}`), actions);
  const body = element("div", "", element("div", "meta", "Voice call", time(call.at)), number, spokenElement(call), foot);
  return element("li", "item call-item voice", element("span", "disc", icon("call")), body);
}

function callElement(phone, call) {
  if (call.channel === "voice") return voiceElement(phone, call);
  const incoming = call.direction === "in";
  const what = incoming ? "Missed call" : call.busy ? "Outgoing call, busy" : "Outgoing call, number not in service";
  const number = call.number ? numberElement(call.number, call.code) : element("span", "digits", "Hidden number");
  const body = element("div", "", element("div", "meta", what, time(call.at)), number);
  const actions = element("span", "actions");
  if (call.code) actions.append(copyButton(call.code));
  actions.append(deleteButton(phone, call.id, "call"));
  body.append(element("div", "foot", element("span", "via", call.code ? `last ${call.code.length} digits` : ""), actions));
  return element("li", `item call-item ${incoming ? "missed" : "out"}`, element("span", "disc", icon(incoming ? "missed" : "out")), body);
}

function call(phone, article) {
  const find = (selector) => article.querySelector(selector);
  const body = { number: find(".number").value, hidden: find(".hide").checked };
  const caller = find(".caller").value.trim();
  if (caller) body.caller = caller;
  return dial(phone, body, find(".result"));
}

async function dial(phone, body, result) {
  result.className = "result";
  result.textContent = "Calling…";
  try {
    const answer = await ask("POST", `/api/handsets/${encodeURIComponent(phone)}/dial`, body);
    result.classList.add(answer.matched ? "good" : "bad");
    if (!answer.busy) result.textContent = "This number is not in service.";
    else if (answer.matched) result.textContent = "Call received: verified.";
    else if (answer.waits.length) result.textContent = "The provider saw a different caller ID.";
    else result.textContent = "Nobody is waiting for this call.";
  } catch (error) {
    result.classList.add("bad");
    result.textContent = error.message;
  }
}

// Offers to call the lines at which providers wait for this handset.
function showWaits(shown, phone) {
  clearTimeout(shown.waitTimer);
  const left = (wait) => wait.until - performance.now();
  const live = shown.waits.filter((wait) => left(wait) > 0);
  const box = shown.article.querySelector(".waits");
  const signature = live.map((wait) => wait.id).join();
  if (box.dataset.signature !== signature) {
    box.dataset.signature = signature;
    box.replaceChildren(...live.map((wait) => {
      const button = element("button", "call-now", icon("call"), "Call ", numberElement(wait.number));
      button.type = "button";
      const result = element("p", "result");
      button.addEventListener("click", () => dial(phone, { number: wait.number }, result));
      return element("div", "wait", element("p", "", `${title(wait.provider)} is waiting for your call:`), button, result);
    }));
  }
  if (live.length) shown.waitTimer = setTimeout(() => showWaits(shown, phone), Math.min(...live.map(left)) + 50);
}

const ringsFor = (each) => each.until - performance.now();
const ringingCall = (shown) => shown.calls.find((each) => each.id > shown.rejected && ringsFor(each) > 0);

function hintOf(call) {
  if (call.channel === "voice") return "Answer to hear the code.";
  return call.code ? "The last digits are the code. Don't answer." : "The number is hidden, so there is no code.";
}

// Shows the answered call, else the newest ringing one, and runs again when that ends.
function ring(shown) {
  clearTimeout(shown.timer);
  const overlay = shown.article.querySelector(".ringing");
  const find = (selector) => overlay.querySelector(selector);
  const live = shown.answered || ringingCall(shown);
  overlay.hidden = !live;
  if (!live) return;
  const isVoice = live.channel === "voice";
  const isAnswered = live === shown.answered;
  const who = live.number ? numberElement(live.number, isVoice ? "" : live.code) : element("span", "digits", "Hidden number");
  find(".who").replaceChildren(who);
  find(".what").textContent = isAnswered ? "Voice call" : "Incoming call";
  find(".hint").textContent = isAnswered ? "" : hintOf(live);
  find(".pulse").hidden = isAnswered;
  find(".answer").hidden = !isVoice || isAnswered;
  find(".reject").setAttribute("aria-label", isAnswered ? "Hang up" : "Decline");
  const signature = isAnswered ? String(live.id) : "";
  if (find(".spoken").dataset.signature !== signature) {
    find(".spoken").dataset.signature = signature;
    find(".spoken").replaceChildren(...(isAnswered ? [spokenElement(live), ...(canSpeak ? [speakButton(live)] : [])] : []));
  }
  if (!isAnswered) shown.timer = setTimeout(() => ring(shown), ringsFor(live));
}
