// @sd-jwt/jwt-status-list decodes status list tokens, and encodes lists of its own.
//
// Given {tokens: {name: token}, encode: {name: {bits, statuses: base64, one byte a slot}}}; answers
// {decoded: {name: {bits, statuses: base64}}, encoded: {name: lst}}.
import { getListFromStatusListJWT, StatusList } from "@sd-jwt/jwt-status-list";
import { exchange } from "./exchange.mjs";

await exchange(async ({ tokens, encode }) => {
  const decoded = {};
  const encoded = {};
  for (const [name, token] of Object.entries(tokens)) {
    const list = getListFromStatusListJWT(token);
    const statuses = Buffer.from(list.statusList.map((_, slot) => list.getStatus(slot)));
    decoded[name] = { bits: list.getBitsPerStatus(), statuses: statuses.toString("base64") };
  }
  for (const [name, { bits, statuses }] of Object.entries(encode)) {
    encoded[name] = new StatusList([...Buffer.from(statuses, "base64")], bits).compressStatusList();
  }
  return { decoded, encoded };
});
