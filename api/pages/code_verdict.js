// The verdict on a printed code, step by step as verifiers/verification.py gives it: every step that can run does run,
// the worst finding wins, reasons have the same codes. Pure: trust list, status list and time are handed in.
import { Refused } from "/pages/static_code.js";
import { base64url, signedBy, slotValue } from "/pages/signed_lists.js";

const CLOCK_TOLERANCE_S = 300;
const CHINA_AHEAD_S = 8 * 3600;
const MISSING = new Set(["trust.missing", "trust.expired", "status.missing", "status.stale", "receipt.missing", "clock.behind"]);

/** What the steps have found so far. */
class Examination {
  findings = []; checks = []; notes = [];

  passed(step, age = null) { this.checks.push({ step, outcome: "passed", age_s: age }); }

  found(step, code, { outcome = MISSING.has(code) ? "undetermined" : "invalid", age = null } = {}) {
    this.findings.push({ code, outcome });
    this.checks.push({ step, outcome: outcome === "invalid" ? "failed" : "undetermined", age_s: age });
  }

  /** Invalid before undetermined before valid (protocol rule 24). */
  verdict(names) {
    const first = (outcome) => this.findings.filter((finding) => finding.outcome === outcome).map((finding) => finding.code);
    const reasons = [...first("invalid"), ...first("undetermined")];
    const outcome = first("invalid").length ? "invalid" : reasons.length ? "undetermined" : "valid";
    return { outcome, reasons, checks: this.checks, notes: this.notes, names };
  }
}

/** The status list URI of a code, null where the trust list names none with its number. */
export const listOf = (trust, facts) =>
  trust.claims.status_lists.find((each) => each.num === facts.list)?.uri ?? null;

/**
 * Judge `code` (from `readCode`) at `now` (seconds). `trust` comes from `openTrustList`, `status` from `openStatusList`;
 * either is null where it could not be had, or the `Refused` that opening it ended with.
 */
export async function judge(code, trust, status, now) {
  const seen = new Examination();
  seen.passed("shape");
  checkValidity(seen, code.facts, now);
  if (trust === null || trust instanceof Refused) {
    seen.found("trust_list", trust === null ? "trust.missing" : trust.code);
    return seen.verdict(null);
  }
  const claims = trust.claims, age = Math.max(0, Math.floor(now - claims.iat));
  if (now > claims.exp) seen.found("trust_list", "trust.expired", { age });
  else seen.passed("trust_list", age);
  const key = await keyOf(seen, claims, code, now, age);
  const names = key && scopeOf(seen, claims, key, code.facts, age);
  if (names && code.facts.nameCut) seen.notes.push("code.name_cut");
  if (key) { seen.notes.push("code.no_receipt"); checkPosition(seen, key, names); }
  checkStatus(seen, status, code.facts, names, now);
  const newest = Math.max(claims.iat, status && !(status instanceof Refused) ? status.iat : 0);
  if (newest - now > CLOCK_TOLERANCE_S) seen.found("clock", "clock.behind");
  else seen.passed("clock");
  return seen.verdict(names);
}

/** Calendar dates in China; the last day counts. */
function checkValidity(seen, facts, now) {
  const today = new Date((now + CHINA_AHEAD_S) * 1000).toISOString().slice(0, 10);
  if (today < facts.validFrom) seen.found("validity", "validity.not_yet_valid");
  else if (facts.validUntil !== null && today > facts.validUntil) seen.found("validity", "validity.expired");
  else seen.passed("validity");
}

/** The key for codes under which the signature holds; ids of eight bytes may collide, so all that fit are tried. */
async function keyOf(seen, claims, code, now, age) {
  const fits = (key) => base64url(key.kid).slice(0, code.kid.length).every((byte, i) => byte === code.kid[i]);
  const candidates = claims.keys.filter((key) => key.purpose === "code" && fits(key));
  if (candidates.length === 0) {
    // A list past its next_update may just not have heard of the key.
    seen.found("key", "key.unknown", { outcome: now > claims.next_update ? "undetermined" : "invalid", age });
    return null;
  }
  seen.passed("key", age);
  for (const key of candidates) {
    if (await signedBy(base64url(key.spki), code.signature, code.signed)) { seen.passed("signature"); return key; }
  }
  seen.found("signature", "code.signature");
  return null;
}

/** Department, type and grants behind the numbers in a code; null where they do not belong together. */
function scopeOf(seen, claims, key, facts, age) {
  const department = claims.departments.find((each) => each.num === facts.issuer);
  if (!department || department.id !== key.department) { seen.found("issuer", "issuer.mismatch"); return null; }
  const type = claims.types.find((each) => each.num === facts.type);
  if (!type) { seen.found("issuer", "type.unknown"); return null; }
  const acts = facts.version === 1 ? ["issue"] : ["issue", "change"];
  const grants = claims.grants.filter((grant) => grant.department === department.id && grant.type === type.code
    && grant.major === type.major && grant.acts.some((act) => acts.includes(act)));
  if (grants.length === 0) { seen.found("issuer", "grant.missing"); return null; }
  seen.passed("issuer", age);
  return { department, type, grants };
}

/** Without a receipt nothing tells on which side of a compromise, or of a grant's end, a code was signed. */
function checkPosition(seen, key, names) {
  if (key.revoked) seen.found("position", "key.compromised", { outcome: "undetermined" });
  else if (names && names.grants.every((grant) => grant.log_to)) seen.found("position", "receipt.missing");
}

function checkStatus(seen, status, facts, names, now) {
  if (status === null) { seen.found("status", "status.missing"); return; }
  if (status instanceof Refused) { seen.found("status", status.code); return; }
  const age = Math.max(0, Math.floor(now - status.iat));
  let value;
  try { value = slotValue(status, facts.index); }
  catch (error) {
    if (!(error instanceof Refused)) throw error;
    seen.found("status", error.code, { age });
    return;
  }
  if (value) {
    seen.found("status", { 1: "status.revoked", 2: "status.suspended" }[value] ?? "status.refused", { age });
    if (value !== 1) seen.notes.push("status.may_revert");
  }
  if (age > Math.max(status.ttl, names?.type.grace_s ?? 0) || now > status.exp) seen.found("status", "status.stale", { age });
  else if (!value) seen.passed("status", age);
}
