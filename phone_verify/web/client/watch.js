// Follow a verification: by server-sent events where the server has them, else by polling.
import { PhoneVerifyError } from "./problem.js";

const POLL_EVERY = 3000;
const LONGEST_WAIT = 30000;
// The server sends a comment every 15 seconds; a longer silence is a lost connection.
const SILENCE = 40000;

export const isOpen = (verification) => /pending|sent/.test(verification?.status);

// Wait. A hidden page asks nothing (a phone shows its dialler meanwhile), and asks as soon as it is seen again.
const pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    const listening = new AbortController();
    const end = () => {
      clearTimeout(timer);
      listening.abort();
      resolve();
    };
    const endIfSeen = () => document.hidden || end();
    const timer = setTimeout(endIfSeen, milliseconds);
    document.addEventListener("visibilitychange", endIfSeen, { signal: listening.signal });
    signal?.addEventListener("abort", end, { signal: listening.signal });
  });

// Return the JSON of a response. Raises PhoneVerifyError for a refusal.
export const read = async (response) => {
  const text = await response.text();
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    // A proxy's page.
  }
  if (!response.ok) {
    const after = Number(response.headers.get("Retry-After"));
    throw new PhoneVerifyError(
      { code: response.status < 500 ? "not_found" : "unavailable", retry_after: after || null, ...body },
      response.status,
    );
  }
  return body;
};

async function* events(response, lost) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const timer = setTimeout(lost, SILENCE);
    const { done, value } = await reader.read().finally(() => clearTimeout(timer));
    if (done) {
      return;
    }
    const parts = (text + value).replaceAll("\r", "").split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length) {
        yield JSON.parse(data.map((line) => line.slice(5)).join("\n"));
      }
    }
  }
}

// Yield the verification at `url` now, at each change, and last when it has ended. `options` are those of `fetch`.
// Raises PhoneVerifyError if it does not exist. Network errors and outages are waited for.
export async function* watch(url, options, signal, streams = true) {
  let delay = POLL_EVERY;
  let last = "";
  while (!signal?.aborted) {
    const call = new AbortController();
    const stop = () => call.abort();
    signal?.addEventListener("abort", stop);
    try {
      const headers = { ...options.headers, Accept: streams ? "text/event-stream" : "application/json" };
      const address = streams ? `${url}/events` : url;
      const response = await fetch(address, { ...options, headers, cache: "no-store", signal: call.signal });
      const isStream = response.headers.get("Content-Type")?.startsWith("text/event-stream");
      if (streams && !(response.ok && isStream)) {
        streams = false; // WSGI, too many streams, or a proxy that does not pass them.
        continue;
      }
      for await (const verification of streams ? events(response, stop) : [await read(response)]) {
        delay = POLL_EVERY;
        verification.other_caller ??= response.headers.has("Phone-Verify-Other-Caller");
        const { expires_in, resend_in, ...rest } = verification;
        const now = JSON.stringify(rest);
        if (now !== last) {
          last = now;
          yield verification;
        }
        if (!isOpen(verification)) {
          return;
        }
      }
    } catch (error) {
      if (error instanceof PhoneVerifyError && error.status < 500 && error.status !== 429) {
        throw error;
      }
      if (streams && !last) {
        streams = false; // Blocked: no stream was ever read here.
        continue;
      }
      delay = Math.min(delay * 2, LONGEST_WAIT);
      if (error.retryAfter) {
        delay = Math.max(delay, error.retryAfter * 1000);
      }
    } finally {
      signal?.removeEventListener("abort", stop);
      call.abort();
    }
    await pause(delay, signal);
  }
}
