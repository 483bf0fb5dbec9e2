// A refusal of the API, or a call that did not reach it.
export class PhoneVerifyError extends Error {
  constructor(problem, status = 0) {
    super(problem.detail ?? problem.code);
    this.name = "PhoneVerifyError";
    this.status = status;
    this.code = problem.code;
    this.detail = problem.detail ?? "";
    this.fields = problem.fields ?? [];
    this.retryAfter = problem.retry_after ?? null;
    this.attemptsLeft = problem.attempts_left ?? null;
    this.verificationStatus = problem.verification_status ?? null;
    this.cause = problem.cause ?? null;
    this.continueAt = problem.continue_at ?? null;
  }
}
