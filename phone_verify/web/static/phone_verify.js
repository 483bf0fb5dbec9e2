// Enhancements of the pages. They work without this script: every step has a button.
(() => {
  "use strict";

  const POLL_EVERY = 3000;
  const first = (selector) => document.querySelector(selector);
  const place = first("[data-pv-here]");
  let leaving = false;

  // Reloading the response to a POST would send the form again.
  const showAgain = () => {
    if (!leaving && place) {
      leaving = true;
      location.replace(place.dataset.pvHere);
    }
  };

  const stay = () => {
    leaving = false;
    first("[aria-busy]")?.removeAttribute("aria-busy");
  };

  // The checkbox is in the form that signs in; other forms submit it too, so that the next page keeps its state.
  const box = first("[data-pv-remember]");
  const copyRemember = (form) => {
    for (const name of box && box.form !== form ? ["asks_remember", ...(box.checked ? ["remember"] : [])] : []) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value: "1" }));
    }
  };

  // Two clicks must not start two verifications. If no response arrives, the form works again after 20 seconds.
  for (const form of document.querySelectorAll("[data-pv-form]")) {
    form.addEventListener("submit", (event) => {
      if (leaving) {
        event.preventDefault();
        return;
      }
      leaving = true;
      form.setAttribute("aria-busy", "true");
      copyRemember(form);
      setTimeout(stay, 20000);
    });
  }

  // The browser's Back button can restore the page from its cache.
  addEventListener("pageshow", (event) => {
    if (event.persisted) {
      stay();
      showAgain();
    }
  });

  // Use the digits of the page, which can differ from those of the browser's locale.
  const numerals = place?.dataset.pvDigits || "0123456789";
  const digits = (number, least) => String(number).padStart(least, "0").replace(/\d/g, (digit) => numerals[digit]);

  // Compare with the clock: timers stop while a phone sleeps or a tab is hidden.
  const countDown = (timer, onEnd) => {
    const end = Date.now() + Number(timer.dataset.pvSeconds) * 1000;
    const tick = () => {
      const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
      timer.textContent = `${digits(Math.floor(left / 60), 1)}:${digits(left % 60, 2)}`;
      if (left === 0) {
        clearInterval(beat);
        onEnd();
      }
    };
    const beat = setInterval(tick, 1000);
    tick();
  };

  const life = first("[data-pv-life]");
  if (life) {
    // One second later than shown: the server rounds up and would still report one second left.
    countDown(life, () => setTimeout(showAgain, 1000));
  }

  const cooldown = first("[data-pv-cooldown]");
  if (cooldown) {
    const buttons = document.querySelectorAll("[data-pv-resend]");
    const allow = (allowed) => buttons.forEach((button) => (button.disabled = !allowed));
    allow(false);
    countDown(cooldown.querySelector("[data-pv-seconds]"), () => {
      allow(true);
      cooldown.hidden = true;
    });
  }

  // Show the typed digits of a flash call at their places in the calling number.
  const code = first("#pv-code");
  const places = document.querySelectorAll("[data-pv-place]");
  if (code && places.length) {
    const fill = () => {
      const typed = code.value.match(/\p{Nd}/gu) ?? [];
      places.forEach((box, index) => (box.textContent = typed[index] ?? ""));
    };
    code.addEventListener("input", fill);
    fill();
  }

  if (code && "pvOtp" in code.dataset && "OTPCredential" in window) {
    const waiting = new AbortController();
    code.form.addEventListener("submit", () => waiting.abort());
    navigator.credentials
      .get({ otp: { transport: ["sms"] }, signal: waiting.signal })
      .then((message) => {
        if (message?.code && !leaving) {
          code.value = message.code;
          // If the code would change the account's number, the visitor confirms with the button.
          if (code.dataset.pvOtp !== "fill") {
            code.form.requestSubmit();
          }
        }
      })
      .catch(() => {}); // Refused, aborted or timed out: the visitor enters the code.
  }

  // Without this form the page asks a question after the call, and no script submits it.
  const called = first("[data-pv-called]");
  const poll = place?.dataset.pvPoll;
  if (poll) {
    let polling = false;
    const pollStatus = async () => {
      if (polling || leaving || document.hidden) {
        return;
      }
      polling = true;
      try {
        const answer = await fetch(poll, { headers: { Accept: "application/json" }, cache: "no-store" });
        if (answer.status === 404) {
          showAgain();
        } else if (answer.ok) {
          const { status } = await answer.json();
          if (status === "verified" && called) {
            called.requestSubmit();
          } else if (status !== "pending" && status !== "sent") {
            showAgain();
          }
        }
      } catch {
        // Phones can be offline during a call: the next interval polls again.
      } finally {
        polling = false;
      }
    };
    setInterval(pollStatus, POLL_EVERY);
    document.addEventListener("visibilitychange", pollStatus);
  }
})();
