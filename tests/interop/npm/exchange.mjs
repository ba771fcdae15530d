// What every judge here does: read one JSON value from standard input, write one to standard output.
import { text } from "node:stream/consumers";

export async function exchange(judge) {
  const given = JSON.parse(await text(process.stdin));
  process.stdout.write(JSON.stringify(await judge(given)));
}

/** Returns what `verify` gives, or why it refuses. */
export async function verdict(verify) {
  try {
    return { found: await verify() };
  } catch (error) {
    return { error: String(error.message ?? error) };
  }
}
