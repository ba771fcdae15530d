// The dynamic code, minted on the phone as verifiers/dynamic_code.py mints it (docs/formats/dynamic-code.md).
// No page, no request; the time is given. `subtle` is that of the browser, or of node.

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE = /^HTTPS?:\/\/[A-Z0-9.\-:]{1,80}$/;
const CONTEXT = new TextEncoder().encode("elicence/dynamic/v1\0");
const VERSION = 1, HANDLE_BYTES = 10, KEY_BYTES = 32, MAC_BYTES = 10;

/** Length of a slice in seconds: each has one text. */
export const SLICE_S = 30;

/** Upper-case base32 without padding. */
export function base32(bytes) {
  let text = "", bits = 0, value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) text += BASE32[(value >> (bits - 5)) & 31];
  }
  return bits ? text + BASE32[(value << (5 - bits)) & 31] : text;
}

/**
 * A minter for one presentation: `base`, `handle` (10 bytes) and `key` (32 bytes) as `POST /v1/codes` gave them.
 *
 * The key is imported once and cannot be read back. What is returned gives the text to show at `seconds` since 1970.
 */
export async function minter(base, handle, key, subtle = crypto.subtle) {
  const prefix = base.replace(/\/+$/, "").toUpperCase();
  if (handle.length !== HANDLE_BYTES || key.length !== KEY_BYTES || !BASE.test(prefix)) {
    throw new RangeError("a handle has 10 bytes, a key 32, and a base URL is scheme, host and port");
  }
  const secret = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const message = new Uint8Array(CONTEXT.length + HANDLE_BYTES + 8);
  message.set(CONTEXT);
  message.set(handle, CONTEXT.length);
  return async (seconds) => {
    const slice = Math.floor(seconds / SLICE_S), said = message.slice();
    new DataView(said.buffer).setBigUint64(CONTEXT.length + HANDLE_BYTES, BigInt(slice));
    const mac = new Uint8Array(await subtle.sign("HMAC", secret, said), 0, MAC_BYTES);
    return `${prefix}/C/${base32([VERSION, ...handle, slice % 256, ...mac])}`;
  };
}
