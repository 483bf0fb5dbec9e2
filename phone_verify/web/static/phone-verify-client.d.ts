/** The types of phone-verify-client.js. */

export type Channel = "sms" | "flash_call" | "inbound_call" | "voice" | "telegram" | "whatsapp";
export type Status = "pending" | "sent" | "verified" | "failed" | "exhausted" | "expired" | "cancelled";

/** A number to call. */
export interface Dial {
  /** In E.164. */
  number: string;
  /** `tel:` and the number. */
  uri: string;
  /** A QR code of the number, as a data URL of an SVG image. */
  qr: string;
}

/** A verification, as `GET v1/verifications/{id}` returns it. */
export interface Verification {
  id: string;
  status: Status;
  purpose: string;
  channel: Channel;
  /** What `resend` accepts; empty once the verification has ended. */
  channels: Channel[];
  /** Calling code, bullets and the last two digits. */
  phone_hint: string;
  code_length: number | null;
  /** `null` if there is no code to enter. */
  attempts_left: number | null;
  /** Whole seconds. */
  expires_in: number;
  /** Whole seconds. */
  resend_in: number;
  /** The first digits of the calling number of a flash call, if known. */
  caller_hint: string | null;
  dial: Dial | null;
  /** Good once, for five minutes. */
  proof: string | null;
  /** The caller's own provider attested the number of this call. */
  assurance?: "caller_id_attested";
  /** Channels that must verify this number as well, with a start that carries `proof`. */
  channels_left?: Channel[];
  /** From `watch`: another phone has just called the number to call. */
  other_caller?: boolean;
}

/** A started verification. The client keeps the secret by itself. */
export interface Started extends Verification {
  secret: string;
}

export interface Order {
  phone: string;
  /** For numbers in national form, like `IR`. */
  region?: string;
  /** Default: `login`. */
  purpose?: string;
  /** Default: the site's first channel that can serve. */
  channel?: Channel;
  /** The language of the message, like `fa`. */
  locale?: string;
  service?: string;
  /** The proof of a verification on another channel, if the purpose requires several. */
  proof?: string;
  /** For the site's own check before it sends. */
  extra?: Record<string, string>;
}

export interface User {
  id: string;
  phone: string | null;
}

export type Code =
  | "invalid_request"
  | "invalid_phone"
  | "invalid_proof"
  | "not_signed_in"
  | "destination_not_allowed"
  | "send_refused"
  | "service_suspended"
  | "login_refused"
  | "mfa_required"
  | "reauthentication_required"
  | "phone_taken"
  | "cross_site"
  | "not_found"
  | "method_not_allowed"
  | "not_acceptable"
  | "channel_unavailable"
  | "closed"
  | "too_large"
  | "unsupported_media_type"
  | "wrong_code"
  | "too_many_requests"
  | "internal_error"
  | "delivery_failed"
  | "unavailable"
  | "idempotency_mismatch"
  /** No answer arrived: the browser is offline, or it blocked the answer. */
  | "network"
  | (string & {});

/** A refusal of the API, or a call without an answer. */
export class PhoneVerifyError extends Error {
  readonly name: "PhoneVerifyError";
  /** The HTTP status; 0 for `network`. */
  readonly status: number;
  readonly code: Code;
  /** A text for visitors, in the language of the call. */
  readonly detail: string;
  /** The fields of an invalid request. */
  readonly fields: string[];
  /** Whole seconds. */
  readonly retryAfter: number | null;
  readonly attemptsLeft: number | null;
  /** How a closed verification ended. */
  readonly verificationStatus: Status | null;
  /** Of `delivery_failed`: whether the provider refused the number, or the service failed. */
  readonly cause: "number" | "service" | null;
  /** Of `mfa_required`: the path of the page that completes the sign-in, if there is one. */
  readonly continueAt: string | null;
}

export interface ClientOptions {
  /** Where the site has mounted our URLs. Default: where the module comes from. */
  api?: string | URL;
  /** Default: `include`. */
  credentials?: RequestCredentials;
  /** For every call, like `Authorization`. */
  headers?: Record<string, string>;
  /** The language of `detail`, like `fa`. */
  lang?: string;
}

export interface CallOptions {
  signal?: AbortSignal;
}

/** A verification of this client, its id, or for `signIn`, `setPhone` and `token` also its proof. */
export type Reference = Pick<Verification, "id"> | string;
export type Proof = Pick<Verification, "proof"> | string;

/** Calls of the HTTP API. Every call rejects with `PhoneVerifyError`, or `AbortError` after `signal`. */
export class PhoneVerifyClient {
  constructor(options?: ClientOptions);
  readonly api: string;
  credentials: RequestCredentials;
  headers: Record<string, string>;
  lang: string;
  /** Send a code, or name a number to call. Repeated after a network error, it sends once. */
  start(order: Order, options?: CallOptions): Promise<Started>;
  get(verification: Reference, options?: CallOptions): Promise<Verification>;
  /** Resolves with `proof`; rejects with `wrong_code` and `attemptsLeft`. */
  check(verification: Reference, code: string, options?: CallOptions): Promise<Verification>;
  resend(
    verification: Reference,
    options?: CallOptions & { channel?: Channel; extra?: Record<string, string> },
  ): Promise<Verification>;
  cancel(verification: Reference, options?: CallOptions): Promise<null>;
  /** Yields the verification now and at each change; the last one has ended. */
  watch(verification: Reference, options?: CallOptions): AsyncGenerator<Verification, void, undefined>;
  /** Sign in with the session cookie of the API's site. */
  signIn(verification: Proof, options?: CallOptions): Promise<{ user: User; created: boolean }>;
  /** Give the signed-in user this number, or confirm it. */
  setPhone(verification: Proof, options?: CallOptions): Promise<{ user: User }>;
  /** Exchange the proof for a token of the site; `not_found` if it issues none. */
  token<Token = string>(
    verification: Proof,
    options?: CallOptions,
  ): Promise<{ user: User; created: boolean; token: Token }>;
  /** The signed-in user, or `null`. */
  session(options?: CallOptions): Promise<User | null>;
  signOut(options?: CallOptions): Promise<null>;
  /** The secret of a verification that this client started, for an endpoint of your own. */
  secretOf(verification: Reference): string | null;
  /** The code of the next SMS for this page by WebOTP; `null` if the browser has none. */
  receiveCode(options?: CallOptions): Promise<string | null>;
}

/** The texts of the element by name. */
export type Texts = Record<string, string>;

export interface PhoneVerifyEvents {
  "phone-verify:verified": CustomEvent<{ proof: string; verification: Verification }>;
  "phone-verify:signed-in": CustomEvent<{ user: User; created: boolean }>;
  "phone-verify:error": CustomEvent<{ code: Code; error?: PhoneVerifyError }>;
}

/** `<phone-verify>`, with the attributes `api`, `purpose`, `channel`, `region`, `lang` and `sign-in`. */
export class PhoneVerifyElement extends HTMLElement {
  /** Sent with each start and resend, for the site's own check before it sends. */
  extra?: Record<string, string>;
  /** Texts of your own, in place of ours. Set them before the element is in the page. */
  texts?: Texts;
  readonly client: PhoneVerifyClient;
  /** The present verification, without its secret. */
  readonly verification: Verification | null;
  /** Show the number field again, empty. */
  restart(): void;
  addEventListener<Name extends keyof PhoneVerifyEvents>(
    type: Name,
    listener: (this: PhoneVerifyElement, event: PhoneVerifyEvents[Name]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** Enhance our server-rendered forms below `root`, as `<phone-verify>` around them does. */
export function enhance(root: Document | Element): void;

/** As `watch` of the client, for an address that needs no secret. */
export function watch(
  url: string,
  options: RequestInit,
  signal?: AbortSignal,
  streams?: boolean,
): AsyncGenerator<Verification, void, undefined>;

declare global {
  interface HTMLElementTagNameMap {
    "phone-verify": PhoneVerifyElement;
  }
}
