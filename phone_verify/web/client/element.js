// <phone-verify>: around the content of one of our pages it enhances the forms in it; without content it shows its own
// view in a shadow root.
import { PhoneVerifyClient } from "./api.js";
import { h } from "./dom.js";
import { enhance } from "./form.js";
import { isOpen } from "./watch.js";

const OPEN_AGAIN_AFTER = 10000;

// An element: `h("p.help", { id: "x" }, "text")`. Its classes are parts, too.
// A form; `step` is what its submission does.
const form = (step, ...children) => h("form", { "data-pv-form": true, "data-step": step }, ...children);
const button = (label, kind = "button") => h(`button.${kind}`, { type: "submit" }, label);
const ltr = (text) => h("bdi", { dir: "ltr" }, text);
const help = (...children) => h("p.help", null, ...children);

export class PhoneVerifyElement extends HTMLElement {
  static observedAttributes = ["api", "channel", "lang"];
  #client;
  #settings;
  #card;
  #sheet = new CSSStyleSheet();
  #view;
  #phone;
  #channel;
  #verification;
  #takenAt;
  #shown = this.#number;
  #turn = 0;
  #load;

  // The client that the element uses: the app calls it for the session or a token.
  get client() {
    return (this.#client ??= new PhoneVerifyClient({ lang: this.#lang, api: this.#of("api") }));
  }

  // The present verification, without its secret.
  get verification() {
    return this.#verification ?? null;
  }

  connectedCallback() {
    if (document.readyState === "loading") {
      document.addEventListener("DOMContentLoaded", () => this.isConnected && this.connectedCallback(), { once: true });
      return;
    }
    if (this.querySelector(":scope > :not([slot], script)")) {
      this.#view = new AbortController();
      enhance(this, this.#view);
    } else if (this.#settings) {
      this.#show(this.#shown, { still: true });
    } else {
      this.#open();
    }
  }

  disconnectedCallback() {
    this.#view?.abort();
  }

  attributeChangedCallback(name) {
    if (!this.#card) {
      return;
    }
    if (name === "api") {
      this.#client = undefined;
      this.#reset({ still: true });
    } else {
      this.client.lang = this.#lang; // The same client: it has the secret.
    }
    this.#open();
  }

  // Show the number field again, empty.
  restart() {
    this.#phone = undefined;
    this.#reset();
  }

  #reset(options) {
    this.#turn += 1;
    this.#verification = undefined;
    this.#show(this.#number, options);
  }

  get #lang() {
    return this.closest("[lang]")?.lang || navigator.language;
  }

  #of(name) {
    return this.getAttribute(name) || undefined;
  }

  async #open() {
    if (!this.#card) {
      const root = this.attachShadow({ mode: "open" });
      root.adoptedStyleSheets = [this.#sheet];
      root.append((this.#card = h("div.card")));
      // Of every view: a form without it would put its fields into the page's address. Those of `enhance` come first.
      root.addEventListener("submit", (event) => this.#submit(event));
    }
    const own = this.querySelector(':scope > script[type="application/json"]');
    const texts = { ...(own && JSON.parse(own.textContent)), ...this.texts };
    // Until the newest settings are here, those of before are kept, and their view.
    const load = (this.#load = this.client.settings({ lang: this.#lang, purpose: this.#of("purpose") }));
    const isNewest = () => load === this.#load;
    try {
      const settings = await load;
      if (isNewest()) {
        Object.assign(settings.texts, texts);
        this.#sheet.replaceSync(settings.style);
        this.#settings = settings;
        this.#show(this.#shown, { still: true });
      }
    } catch (error) {
      if (isNewest()) {
        this.#emit("error", { code: error.code ?? "network", error });
        setTimeout(() => isNewest() && this.isConnected && this.#open(), OPEN_AGAIN_AFTER);
      }
    }
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(`phone-verify:${name}`, { detail, bubbles: true, composed: true }));
  }

  #submit(event) {
    if (event.defaultPrevented || !this.#card.contains(event.target)) {
      return; // Offline, or being sent already; or a form of the site, in a slot.
    }
    event.preventDefault();
    const { elements, dataset } = event.target;
    const channel = elements.channel?.value || event.submitter?.value || undefined;
    const steps = {
      start: () => {
        this.#phone = elements.phone?.value ?? this.#phone;
        this.#channel = channel ?? this.#channel;
        this.#start();
      },
      check: () => this.#try(() => this.client.check(this.#verification, elements.code.value)),
      resend: () =>
        this.#try(() => this.client.resend(this.#verification, { channel, extra: this.extra }), {
          notice: "sent_again",
        }),
      called: () => this.#get({ notice: "no_call_yet" }),
      change: () => {
        this.client.cancel(this.#verification).catch(() => {});
        this.#reset();
      },
    };
    if (this.#shown !== this.#opened || isOpen(this.#verification)) {
      steps[dataset.step](); // Else the browser is being signed in.
    }
  }

  // Make a call, and show its answer, unless another answer, restart() or another API came in between.
  async #try(call, { signal, show = this.#take, ...options } = {}) {
    let turn = this.#turn;
    const isLate = () => turn !== this.#turn || signal?.aborted;
    try {
      const answer = await call();
      if (!isLate()) {
        turn = this.#turn += 1;
        show.call(this, answer, options);
      }
    } catch (error) {
      isLate() || this.#fail(error);
    }
  }

  #get(options) {
    this.#try(() => this.client.get(this.#verification), options);
  }

  #start(more) {
    const fields = {
      phone: this.#phone,
      region: this.#of("region"),
      purpose: this.#of("purpose"),
      channel: this.#channel || this.#of("channel"),
      locale: this.#settings.lang,
      extra: this.extra,
      ...more,
    };
    this.#try(() => this.client.start(fields));
  }

  // Show what the server has answered about the verification.
  #take({ secret, ...verification }, options) {
    const { client } = this;
    const { proof, channels_left: left } = (this.#verification = verification);
    this.#takenAt = Date.now();
    if (isOpen(verification)) {
      this.#show(this.#opened, options);
    } else if (!proof) {
      this.#show(this.#over);
    } else if (left?.length) {
      this.#start({ channel: left[0], proof });
    } else {
      this.#try(
        async () => {
          this.#emit("verified", { proof, verification });
          if (this.hasAttribute("sign-in")) {
            this.#emit("signed-in", await client.signIn(verification));
          }
        },
        { show: () => this.#show(this.#done) },
      );
    }
  }

  #fail(error) {
    const { texts, attempts } = this.#settings;
    const { code = "unavailable", status, attemptsLeft, retryAfter } = error;
    this.#emit("error", { code, error });
    const ended = status === 404 ? "expired" : attemptsLeft === 0 ? "exhausted" : error.verificationStatus;
    if (ended === "verified") {
      this.#get(); // The answer to the right code was lost; this one has the proof.
      return;
    }
    if (this.#verification && ended) {
      this.#verification.status = ended;
      this.#show(this.#over);
      return;
    }
    const wait = retryAfter && texts.try_again_in.replace("{duration}", this.#time(retryAfter));
    const said = navigator.onLine ? (status ? error.detail : texts.unavailable) : texts.offline;
    // Verified already: the sign-in failed.
    const shown = this.#verification?.proof ? this.#over : this.#shown;
    this.#show(shown, {
      error: [said, attempts[attemptsLeft], wait].filter(Boolean).join(" "),
      invalid: /^(invalid_phone|wrong_code)$/.test(code) || error.fields?.[0] === "code",
      // A path of the API's origin, never an address of another scheme.
      to: error.continueAt && new URL(error.continueAt.replace(/^[/\\\s]*/, "/"), this.client.api),
    });
  }

  // What is left of a time that the server has named.
  #left(seconds) {
    return Math.max(0, Math.ceil(seconds - (Date.now() - this.#takenAt) / 1000));
  }

  #time(seconds) {
    const text = new Date(Math.min(seconds, 86399) * 1000).toISOString().slice(seconds < 3600 ? 14 : 11, 19);
    return text.replace(/\d/g, (digit) => this.#settings.digits[digit]);
  }

  // A text that has a variant for a kind of call, and maybe one for codes.
  #text(name) {
    const { texts } = this.#settings;
    const { channel } = this.#verification;
    return texts[`${name}_${channel}`] ?? texts[`${name}_code`] ?? texts[name];
  }

  #show(shown, { error, notice, invalid, to, still } = {}) {
    if (!this.isConnected || !this.#settings) {
      this.#shown = shown;
      return;
    }
    const { texts, dir, lang, digits } = this.#settings;
    const message = [
      h("p.error", { role: "alert", hidden: true, "data-pv-offline": true }, texts.offline),
      error && h("p.error", { role: "alert", id: "pv-error" }, error),
      to && h("a.button", { href: to }, texts.continue),
      notice && h("p.notice", { role: "status" }, this.#text(notice)),
    ];
    const described = (id) => ({
      "aria-describedby": error ? `pv-error ${id}` : id,
      "aria-invalid": invalid && "true",
      required: true,
      dir: "ltr",
    });
    const body = shown.call(this, message, described, !error);
    this.#shown = shown;
    this.#view?.abort();
    this.#view = new AbortController();
    const { signal } = this.#view;
    Object.assign(this.#card, { lang, dir });
    this.#card.replaceChildren(
      h("div", { "data-pv-here": true, "data-pv-digits": digits }, ...body),
      h("slot", { name: "footer" }),
      h("p.live", {
        "aria-live": "polite",
        "data-pv-live": true,
        "data-pv-sending": texts.sending,
        "data-pv-slow": texts.slow,
      }),
    );
    enhance(this.#card, { signal, again: () => isOpen(this.#verification) && this.#get() });
    if (!still) {
      (this.#card.querySelector("[data-focus]") ?? this.#card.querySelector("h2"))?.focus();
    }
    if (isOpen(this.#verification) && this.#settings.watch.includes(this.#verification.channel)) {
      this.#follow(signal);
    }
  }

  // Until the call has arrived, or the site has sent on another channel.
  #follow(signal) {
    this.#try(
      async () => {
        for await (const seen of this.client.watch(this.#verification, { signal })) {
          if (!isOpen(seen) || seen.channel !== this.#verification.channel) {
            return seen;
          }
          if (seen.dial) {
            this.#card.querySelector("[data-pv-other-caller]").hidden = !seen.other_caller;
          }
        }
      },
      { signal },
    );
  }

  #heading(title, ...lead) {
    return [
      h("slot", { name: "title" }, h("h2.title", { tabindex: "-1" }, title)),
      h("p.lead", { id: "pv-lead" }, ...lead),
    ];
  }

  #choice({ label, help, time }) {
    return h("span", null, label, h("small", null, `${help} ${time}`));
  }

  #number(message, described) {
    const { texts, channels, number } = this.#settings;
    const signsIn = this.hasAttribute("sign-in");
    const calls = channels.some(({ value }) => /call/.test(value));
    const choices = channels.map((channel) => {
      const { value } = channel;
      const checked = value === (this.#channel ?? channels[0].value);
      const radio = h("input", { type: "radio", name: "channel", value, checked });
      return h("label.choice", null, radio, this.#choice(channel));
    });
    return [
      ...this.#heading(
        signsIn ? texts.login_title : texts.verify_title,
        texts[calls ? (signsIn ? "login_lead_call" : "verify_lead_call") : "login_lead"],
      ),
      ...message,
      form(
        "start",
        h("label.label", { for: "pv-phone" }, texts.phone),
        h("input.input", {
          id: "pv-phone",
          name: "phone",
          type: "tel",
          autocomplete: "tel",
          value: this.#phone,
          placeholder: number.example,
          "data-focus": true,
          ...number.field,
          ...(this.#of("region") && { "data-pv-phone": this.#of("region") }),
          ...described("pv-help"),
        }),
        h("p.announced", { "aria-live": "polite", "data-pv-country": true }),
        h(
          "p.help",
          { id: "pv-help" },
          h("span", { "data-pv-plain": texts.phone_example }, number.local ? texts.phone_example : texts.phone_help),
          " ",
          h("bdi", { dir: "ltr", "data-pv-example": true }, number.example),
        ),
        choices.length > 1 &&
          !this.#of("channel") &&
          h("fieldset.channels", null, h("legend.label", null, texts.way), choices),
        button(texts.continue),
      ),
    ];
  }

  // An open verification: a code to enter, a number to call, or both.
  #opened(message, described, isFresh) {
    const verification = this.#verification;
    const { channel, code_length: length, dial, phone_hint: hint } = verification;
    const { texts, channels } = this.#settings;
    const isCall = channel === "inbound_call";
    const [before, after] = this.#text("lead").split("{number}");
    const resend = button(this.#text("resend"), "link");
    resend.dataset.pvResend = this.#left(verification.resend_in);
    resend.dataset.pvWait = this.#text("resend_in");
    const others = channels.filter(({ value }) => value !== channel && verification.channels.includes(value));
    return [
      ...this.#heading(this.#text("code_title"), `${before} `, ltr(hint), after),
      ...message,
      dial && this.#dial(dial, hint, isCall),
      verification.attempts_left !== null && [
        dial && help(texts.or_code),
        this.#code(verification, length, described, isCall, isFresh),
      ],
      h(
        "div.row",
        null,
        help(
          this.#text("expires"),
          " ",
          h("bdi", { role: "timer", "data-pv-life": true, "data-pv-seconds": `${this.#left(verification.expires_in)}` }),
        ),
        form("resend", resend),
      ),
      form("change", button(texts.other_number, "link")),
      others.length > 0 &&
        h(
          "details.channels",
          null,
          h("summary.link", null, texts.other_ways),
          others.map((other) => form("resend", h("button.choice", { value: other.value }, this.#choice(other)))),
        ),
    ].flat();
  }

  #dial({ qr, uri, number }, hint, isCall) {
    const { texts, channels } = this.#settings;
    return [
      h("figure.scan", null, h("img.qr", { src: qr, alt: texts.dial_qr }), h("figcaption", null, texts.dial_scan)),
      h("a.button.call", { href: /^tel:/.test(uri) && uri, "data-focus": isCall }, ltr(number)),
      h(
        "button.link",
        { type: "button", hidden: true, "data-pv-copy": number, "data-pv-copied": texts.copied },
        texts.copy_number,
      ),
      help(channels.find(({ dial_help }) => dial_help)?.dial_help),
      h("p.wait", { role: "status" }, texts.dial_wait),
      h("p.help", { role: "status", hidden: true, "data-pv-other-caller": true }, texts.other_caller, " ", ltr(hint)),
      form("called", button(texts.called, "button.second")),
    ];
  }

  #code({ channel, caller_hint: caller }, length, described, isCall, isFresh) {
    const { texts, code_labels: labels, last_digits: last } = this.#settings;
    const isFlash = channel === "flash_call";
    const places = Array.from({ length: length ?? 0 }, () => h("span", { "data-pv-place": true }));
    return form(
      "check",
      isFlash && h("p.help", { id: "pv-caller" }, last[length ?? 0]),
      isFlash && caller && h("p.caller", { dir: "ltr" }, `${caller} `, h("span", { "aria-hidden": "true" }, places)),
      h("label.label", { for: "pv-code" }, isFlash ? texts.last_digits : labels[length ?? 0]),
      h("input.input.code", {
        id: "pv-code",
        name: "code",
        inputmode: "numeric",
        autocomplete: "one-time-code",
        spellcheck: "false",
        enterkeyhint: "go",
        "data-focus": !isCall,
        "data-pv-length": length,
        "data-pv-submit": isFresh,
        "data-pv-otp": !isFlash,
        ...described(isFlash ? "pv-caller" : "pv-lead"),
      }),
      button(texts.confirm),
    );
  }

  #over(message) {
    const { texts } = this.#settings;
    const { status, channel, phone_hint: hint } = this.#verification;
    const isCall = channel === "inbound_call";
    const title = texts[`title_${status}${status === "expired" && isCall ? "_call" : ""}`];
    return [
      ...this.#heading(title, ltr(hint)),
      ...message,
      form("start", button(isCall ? texts.new_call : texts.new_code)),
      form("change", button(texts.other_number, "link")),
    ];
  }

  #done(message) {
    const { texts } = this.#settings;
    const said = this.hasAttribute("sign-in") ? texts.signed_in : texts.number_confirmed;
    return [
      ...this.#heading(texts.title_verified, ltr(this.#verification.phone_hint)),
      ...message,
      h("slot", { name: "done" }, h("p.notice", { role: "status" }, said)),
    ];
  }
}

customElements.get("phone-verify") || customElements.define("phone-verify", PhoneVerifyElement);
