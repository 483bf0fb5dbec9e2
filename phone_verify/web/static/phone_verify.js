// Enhancements of the pages. They work without this script: every step has a button.
(() => {
  "use strict";

  const POLL_EVERY = 3000;
  const SUBMIT_AFTER = 250;
  // Calling codes with their regions and the groups of a mobile number (`98IR334`: +98 912 345 6789), and longer
  // prefixes of other regions. From the metadata of phonenumbers; tests/test_templates.py compares.
  const PLANS =
    "1USCA334,1242BS,1246BB,1264AI,1268AG,1284VG,1340VI,1345KY,1441BM,1473GD,1649TC,1658JM,1664MS,1670MP," +
    "1671GU,1684AS,1721SX,1758LC,1767DM,1784VC,1787PR,18001DO,1809DO,1829DO,1849DO,1868TT,1869KN,1876JM," +
    "1939PR,20EG28,211SS333,212MA12222,213DZ3222,216TN233,218LY27,220GM34,221SN2322,222MR2222,223ML2222," +
    "224GN3222,225CI2224,226BF2222,227NE2222,228TG2222,229BJ22222,230MU44,231LR234,232SL26,233GH234," +
    "234NG334,235TD2222,236CF2222,237CM12222,238CV322,239ST34,240GQ333,241GA2222,242CG234,243CD333," +
    "244AO333,245GW333,246IO34,247AC5,248SC133,249SD234,250RW333,251ET234,252SO17,253DJ2222,254KE36," +
    "255TZ333,256UG36,257BI2222,258MZ234,260ZM27,261MG2232,262RE3222,263ZW234,264NA234,265MW3222,266LS44," +
    "267BW233,268SZ44,269KM322,27ZA234,290SH5,2908TA,291ER133,297AW34,298FO222,299GL222,30GR334,31NL18," +
    "32BE3222,33FR12222,34ES3222,350GI8,351PT333,352LU333,353IE234,354IS34,355AL234,356MT44,357CY26," +
    "358FI27,35818AX,359BG233,36HU234,370LT35,371LV233,372EE44,373MD323,374AM26,375BY2322,376AD33," +
    "377MC12222,378SM2222,380UA234,381RS27,382ME233,383XK233,385HR234,386SI233,387BA233,389MK233,39IT334," +
    "40RO333,41CH2322,420CZ333,421SK333,423LI333,43AT36,44GB46,441624IM,447524IM,447624IM,45DK2222," +
    "46SE2322,47NO2222,4779SJ,48PL333,49DE47,500FK5,501BZ34,502GT44,503SV44,504HN44,505NI44,506CR44," +
    "507PA44,508PM222,509HT224,51PE333,52MX334,53CU17,54AR1244,55BR254,56CL144,57CO37,58VE37,590GP3222," +
    "591BO8,592GY34,593EC234,594GF3222,595PY36,596MQ3222,597SR34,598UY233,599CW134,5993BQ,5994BQ,5997BQ," +
    "60MY234,61AU333,62ID333,63PH334,64NZ234,65SG44,66TH234,670TL44,672NF15,673BN34,674NR34,675PG44," +
    "676TO34,677SB25,678VU34,679FJ34,680PW34,681WF222,682CK23,683NU34,685WS25,686KI8,687NC222,688TV24," +
    "689PF2222,690TK4,691FM34,692MH34,7RU3322,77KZ,81JP244,82KR244,84VN333,850KP334,852HK44,853MO44," +
    "855KH233,856LA2233,86CN344,880BD46,886TW333,90TR3322,91IN55,92PK37,93AF234,94LK234,95MM134,960MV34," +
    "961LB233,962JO144,963SY333,964IQ334,965KW35,966SA234,967YE333,968OM44,970PS333,971AE234,972IL234," +
    "973BH44,974QA44,975BT2222,976MN44,977NP37,98IR334,992TJ234,993TM26,994AZ2322,995GE3222,996KG333," +
    "998UZ2322";
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

  const live = first("[data-pv-live]");
  const say = (text) => live && (live.textContent = text);

  // The button of a form that is being sent says so; later it says that the answer is late.
  const SLOW_AFTER = 5000;
  let busy = null;
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
    write(live.dataset.pvSending);
  };

  const stay = () => {
    leaving = false;
    first("[aria-busy]")?.removeAttribute("aria-busy");
    busy?.();
    busy = null;
  };

  // Without a connection the browser would replace the page, and what was typed, by an error page of its own.
  const offline = first("[data-pv-offline]");
  const showOffline = (isOffline) => offline && (offline.hidden = !isOffline);
  addEventListener("online", () => showOffline(false));

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
      if (leaving || !navigator.onLine) {
        event.preventDefault();
        showOffline(!navigator.onLine);
        return;
      }
      leaving = true;
      showBusy(form, event.submitter ?? form.querySelector("button[type=submit]"));
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
  const countDown = (seconds, show, onEnd) => {
    const end = Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
      show(`${digits(Math.floor(left / 60), 1)}:${digits(left % 60, 2)}`, left);
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
    const said = JSON.parse(life.dataset.pvSay || "{}");
    const seconds = Number(life.dataset.pvSeconds);
    const show = (text, left) => {
      life.textContent = text;
      if (left < seconds && said[left]) {
        say(said[left]);
      }
    };
    // One second later than shown: the server rounds up and would still report one second left.
    countDown(seconds, show, () => setTimeout(showAgain, 1000));
  }

  const resend = first("[data-pv-resend]");
  const cooldown = Number(resend?.dataset.pvResend);
  if (cooldown) {
    const label = resend.textContent;
    resend.disabled = true;
    countDown(
      cooldown,
      (text) => (resend.textContent = `${resend.dataset.pvWait} ${text}`),
      () => {
        resend.disabled = false;
        resend.textContent = label;
        say(label);
      },
    );
  }

  // The values of decimal digits of any script: each script has ten of them in a row.
  const valueOf = (digit) => {
    const point = digit.codePointAt(0);
    let value = 0;
    while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(point - value - 1))) {
      value += 1;
    }
    return String(value);
  };
  const isDigit = (character) => /\p{Nd}/u.test(character);
  const ascii = (text) => text.replace(/\p{Nd}/gu, valueOf);

  // Show the typed digits of a flash call at their places in the calling number.
  const code = first("#pv-code");

  // What was typed before the page sent on another channel by itself. In this tab only, until this page has read it.
  const TYPED = "pv-typed";
  const kept = (action) => {
    try {
      return action(sessionStorage);
    } catch {
      return null; // The browser keeps nothing for this site.
    }
  };
  const verification = code?.form?.elements.verification?.value;
  const [typedFor, typed] = (kept((storage) => storage.getItem(TYPED)) ?? "").split("\n");
  kept((storage) => storage.removeItem(TYPED));
  if (code && typedFor === verification && !code.value) {
    code.value = typed ?? "";
  }

  const places = document.querySelectorAll("[data-pv-place]");
  if (code && places.length) {
    const fill = () => {
      const typed = code.value.match(/\p{Nd}/gu) ?? [];
      places.forEach((box, index) => (box.textContent = typed[index] ?? "·"));
    };
    code.addEventListener("input", fill);
    fill();
  }

  const length = Number(code?.dataset.pvLength);
  if (length) {
    // A pasted message is replaced by the code in it: its only run of so many digits.
    code.addEventListener("paste", (event) => {
      const text = ascii(event.clipboardData?.getData("text") ?? "");
      const runs = new Set((text.match(/[0-9]+/g) ?? []).filter((run) => run.length === length));
      if (/\p{L}/u.test(text) && runs.size === 1) {
        event.preventDefault();
        code.value = [...runs][0];
        code.dispatchEvent(new Event("input", { bubbles: true }));
      }
    });
  }
  if (length && "pvSubmit" in code.dataset) {
    // Once: after that, and after an error, the visitor presses the button.
    let waiting;
    const submitFull = () => {
      clearTimeout(waiting);
      if ((code.value.match(/\p{Nd}/gu) ?? []).length === length && !/[\p{L}]/u.test(code.value)) {
        waiting = setTimeout(() => {
          code.removeEventListener("input", submitFull);
          if (!leaving) {
            code.form.requestSubmit();
          }
        }, SUBMIT_AFTER);
      }
    };
    code.addEventListener("input", submitFull);
  }

  // Offer the next channel once the code is late. If the site wants so, send on it: once, to a visitor who sees the
  // page and is not typing.
  const TYPING = 10000;
  const offer = first("[data-pv-next]");
  if (offer) {
    const form = offer.querySelector("form");
    const { verification: id, channel } = form.elements;
    const taken = `pv-taken ${id.value} ${channel.value}`;
    let typedAt = -Infinity;
    code?.addEventListener("input", () => (typedAt = Date.now()));
    const sendByItself = () => {
      const take = () => {
        if (leaving || document.hidden || !navigator.onLine || Date.now() - typedAt < TYPING) {
          return;
        }
        clearInterval(beat);
        document.removeEventListener("visibilitychange", take);
        // A refused send shows the page again with the same offer. Where that cannot be noted, the visitor presses.
        const isFirst = kept((storage) => {
          const before = storage.getItem(taken);
          storage.setItem(taken, "1");
          return before === null;
        });
        if (isFirst) {
          if (code?.value) {
            kept((storage) => storage.setItem(TYPED, `${id.value}\n${code.value}`));
          }
          form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "by_itself", value: "1" }));
          form.requestSubmit();
        }
      };
      const beat = setInterval(take, 1000);
      document.addEventListener("visibilitychange", take);
      take();
    };
    countDown(Number(offer.dataset.pvNext), () => {}, () => {
      if (offer.hidden) {
        offer.hidden = false;
        say(offer.dataset.pvSay);
      }
      if ("pvByItself" in offer.dataset) {
        sendByItself();
      }
    });
  }

  // The message has the focus after an error; typing continues in the field.
  const field = code ?? first("#pv-phone");
  document.addEventListener("keydown", (event) => {
    if (field && document.activeElement?.id === "pv-error" && /^[\p{Nd}+]$/u.test(event.key)) {
      field.focus();
    }
  });

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

  const copy = first("[data-pv-copy]");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(copy.dataset.pvCopy);
      copy.textContent = copy.dataset.pvCopied;
      say(copy.dataset.pvCopied);
    });
  }

  // Group the number as people of its country do, and name the country.
  const phone = first("[data-pv-phone]");
  if (phone) {
    const country = first("[data-pv-country]");
    const names = Intl.DisplayNames && new Intl.DisplayNames([document.documentElement.lang], { type: "region" });
    const plans = PLANS.split(",").map((plan) => /(\d+)([A-Z]+)(\d*)/.exec(plan));
    const sum = (groups) => groups.reduce((total, group) => total + group, 0);
    const example = phone.placeholder.match(/\d+/g) ?? [];
    const national = phone.dataset.pvPhone ? example.map((group) => group.length) : [];
    const own = plans.find((plan) => plan[3] && plan[2].startsWith(phone.dataset.pvPhone));
    const trunk = sum(national) > sum([...own[3]].map(Number)) ? example[0][0] : "";
    // The longest prefix names the country; its groups are those of the calling code if it has none of its own.
    const planOf = (typed) => {
      const fitting = plans.filter((plan) => typed.startsWith(plan[1])).sort((a, b) => b[1].length - a[1].length);
      const code = fitting.find((plan) => plan[3]);
      return fitting.length ? { regions: fitting[0][2], groups: [code[1].length, ...[...code[3]].map(Number)] } : null;
    };
    const grouping = (typed) => {
      if (typed.startsWith("+")) {
        const plan = planOf(typed.slice(1));
        return plan ? [plan.groups[0] + 1, ...plan.groups.slice(1)] : [];
      }
      // In national form, without the leading 0 or 8 of the example if it was not typed.
      return trunk && typed[0] !== trunk ? [national[0] - 1, ...national.slice(1)] : national;
    };
    const grouped = (characters, groups) => {
      let text = "";
      let left = groups.length ? groups[0] : Infinity;
      let group = 0;
      for (const character of characters) {
        if (left === 0 && group < groups.length - 1) {
          group += 1;
          left = groups[group];
          text += " ";
        }
        text += character;
        left -= 1;
      }
      return text;
    };
    const format = () => {
      const isKept = (character) => isDigit(character) || character === "+";
      if (/[^\p{Nd}+\s().\-\u2010-\u2015\u200e\u200f]/u.test(phone.value)) {
        country.textContent = ""; // Not a number alone: left as it is.
        return;
      }
      const typed = ascii([...phone.value].filter(isKept).join(""));
      const atEnd = phone.selectionStart === phone.value.length;
      const before = [...phone.value.slice(0, phone.selectionStart)].filter(isKept).length;
      const text = grouped([...phone.value].filter(isKept), grouping(typed));
      if (text !== phone.value) {
        phone.value = text;
        let caret = 0;
        for (let kept = 0; kept < before; caret += 1) {
          kept += isKept(text[caret]) ? 1 : 0;
        }
        if (document.activeElement === phone) {
          phone.setSelectionRange(atEnd ? text.length : caret, atEnd ? text.length : caret);
        }
      }
      const regions = typed.startsWith("+") ? planOf(typed.slice(1))?.regions : typed && phone.dataset.pvPhone;
      const named = (regions || "").match(/../g)?.map((region) => names?.of(region)).join(", ") ?? "";
      if (country.textContent !== named) {
        country.textContent = named;
      }
    };
    phone.addEventListener("input", (event) => event.isComposing || format());
    format();
  }

  // Without this form the page asks a question after the call, and no script submits it.
  const called = first("[data-pv-called]");
  const poll = place?.dataset.pvPoll;
  const otherCaller = first("[data-pv-other-caller]");
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
          if (otherCaller) {
            otherCaller.hidden = !answer.headers.has("Phone-Verify-Other-Caller");
          }
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
