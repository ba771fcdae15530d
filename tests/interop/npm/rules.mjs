// certlogic-js judges rules of recognition.
//
// Given {cases: [{logic, data}]}; answers [{found: what the rule gives} | {error}].
import certlogic from "certlogic-js";
import { exchange, verdict } from "./exchange.mjs";

await exchange(async ({ cases }) => {
  const answers = [];
  for (const { logic, data } of cases) answers.push(await verdict(() => certlogic.evaluate(logic, data)));
  return answers;
});
