// A printed code, read and checked in this browser (docs/formats/static-code.md). Pure functions: no page, no request.

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DAY_ZERO = Date.UTC(2000, 0, 1);
const OPEN_ENDED = 0xffff;
const MAX_BYTES = 180;

export class Unreadable extends Error {}

/** Bytes of an upper-case base32 text without padding; anything that would not print back the same is refused. */
export function base32(text) {
  const out = [];
  let bits = 0, value = 0;
  for (const character of text) {
    const digit = BASE32.indexOf(character);
    if (digit < 0) throw new Unreadable("base32");
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits >= 8) { bits -= 8; out.push((value >> bits) & 0xff); }
  }
  if (bits >= 5 || (value & ((1 << bits) - 1)) !== 0) throw new Unreadable("base32");
  return Uint8Array.from(out);
}

export function base64url(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (c) => c.charCodeAt(0));
}

/** The byte string at `at` of a CBOR text whose lengths are below 256, and where it ends. */
function byteString(bytes, at) {
  const first = bytes[at];
  if (first >= 0x40 && first < 0x58) return [bytes.slice(at + 1, at + 1 + first - 0x40), at + 1 + first - 0x40];
  if (first === 0x58 && bytes[at + 1] >= 24) return [bytes.slice(at + 2, at + 2 + bytes[at + 1]), at + 2 + bytes[at + 1]];
  throw new Unreadable("cbor");
}

function byteStringHead(length) {
  return length < 24 ? [0x40 + length] : length < 256 ? [0x58, length] : [0x59, length >> 8, length & 0xff];
}

/** The parts of a COSE_Sign1: key id, what was signed, the signature and the payload (RFC 9052 §4.2, §4.4). */
export function openCose(bytes) {
  if (bytes.length > MAX_BYTES) throw new Unreadable("length");
  let at = 0;
  if (bytes[at] === 0xd2) at += 1;
  if (bytes[at] !== 0x84) throw new Unreadable("cose");
  const [head, afterHead] = byteString(bytes, at + 1);
  if (bytes[afterHead] !== 0xa0) throw new Unreadable("cose");
  const [payload, afterPayload] = byteString(bytes, afterHead + 1);
  const [signature, end] = byteString(bytes, afterPayload);
  if (end !== bytes.length || signature.length !== 64) throw new Unreadable("cose");
  // {1: -7, 4: kid[8]}: exactly these bytes, so that no other algorithm can be asked for.
  const fixed = [0xa2, 0x01, 0x26, 0x04, 0x48];
  if (head.length !== 13 || fixed.some((byte, i) => head[i] !== byte)) throw new Unreadable("cose");
  const context = [0x84, 0x6a, ...new TextEncoder().encode("Signature1")];
  const signed = Uint8Array.from([...context, ...byteStringHead(head.length), ...head, 0x40,
    ...byteStringHead(payload.length), ...payload]);
  return { kid: head.slice(5), signed, signature, payload };
}

const day = (number) => new Date(DAY_ZERO + number * 86400000).toISOString().slice(0, 10);

/** The printed facts of a code's payload. */
export function readPayload(payload) {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (view.getUint8(0) !== 1) throw new Unreadable("version");
  const until = view.getUint16(9);
  const facts = {
    type: view.getUint16(1), issuer: view.getUint16(3), version: view.getUint16(5),
    validFrom: day(view.getUint16(7)), validUntil: until === OPEN_ENDED ? null : day(until),
    list: view.getUint16(11), index: view.getUint32(13),
  };
  const length = view.getUint8(17);
  const packed = Math.ceil((length * Math.log2(36)) / 8);
  let number = 0n;
  for (const byte of payload.slice(18, 18 + packed)) number = (number << 8n) | BigInt(byte);
  let serial = "";
  for (let i = 0; i < length; i += 1) { serial = BASE36[Number(number % 36n)] + serial; number /= 36n; }
  if (number !== 0n) throw new Unreadable("serial");
  const flags = view.getUint8(18 + packed);
  const name = payload.slice(19 + packed);
  if (name.length !== (flags & 0x3f)) throw new Unreadable("name");
  return { ...facts, serial, name: new TextDecoder("utf-8", { fatal: true }).decode(name),
    nameCut: (flags & 0x80) !== 0, severalHolders: (flags & 0x40) !== 0 };
}

/** True when `signature` (r‖s) by the P-256 key in `spki` covers `signed`. */
export async function signedBy(spki, signature, signed) {
  const key = await crypto.subtle.importKey("spki", spki, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signature, signed);
}

/** Header, claims, signature and signed bytes of a compact JWS; nothing is believed yet. */
export function readJws(compact) {
  const parts = compact.trim().split(".");
  if (parts.length !== 3) throw new Unreadable("jws");
  const json = (part) => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(base64url(part)));
  return { header: json(parts[0]), claims: json(parts[1]), signature: base64url(parts[2]),
    signed: new TextEncoder().encode(`${parts[0]}.${parts[1]}`) };
}

/** The value of slot `index` in the zlib-packed list `lst` of `bits` a slot; null beyond its end. */
export async function slotValue(lst, bits, index) {
  const stream = new Blob([base64url(lst)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const at = Math.floor((index * bits) / 8);
  return at >= bytes.length ? null : (bytes[at] >> ((index * bits) % 8)) & ((1 << bits) - 1);
}
