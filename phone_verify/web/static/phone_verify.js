// What the pages do by themselves. Without this script they still work: every step has its button.
(() => {
  "use strict";

  const POLL_EVERY = 3000;
  const first = (selector) => document.querySelector(selector);
  const place = first("[data-pv-here]");
  let leaving = false;

  // A page that answered a POST must not be reloaded: that would send the form again.
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

  // The box stands in the form that signs in; the page that answers another one shows it as the visitor left it.
  const box = first("[data-pv-remember]");
  const keepWish = (form) => {
    for (const name of box && box.form !== form ? ["asks_remember", ...(box.checked ? ["remember"] : [])] : []) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value: "1" }));
    }
  };

  // Two clicks must not start two verifications. An answer that never comes must not leave a dead form behind.
  for (const form of document.querySelectorAll("[data-pv-form]")) {
    form.addEventListener("submit", (event) => {
      if (leaving) {
        event.preventDefault();
        return;
      }
      leaving = true;
      form.setAttribute("aria-busy", "true");
      keepWish(form);
      setTimeout(stay, 20000);
    });
  }

  // The browser's Back may bring the page as it was left.
  addEventListener("pageshow", (event) => {
    if (event.persisted) {
      stay();
      showAgain();
    }
  });

  // In the digits that the rest of the page is written in, which are not always those the browser would choose.
  const numerals = place?.dataset.pvDigits || "0123456789";
  const digits = (number, least) => String(number).padStart(least, "0").replace(/\d/g, (digit) => numerals[digit]);

  // The end is a point of the clock: timers stand still while a phone sleeps or a tab is hidden.
  const countDown = (timer, whenOver) => {
    const end = Date.now() + Number(timer.dataset.pvSeconds) * 1000;
    const tick = () => {
      const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
      timer.textContent = `${digits(Math.floor(left / 60), 1)}:${digits(left % 60, 2)}`;
      if (left === 0) {
        clearInterval(beat);
        whenOver();
      }
    };
    const beat = setInterval(tick, 1000);
    tick();
  };

  const life = first("[data-pv-life]");
  if (life) {
    // A second later than shown: the server rounds up, and must not say that there is a second left.
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

  // The digits of a flash call, shown where they stand in the calling number.
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
          // Where the code would give the account another number, the visitor answers the page's question.
          if (code.dataset.pvOtp !== "fill") {
            code.form.requestSubmit();
          }
        }
      })
      .catch(() => {}); // Refused, aborted or timed out: the visitor types the code.
  }

  // Without this form the page asks a question once the call has come, and no script answers it.
  const called = first("[data-pv-called]");
  const poll = place?.dataset.pvPoll;
  if (poll) {
    let asking = false;
    const ask = async () => {
      if (asking || leaving || document.hidden) {
        return;
      }
      asking = true;
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
        // Offline for a moment, as phones are during a call: the next turn asks again.
      } finally {
        asking = false;
      }
    };
    setInterval(ask, POLL_EVERY);
    document.addEventListener("visibilitychange", ask);
  }
})();
