// A refusal of the API, or a call that did not reach it.
export class PhoneVerifyError extends Error {
  constructor({ code, detail = "", fields = [], cause = null, ...more }, status = 0) {
    super(detail || code);
    Object.assign(this, { name: "PhoneVerifyError", status, code, detail, fields, cause });
    this.retryAfter = more.retry_after ?? null;
    this.attemptsLeft = more.attempts_left ?? null;
    this.verificationStatus = more.verification_status ?? null;
    this.continueAt = more.continue_at ?? null;
  }
}
