// Keys from the certificates in a token's header, read by Node's own X.509 code.
import { X509Certificate } from "node:crypto";
import { decodeProtectedHeader } from "jose";

/** Returns the certificates of the `x5c` header of a compact token, leaf first. */
export function chainOf(token) {
  const { x5c } = decodeProtectedHeader(token.split("~")[0]);
  return x5c.map((text) => new X509Certificate(Buffer.from(text, "base64")));
}

/** Returns the public key of a compact token's leaf certificate as a JWK. */
export function jwkOf(token) {
  return chainOf(token)[0].publicKey.export({ format: "jwk" });
}
