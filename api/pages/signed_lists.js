// A region's trust list and status lists, opened in this browser (docs/formats/trust-list.md, status-list.md).
// Pure functions: no page, no request, no clock.
import { Refused } from "/pages/static_code.js";

const MAX_INFLATED = 16_777_216;
const BITS = [1, 2, 4, 8];

/** Bytes of base64url without padding; what would not print back the same is refused. */
export function base64url(text) {
  let plain;
  try { plain = atob(text.replaceAll("-", "+").replaceAll("_", "/")); } catch { throw new Refused("encoding.malformed"); }
  if (btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "") !== text) throw new Refused("encoding.malformed");
  const bytes = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i += 1) bytes[i] = plain.charCodeAt(i);
  return bytes;
}

/** True when `signature` (r‖s) by the P-256 key `spki` (both bytes) covers `signed`. */
export async function signedBy(spki, signature, signed) {
  const key = await crypto.subtle.importKey("spki", spki, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signature, signed);
}

/** Header, claims, signature and signed bytes of a compact JWS of type `typ`; nothing is believed yet. */
function readJws(compact, typ, reason) {
  const parts = compact.trim().split(".");
  if (parts.length !== 3) throw new Refused(reason, "jws");
  let header, claims, signature;
  try {
    const json = (part) => JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(base64url(part)));
    [header, claims, signature] = [json(parts[0]), json(parts[1]), base64url(parts[2])];
  } catch { throw new Refused(reason, "jws"); }
  if (header.typ !== typ) throw new Refused("token.type", String(header.typ));
  if (header.alg !== "ES256" || signature.length !== 64) throw new Refused(reason, "jws");
  return { header, claims, signature, signed: new TextEncoder().encode(`${parts[0]}.${parts[1]}`) };
}

/**
 * The trust list in `compact`, signed by the list key that it names itself.
 *
 * A page cannot pin a root: whoever follows the link trusts the site of the page. The signature shows that the list came
 * over whole; `root` is the fingerprint to compare with one got elsewhere.
 */
export async function openTrustList(compact) {
  const jws = readJws(compact, "elicence-trust-list+jwt", "trust.malformed");
  const claims = jws.claims;
  const own = claims.keys?.find((key) => key.purpose === "list" && key.kid === jws.header.kid);
  if (!own) throw new Refused("trust.certificate");
  if (!(await signedBy(base64url(own.spki), jws.signature, jws.signed))) throw new Refused("trust.signature");
  const root = Uint8Array.from(atob(jws.header.x5c[1]), (c) => c.charCodeAt(0));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", root));
  return { claims, root: [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
}

/** The status list in `compact`: of this region, about `uri`, signed by one of its status keys. Age is judged later. */
export async function openStatusList(compact, trust, uri) {
  const jws = readJws(compact, "statuslist+jwt", "status.malformed");
  const key = trust.claims.keys.find((each) => each.kid === jws.header.kid);
  if (!key || key.purpose !== "status" || key.revoked) throw new Refused("status.key");
  if (!(await signedBy(base64url(key.spki), jws.signature, jws.signed))) throw new Refused("status.signature");
  const { sub, iat, exp, ttl, as_of: asOf, status_list: list } = jws.claims;
  if (![iat, exp].every(Number.isSafeInteger) || !asOf || !list || !BITS.includes(list.bits)) throw new Refused("status.malformed");
  const logs = trust.claims.logs.map((log) => log.origin);
  if (sub !== uri || !logs.includes(asOf.origin)) throw new Refused("status.key");
  if (key.log_to && after(logs, asOf, key.log_to)) throw new Refused("status.key");
  return { iat, exp, ttl: ttl ?? 0, bits: list.bits, packed: await inflate(list.lst) };
}

function after(logs, position, end) {
  const [here, there] = [logs.indexOf(position.origin), logs.indexOf(end.origin)];
  return here > there || (here === there && position.size > end.size);
}

/** The value of slot `index`: 0 not withdrawn, 1 invalid for good, 2 invalid for now. */
export function slotValue({ packed, bits }, index) {
  const at = Math.floor((index * bits) / 8);
  if (at >= packed.length) throw new Refused("status.index", `slot ${index}`);
  return (packed[at] >> ((index * bits) % 8)) & ((1 << bits) - 1);
}

/** A whole zlib stream, nothing behind it, not larger than a list can be. */
async function inflate(lst) {
  const parts = [];
  let length = 0;
  try {
    const reader = new Blob([base64url(lst)]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      length += part.value.length;
      if (length > MAX_INFLATED) { await reader.cancel(); throw new Refused("status.malformed", "too long"); }
      parts.push(part.value);
    }
  } catch { throw new Refused("status.malformed", "lst"); }
  if (length === 0) throw new Refused("status.malformed", "empty");
  const packed = new Uint8Array(length);
  let at = 0;
  for (const part of parts) { packed.set(part, at); at += part.length; }
  return packed;
}
