// The page behind a printed code: fetches whole lists of this site, checks here, sends nothing of the code.
import { readCode, Refused } from "/pages/static_code.js";
import { openStatusList, openTrustList } from "/pages/signed_lists.js";
import { judge, listOf } from "/pages/code_verdict.js";
import TITLES from "/pages/reasons.js";

const WORDS = {
  valid: ["有效", "Valid"], invalid: ["无效", "Invalid"], undetermined: ["无法判定", "Cannot tell"],
  none: ["请扫描证照上的码", "Scan the code on a licence"],
};
const STEPS = {
  shape: ["码的格式", "form of the code"], trust_list: ["信任列表", "trust list"], key: ["签发密钥", "signing key"],
  signature: ["签名", "signature"], issuer: ["签发权限", "issuer's scope"], position: ["密钥和授权期限", "terms of key and grant"],
  validity: ["有效期", "validity"], status: ["状态列表", "status list"], clock: ["本机时钟", "this clock"],
};
const MARKS = { passed: "通过 passed", failed: "不符 failed", undetermined: "无法判定 cannot tell" };
const at = (id) => document.getElementById(id);

/** The text at `url` of this site, null where it cannot be had. */
async function fetchText(url) {
  try {
    const answer = await fetch(url, { cache: "no-cache", credentials: "omit", referrerPolicy: "no-referrer" });
    return answer.ok ? await answer.text() : null;
  } catch (error) {
    if (error instanceof TypeError) return null; // no network
    throw error;
  }
}

/** What `open` gives; the reason where it refuses; null where there is nothing to open. */
async function opened(text, open) {
  if (text === null) return null;
  try { return await open(text); }
  catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
}

async function check(fragment) {
  let code;
  try { code = readCode(fragment); }
  catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { outcome: "invalid", reasons: [error.code], checks: [{ step: "shape", outcome: "failed", age_s: null }], notes: [] };
  }
  const trust = await opened(await fetchText("/trust-list"), openTrustList);
  const usable = trust !== null && !(trust instanceof Refused);
  const uri = usable ? listOf(trust, code.facts) : null;
  // Lists are served by the region itself, under its present or a former name: the path is the same.
  const status = uri === null ? null
    : await opened(await fetchText(new URL(uri).pathname), (text) => openStatusList(text, trust, uri));
  const verdict = await judge(code, trust, status, Date.now() / 1000);
  return { ...verdict, facts: code.facts, root: usable ? trust.root : null };
}

function fill(id, rows) {
  at(id).replaceChildren(...rows.flatMap(([term, value]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = term; dd.textContent = value;
    return [dt, dd];
  }));
  at(id).closest("section").hidden = rows.length === 0;
}

function show(verdict) {
  const box = at("verdict");
  box.className = `card verdict ${verdict.outcome}`;
  box.dataset.outcome = verdict.outcome;
  box.dataset.reasons = verdict.reasons.join(" ");
  at("word").textContent = WORDS[verdict.outcome].join(" ");
  const told = [...verdict.reasons, ...verdict.notes];
  at("why").textContent = told.map((code) => TITLES[code][0]).join("；");
  at("why-en").textContent = told.map((code) => TITLES[code][1]).join("; ");
  fill("fields", verdict.names ? factsOf(verdict.facts, verdict.names) : []);
  fill("steps", verdict.checks.map(({ step, outcome, age_s: age }) =>
    [STEPS[step].join(" "), MARKS[outcome] + (age === null ? "" : ` · ${age} s`)]));
  at("root").textContent = verdict.root ?? "";
}

/** What is printed, shown only once the signature held and the signer was entitled to it. */
function factsOf(facts, { department, type }) {
  return [
    ["证照类型 Type", `${type.names.zh} ${type.names.en}`],
    ["持证主体 Holder", facts.name + (facts.nameCut ? "…" : "") + (facts.severalHolders ? " 等" : "")],
    ["发证机关 Issuer", `${department.names.zh} ${department.names.en}`],
    ["流水号 · 版本 Serial · version", `${facts.serial} · ${String(facts.version).padStart(3, "0")}`],
    ["有效期 Validity", `${facts.validFrom} – ${facts.validUntil ?? "长期 open-ended"}`],
  ];
}

async function run() {
  const fragment = location.hash.slice(1);
  show(fragment ? await check(fragment) : { outcome: "none", reasons: [], checks: [], notes: [] });
}

addEventListener("hashchange", run);
run();
