// @sd-jwt/sd-jwt-vc reads type metadata, the documents that `vct` names.
//
// Given {documents: {name: object}}; answers {name: {found: object} | {error}}.
import { TypeMetadataFormatSchema } from "@sd-jwt/sd-jwt-vc";
import { exchange, verdict } from "./exchange.mjs";

await exchange(async ({ documents }) => {
  const answers = {};
  for (const [name, document] of Object.entries(documents)) {
    answers[name] = await verdict(() => TypeMetadataFormatSchema.parse(document));
  }
  return answers;
});
