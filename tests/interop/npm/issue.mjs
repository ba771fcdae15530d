// @sd-jwt/sd-jwt-vc issues with a key, a certificate and claims of ours.
//
// Given {key: JWK, certificate: base64 DER, claims, frame}; answers the compact form.
import { digest, ES256, generateSalt } from "@sd-jwt/crypto-nodejs";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";
import { exchange } from "./exchange.mjs";

await exchange(async ({ key, certificate, claims, frame }) => {
  const instance = new SDJwtVcInstance({
    hasher: digest,
    hashAlg: "sha-256",
    saltGenerator: generateSalt,
    signAlg: ES256.alg,
    signer: await ES256.getSigner(key),
  });
  return instance.issue(claims, frame, { header: { x5c: [certificate] } });
});
