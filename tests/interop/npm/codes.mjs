// jsqr and zxing-wasm read the picture of a code.
//
// Given {pictures: {name: base64 PNG}}; answers {name: {jsqr: text, zxing: text}}.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import jsqr from "jsqr";
import { PNG } from "pngjs";
import { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";
import { exchange } from "./exchange.mjs";

// Without this it would ask a server for its own code.
const wasm = createRequire(import.meta.url).resolve("zxing-wasm/reader/zxing_reader.wasm");
prepareZXingModule({ overrides: { wasmBinary: await readFile(wasm) } });

await exchange(async ({ pictures }) => {
  const answers = {};
  for (const [name, picture] of Object.entries(pictures)) {
    const file = Buffer.from(picture, "base64");
    const { data, width, height } = PNG.sync.read(file);
    const found = await readBarcodes(new Uint8Array(file), { formats: ["QRCode"] });
    answers[name] = {
      jsqr: jsqr.default(Uint8ClampedArray.from(data), width, height)?.data,
      zxing: found[0]?.text,
    };
  }
  return answers;
});
