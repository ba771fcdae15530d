// @sd-jwt/sd-jwt-vc verifies licences: signature, disclosures, times, and the status that it looks up itself.
//
// Given {licences: {name: compact}, lists: {uri: token}}; answers {name: {found: {claims, asked}} | {error}}.
import { digest, ES256 } from "@sd-jwt/crypto-nodejs";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";
import { jwkOf } from "./certificates.mjs";
import { exchange, verdict } from "./exchange.mjs";

async function verify(compact, lists) {
  const asked = [];
  const instance = new SDJwtVcInstance({
    hasher: digest,
    verifier: await ES256.getVerifier(jwkOf(compact)),
    statusListFetcher: async (uri) => {
      asked.push(uri);
      if (!(uri in lists)) throw new Error(`no status list ${uri}`);
      return lists[uri];
    },
    statusVerifier: async (data, signature) => (await ES256.getVerifier(jwkOf(lists[asked[0]])))(data, signature),
  });
  const { payload } = await instance.verify(compact);
  return { claims: payload, asked };
}

await exchange(async ({ licences, lists }) => {
  const answers = {};
  for (const [name, compact] of Object.entries(licences)) answers[name] = await verdict(() => verify(compact, lists));
  return answers;
});
