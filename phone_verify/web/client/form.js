// What a script adds to the forms of a number or code: sending, countdowns, filling in. The pages of the server and
// the element's own view have the same attributes data-pv-*. Without a script every step has a button.
import { ascii } from "./digits.js";
import { enhanceNumber } from "./number_field.js";

const SUBMIT_AFTER = 250;
const SLOW_AFTER = 5000;
const GIVE_UP_AFTER = 20000;

// The code of the next SMS for this page, or null: refused, aborted, timed out, or unknown to the browser.
export const receiveCode = async (signal) => {
  if (!("OTPCredential" in window)) {
    return null;
  }
  const message = await navigator.credentials.get({ otp: { transport: ["sms"] }, signal }).catch(() => null);
  return message?.code ?? null;
};

// Two clicks must not start two verifications. If no response arrives, the form works again after a while.
const enhanceForms = (view) => {
  const { live, say } = view;
  const offline = view.first("[data-pv-offline]");
  const showOffline = (isOffline) => offline && (offline.hidden = !isOffline);
  let busy = null;

  // The button of a form that is being sent says so; later it says that the answer is late.
  const showBusy = (form, button) => {
    form.setAttribute("aria-busy", "true");
    if (!button || !live) {
      return;
    }
    const label = [...button.childNodes];
    const write = (text) => {
      button.replaceChildren(text);
      say(text);
    };
    const slow = setTimeout(() => write(live.dataset.pvSlow), SLOW_AFTER);
    busy = () => {
      clearTimeout(slow);
      button.replaceChildren(...label);
      say("");
    };
    view.onEnd(() => clearTimeout(slow));
    write(live.dataset.pvSending);
  };

  view.stay = () => {
    view.leaving = false;
    view.first("[aria-busy]")?.removeAttribute("aria-busy");
    busy?.();
    busy = null;
  };

  // Without a connection the browser would replace the page, and what was typed, by an error page of its own.
  view.on(window, "online", () => showOffline(false));
  view.on(view.root, "submit", (event) => {
    const form = event.target;
    if (!("pvForm" in form.dataset)) {
      return;
    }
    if (view.leaving || !navigator.onLine) {
      event.preventDefault();
      showOffline(!navigator.onLine);
      return;
    }
    view.leaving = true;
    showBusy(form, event.submitter ?? form.querySelector("button[type=submit]"));
    const late = setTimeout(view.stay, GIVE_UP_AFTER);
    view.onEnd(() => clearTimeout(late));
  });
};

const enhanceCountdowns = (view) => {
  const life = view.first("[data-pv-life]");
  if (life) {
    const said = JSON.parse(life.dataset.pvSay || "{}");
    const seconds = Number(life.dataset.pvSeconds);
    const show = (text, left) => {
      life.textContent = text;
      if (left < seconds && said[left]) {
        view.say(said[left]);
      }
    };
    // One second later than shown: the server rounds up and would still report one second left.
    view.countDown(seconds, show, () => setTimeout(view.again, 1000));
  }
  const resend = view.first("[data-pv-resend]");
  const cooldown = Number(resend?.dataset.pvResend);
  if (cooldown) {
    const label = resend.textContent;
    resend.disabled = true;
    view.countDown(
      cooldown,
      (text) => (resend.textContent = `${resend.dataset.pvWait} ${text}`),
      () => {
        resend.disabled = false;
        resend.textContent = label;
        view.say(label);
      },
    );
  }
};

const enhanceCode = async (view, code) => {
  const { pvLength, pvSubmit, pvOtp } = code.dataset;
  const typed = () => code.value.match(/\p{Nd}/gu) ?? [];

  // Show the typed digits of a flash call at their places in the calling number.
  const places = view.root.querySelectorAll("[data-pv-place]");
  const fill = () => places.forEach((box, index) => (box.textContent = typed()[index] ?? "·"));
  view.on(code, "input", fill);
  fill();

  const length = Number(pvLength);
  if (length) {
    // A pasted message is replaced by the code in it: its only run of so many digits.
    view.on(code, "paste", (event) => {
      const text = ascii(event.clipboardData?.getData("text") ?? "");
      const runs = new Set((text.match(/[0-9]+/g) ?? []).filter((run) => run.length === length));
      if (/\p{L}/u.test(text) && runs.size === 1) {
        event.preventDefault();
        code.value = [...runs][0];
        code.dispatchEvent(new Event("input", { bubbles: true }));
      }
    });
  }
  if (length && pvSubmit !== undefined) {
    // Once: after that, and after an error, the visitor presses the button.
    let waiting;
    const submitFull = () => {
      clearTimeout(waiting);
      if (typed().length === length && !/\p{L}/u.test(code.value)) {
        waiting = setTimeout(() => {
          code.removeEventListener("input", submitFull);
          if (!view.leaving) {
            code.form?.requestSubmit();
          }
        }, SUBMIT_AFTER);
      }
    };
    view.on(code, "input", submitFull);
  }

  if (pvOtp !== undefined) {
    const waiting = new AbortController();
    view.on(code.form, "submit", () => waiting.abort());
    view.onEnd(() => waiting.abort());
    const received = await receiveCode(waiting.signal);
    if (received && !view.leaving) {
      code.value = received;
      // If the code would change the account's number, the visitor confirms with the button.
      if (pvOtp !== "fill") {
        code.form.requestSubmit();
      }
    }
  }
};

const enhanceCopy = (view) => {
  const copy = view.first("[data-pv-copy]");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    view.on(copy, "click", async () => {
      await navigator.clipboard.writeText(copy.dataset.pvCopy);
      copy.textContent = copy.dataset.pvCopied;
      view.say(copy.dataset.pvCopied);
    });
  }
};

const views = new WeakMap();

// Enhance the forms below `root`, once; return what further scripts of the page need. `again` shows the present state:
// it replaces a view that has ended. The element ends a view by `signal`.
export const enhance = (root, { again, signal = new AbortController().signal } = {}) => {
  if (views.get(root)?.signal.aborted === false) {
    return views.get(root);
  }
  const first = (selector) => root.querySelector(selector);
  const place = first("[data-pv-here]");
  const live = first("[data-pv-live]");
  const numerals = place?.dataset.pvDigits || "0123456789";
  const view = {
    root,
    signal,
    place,
    live,
    first,
    leaving: false,
    on: (target, type, listener) => target.addEventListener(type, listener, { signal }),
    onEnd: (action) => signal.addEventListener("abort", action),
    say: (text) => live && (live.textContent = text),
    again: () => {
      if (signal.aborted || view.leaving) {
        return;
      }
      if (again) {
        again();
      } else if (place) {
        // Reloading the response to a POST would send the form again.
        view.leaving = true;
        location.replace(place.dataset.pvHere);
      }
    },
    // Compare with the clock: timers stop while a phone sleeps or a tab is hidden.
    countDown: (seconds, show, onEnd) => {
      const end = Date.now() + seconds * 1000;
      const tick = () => {
        const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
        const text = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
        // Use the digits of the page, which can differ from those of the browser's locale.
        show(text.replace(/\d/g, (digit) => numerals[digit]), left);
        if (left === 0) {
          clearInterval(beat);
          onEnd();
        }
      };
      const beat = setInterval(tick, 1000);
      view.onEnd(() => clearInterval(beat));
      tick();
    },
  };
  views.set(root, view);
  enhanceForms(view);
  enhanceCountdowns(view);
  const code = first("#pv-code");
  if (code) {
    enhanceCode(view, code);
  }
  enhanceCopy(view);
  enhanceNumber(root);
  // The message has the focus after an error; typing continues in the field.
  const field = code ?? first("#pv-phone");
  view.on(root, "keydown", (event) => {
    if (field && root.getRootNode().activeElement?.id === "pv-error" && /^[\p{Nd}+]$/u.test(event.key)) {
      field.focus();
    }
  });
  return view;
};
