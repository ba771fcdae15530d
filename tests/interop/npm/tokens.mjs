// jose verifies trust lists and status list tokens with the key of the leaf certificate; Node's X.509 code the path.
//
// Given {tokens: {name: {token, typ}}, root: base64 DER};
// answers {name: {found: {claims, kid, root: hex SHA-256 of the root that signed the leaf}} | {error}}.
import { X509Certificate } from "node:crypto";
import { importX509, jwtVerify } from "jose";
import { chainOf } from "./certificates.mjs";
import { exchange, verdict } from "./exchange.mjs";

async function verify({ token, typ }, root) {
  const [leaf] = chainOf(token);
  const key = await importX509(leaf.toString(), "ES256");
  const { payload, protectedHeader } = await jwtVerify(token, key, { typ, algorithms: ["ES256"] });
  if (!leaf.checkIssued(root) || !leaf.verify(root.publicKey)) throw new Error("the root did not sign the leaf");
  return { claims: payload, kid: protectedHeader.kid, root: root.fingerprint256.replaceAll(":", "").toLowerCase() };
}

await exchange(async ({ tokens, root }) => {
  const issuer = new X509Certificate(Buffer.from(root, "base64"));
  const answers = {};
  for (const [name, given] of Object.entries(tokens)) answers[name] = await verdict(() => verify(given, issuer));
  return answers;
});
