// A printed code, read in this browser exactly as verifiers/code.py reads it (docs/formats/static-code.md).
// Pure functions: no page, no request, no clock. What Python refuses is refused here, and for the same reason.

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DAY_ZERO = Date.UTC(2000, 0, 1);
const DAY_MS = 86_400_000;
const OPEN_ENDED = 0xffff;
const MAX_BYTES = 180, MAX_TEXT = 1024, MAX_SERIAL = 40, MAX_NAME = 36, MAX_VERSION = 999;
const SIGNATURE_BYTES = 64, KID_BYTES = 8;
// tag 18, array(4), bstr(13), {1: -7, 4: bstr(8) …: exactly these, so that no other algorithm can be asked for.
const HEAD = [0xd2, 0x84, 0x4d, 0xa2, 0x01, 0x26, 0x04, 0x48];

/** Something presented that is not in the one form we accept; `code` is a reason of verifiers/errors.py. */
export class Refused extends Error {
  constructor(code, detail = "") { super(detail ? `${code}: ${detail}` : code); this.code = code; this.detail = detail; }
}

const malformed = (detail) => new Refused("code.malformed", detail);

/** Bytes of an upper-case base32 text without padding; what would not print back the same is refused. */
export function base32(text) {
  const out = [];
  let bits = 0, value = 0;
  for (const character of text) {
    const digit = BASE32.indexOf(character);
    if (digit < 0) throw malformed("base32");
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits >= 8) { bits -= 8; out.push((value >> bits) & 0xff); }
  }
  if (bits >= 5 || (value & ((1 << bits) - 1)) !== 0) throw malformed("base32");
  return Uint8Array.from(out);
}

/** CBOR byte string of at most 255 bytes in its shortest form (RFC 8949 §4.2.1). */
const byteString = (bytes) => [...(bytes.length < 24 ? [0x40 + bytes.length] : [0x58, bytes.length]), ...bytes];

const same = (left, right) => left.length === right.length && left.every((byte, i) => byte === right[i]);

/** The parts of our COSE_Sign1: key id (8 bytes), what was signed, signature and payload (RFC 9052 §4.2, §4.4). */
export function openCose(bytes) {
  if (bytes.length > MAX_BYTES || !same([...bytes.slice(0, HEAD.length)], HEAD)) throw malformed("cose");
  const kid = bytes.slice(HEAD.length, HEAD.length + KID_BYTES);
  const rest = bytes.slice(HEAD.length + KID_BYTES);
  const end = rest.length - SIGNATURE_BYTES;
  if (rest.length < 69 || rest[0] !== 0xa0 || rest[end - 2] !== 0x58 || rest[end - 1] !== SIGNATURE_BYTES) {
    throw malformed("cose");
  }
  const body = rest.slice(1, end - 2);
  const payload = body[0] < 0x58 ? body.slice(1) : body.slice(2);
  if (!same([...body], byteString(payload))) throw malformed("cose");
  const signed = Uint8Array.from([0x84, 0x6a, ...new TextEncoder().encode("Signature1"),
    ...HEAD.slice(2), ...kid, 0x40, ...byteString(payload)]);
  return { kid, signed, signature: rest.slice(end), payload };
}

/** A day number as a calendar date; 65535 stands for 长期 and is no day. */
function day(number) {
  if (number === OPEN_ENDED) throw malformed("date");
  return new Date(DAY_ZERO + number * DAY_MS).toISOString().slice(0, 10);
}

/** Bytes that a serial of `length` characters takes, packed as one base-36 number. */
const serialBytes = (length) => Math.ceil((36n ** BigInt(length) - 1n).toString(2).length / 8);

function unpackSerial(bytes, length) {
  let number = 0n, serial = "";
  for (const byte of bytes) number = (number << 8n) | BigInt(byte);
  for (let i = 0; i < length; i += 1) { serial = BASE36[Number(number % 36n)] + serial; number /= 36n; }
  if (number !== 0n) throw malformed("serial");
  return serial;
}

function text(bytes) {
  try { return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes); }
  catch { throw malformed("name"); }
}

/** The printed facts of a code's payload; all numbers are big-endian. */
export function readPayload(payload) {
  if (payload.length < 21 || payload[0] !== 1) throw malformed("version");
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const length = payload[17];
  if (length < 1 || length > MAX_SERIAL) throw malformed("serial");
  const nameAt = 18 + serialBytes(length);
  if (nameAt >= payload.length) throw malformed("length");
  const version = view.getUint16(5), until = view.getUint16(9);
  if (version < 1 || version > MAX_VERSION) throw malformed("version");
  const flags = payload[nameAt], name = payload.slice(nameAt + 1);
  if (name.length < 1 || name.length > MAX_NAME || name.length !== (flags & 0x3f)) throw malformed("name");
  return {
    type: view.getUint16(1), issuer: view.getUint16(3), version,
    validFrom: day(view.getUint16(7)), validUntil: until === OPEN_ENDED ? null : day(until),
    list: view.getUint16(11), index: view.getUint32(13),
    serial: unpackSerial(payload.slice(18, nameAt), length), name: text(name),
    nameCut: (flags & 0x80) !== 0, severalHolders: (flags & 0x40) !== 0,
  };
}

/** The code in what stands behind the `#`: `{ kid, signed, signature, facts }`, believed by nobody yet. */
export function readCode(fragment) {
  if (fragment.length > MAX_TEXT) throw malformed("length");
  const { kid, signed, signature, payload } = openCose(base32(fragment));
  return { kid, signed, signature, facts: readPayload(payload) };
}
