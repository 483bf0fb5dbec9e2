// The calls of the HTTP API.
import { receiveCode } from "./form.js";
import { PhoneVerifyError } from "./problem.js";
import { read, watch } from "./watch.js";

const RETRY_AFTER = [500, 2000];
const KEY_LIFE = 9 * 60 * 1000; // The server keeps an answer ten minutes.

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(36)).join("");

export class PhoneVerifyClient {
  #secrets = new Map();
  #keys = new Map();

  // `api` is the address under which the site has mounted our URLs; by default the module's own.
  constructor({ api = new URL("../", import.meta.url), credentials = "include", headers = {}, lang = "" } = {}) {
    this.api = String(new URL(api, document.baseURI)).replace(/\/?(v1\/?)?$/, "/");
    Object.assign(this, { credentials, headers, lang });
  }

  start(order, { signal } = {}) {
    return this.#send("verifications", order, signal);
  }

  get(verification, { signal } = {}) {
    return this.#call("GET", this.#path(verification), { verification, signal });
  }

  check(verification, code, { signal } = {}) {
    return this.#call("POST", this.#path(verification, "/check"), { fields: { code }, verification, signal });
  }

  resend(verification, { signal, ...fields } = {}) {
    return this.#send(this.#path(verification, "/resend"), fields, signal, verification);
  }

  cancel(verification, { signal } = {}) {
    return this.#call("DELETE", this.#path(verification), { verification, signal });
  }

  // Yields the verification now and at each change; the last one has ended.
  async *watch(verification, { signal } = {}) {
    const options = { headers: this.#headersFor(verification), credentials: this.credentials };
    for await (const seen of watch(`${this.api}v1/${this.#path(verification)}`, options, signal)) {
      yield this.#keep(seen, verification);
    }
  }

  signIn(verification, { signal } = {}) {
    return this.#redeem("POST", "session", verification, signal);
  }

  setPhone(verification, { signal } = {}) {
    return this.#redeem("PUT", "session/phone", verification, signal);
  }

  token(verification, { signal } = {}) {
    return this.#redeem("POST", "token", verification, signal);
  }

  // The signed-in user, or null.
  async session({ signal } = {}) {
    try {
      return (await this.#call("GET", "session", { signal })).user;
    } catch (error) {
      if (error.status === 401) {
        return null;
      }
      throw error;
    }
  }

  signOut({ signal } = {}) {
    return this.#call("DELETE", "session", { signal });
  }

  // The secret of a verification that this client started, for an endpoint of the site; null for another one.
  secretOf(verification) {
    return this.#secrets.get(verification?.id ?? verification) ?? null;
  }

  // The code of the next SMS for this page by WebOTP, or null.
  receiveCode({ signal } = {}) {
    return receiveCode(signal);
  }

  // What the element shows: texts in a language, the site's channels, its style sheet.
  async settings({ lang = this.lang, purpose = "", signal } = {}) {
    const address = `${this.api}static/phone-verify-client.json?${new URLSearchParams({ lang, purpose })}`;
    return read(await fetch(address, { signal }));
  }

  #path(verification, rest = "") {
    return `verifications/${encodeURIComponent(verification?.id ?? verification)}${rest}`;
  }

  #headersFor(verification) {
    const secret = this.secretOf(verification);
    return {
      ...(this.lang && { "Accept-Language": this.lang }),
      ...this.headers,
      ...(secret && { "Verification-Secret": secret }),
    };
  }

  // A proof is known by the verification that it is of.
  #keep(answer, verification) {
    const secret = answer?.secret ?? this.secretOf(verification);
    if (secret) {
      for (const name of [answer?.id, answer?.proof]) {
        name && this.#secrets.set(name, secret);
      }
    }
    return answer;
  }

  #redeem(method, path, verification, signal) {
    const proof = verification?.proof ?? verification;
    return this.#call(method, path, { fields: { proof }, verification: proof, signal });
  }

  // A repeated call with the same key sends once: also when the visitor presses again after a lost answer.
  async #send(path, fields, signal, verification) {
    const name = `${path} ${JSON.stringify(fields)}`;
    let kept = this.#keys.get(name);
    if (!(kept?.until > Date.now())) {
      this.#keys.set(name, (kept = { key: newKey(), until: Date.now() + KEY_LIFE }));
    }
    try {
      const answer = await this.#call("POST", path, { fields, verification, signal, key: kept.key });
      this.#keys.delete(name);
      return answer;
    } catch (error) {
      /^4/.test(error.status) && this.#keys.delete(name); // A proxy's 504 can follow a message that was sent.
      throw error;
    }
  }

  async #call(method, path, { fields, verification, signal, key } = {}) {
    const headers = {
      Accept: "application/json",
      ...this.#headersFor(verification),
      ...(fields && { "Content-Type": "application/json" }),
      ...(key && { "Idempotency-Key": key }),
    };
    const options = { method, headers, body: fields && JSON.stringify(fields), credentials: this.credentials, signal };
    // What changes nothing, or sends once, is repeated after a network error.
    for (const after of [...(key || method === "GET" ? RETRY_AFTER : []), null]) {
      try {
        return this.#keep(await read(await fetch(`${this.api}v1/${path}`, options)), verification);
      } catch (error) {
        if (error instanceof PhoneVerifyError || signal?.aborted) {
          throw error;
        }
        if (after === null || navigator.onLine === false) {
          throw new PhoneVerifyError({ code: "network", detail: error.message });
        }
        await new Promise((resolve) => setTimeout(resolve, after));
      }
    }
  }
}
