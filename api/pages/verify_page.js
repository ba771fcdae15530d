// The page behind a printed code: fetches whole lists of this site, checks here, sends nothing of the code.
import { base32, base64url, openCose, readJws, readPayload, signedBy, slotValue, Unreadable } from "/pages/static_code.js";

const WORDS = {
  valid: ["有效", "Valid"], invalid: ["无效", "Invalid"], undetermined: ["无法判定", "Cannot tell"],
};
const REASONS = {
  "code.missing": ["链接中没有码", "There is no code in this link"],
  "code.malformed": ["码无法读取", "The code cannot be read"],
  "key.unknown": ["签发密钥不在信任列表中", "The signing key is not in the trust list"],
  "key.compromised": ["签发密钥已失密，须联网由窗口核验", "The signing key is compromised: ask a window to check online"],
  "signature.bad": ["签名不符，码可能是伪造的", "The signature does not fit: the code may be forged"],
  "scope.exceeded": ["签发部门无权签发此类证照", "The department may not issue this kind of licence"],
  "validity.not_yet": ["尚未生效", "Not yet valid"],
  "validity.expired": ["已过有效期", "Expired"],
  "trust_list.unavailable": ["无法取得信任列表", "The trust list could not be fetched"],
  "trust_list.expired": ["信任列表已过期", "The trust list has expired"],
  "status.unavailable": ["无法取得状态列表", "The status list could not be fetched"],
  "status.stale": ["状态列表已过期", "The status list is out of date"],
  "status.malformed": ["状态列表不可信", "The status list cannot be trusted"],
  "status.invalid": ["已失效（撤销、注销或被新版取代）", "No longer in force (revoked, cancelled or superseded)"],
  "status.suspended": ["暂停或撤销尚在救济期", "Suspended, or revoked and still open to appeal"],
};

class Found extends Error {
  constructor(outcome, code) { super(code); this.outcome = outcome; this.code = code; }
}
const steps = [];
const passed = (zh, en, detail = "") => steps.push([`${zh} ${en}`, `通过 passed${detail && ` · ${detail}`}`]);

async function fetchText(url, outcome, code) {
  let answer;
  try { answer = await fetch(url, { cache: "no-cache", credentials: "omit", referrerPolicy: "no-referrer" }); }
  catch { throw new Found(outcome, code); }
  if (!answer.ok) throw new Found(outcome, code);
  return answer.text();
}

/** A code's key: of purpose `code`, its id begins with the eight bytes that the code names. */
function keyOf(trust, kid) {
  const same = (key) => base64url(key.kid).slice(0, 8).every((byte, i) => byte === kid[i]);
  const key = trust.keys.find((each) => each.purpose === "code" && same(each));
  if (!key) throw new Found("invalid", "key.unknown");
  if (key.revoked) throw new Found("undetermined", "key.compromised");
  return key;
}

function checkScope(trust, key, facts) {
  const department = trust.departments.find((each) => each.num === facts.issuer);
  const type = trust.types.find((each) => each.num === facts.type);
  const granted = department && type && department.id === key.department && trust.grants.some((grant) =>
    grant.department === department.id && grant.type === type.code && grant.major === type.major
    && grant.acts.includes("issue"));
  if (!granted) throw new Found("invalid", "scope.exceeded");
  return { department, type };
}

async function checkStatus(trust, facts, now) {
  const list = trust.status_lists.find((each) => each.num === facts.list);
  if (!list) throw new Found("invalid", "status.malformed");
  const path = new URL(list.uri).pathname;
  const token = readJws(await fetchText(path, "undetermined", "status.unavailable"));
  const key = trust.keys.find((each) => each.purpose === "status" && each.kid === token.header.kid && !each.revoked);
  if (!key || token.header.typ !== "statuslist+jwt" || token.claims.sub !== list.uri
    || !(await signedBy(base64url(key.spki), token.signature, token.signed))) {
    throw new Found("undetermined", "status.malformed");
  }
  if (token.claims.exp <= now) throw new Found("undetermined", "status.stale");
  const value = await slotValue(token.claims.status_list.lst, token.claims.status_list.bits, facts.index);
  if (value === null) throw new Found("invalid", "status.malformed");
  if (value === 2) throw new Found("invalid", "status.suspended");
  if (value !== 0) throw new Found("invalid", "status.invalid");
  passed("状态列表", "status list", `${Math.max(0, Math.round(now - token.claims.iat))} s`);
}

function show(outcome, code) {
  const box = document.getElementById("verdict");
  box.className = `card verdict ${outcome}`;
  box.dataset.outcome = outcome;
  box.dataset.reason = code ?? "";
  document.getElementById("word").textContent = `${WORDS[outcome][0]} ${WORDS[outcome][1]}`;
  const [zh, en] = code ? REASONS[code] : ["签名、签发权限、有效期和状态均已核验；此码不含入账凭证",
    "Signature, the issuer's right to issue, validity and status were checked; the code carries no log receipt"];
  document.getElementById("why").textContent = zh;
  document.getElementById("why-en").textContent = en;
  fill("steps", steps);
  document.getElementById("checks").hidden = steps.length === 0;
}

function fill(id, rows) {
  const list = document.getElementById(id);
  list.replaceChildren(...rows.flatMap(([term, value]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = term; dd.textContent = value;
    return [dt, dd];
  }));
}

function showFacts(facts, { department, type }) {
  const name = facts.name + (facts.nameCut ? "…" : "") + (facts.severalHolders ? " 等" : "");
  fill("fields", [
    ["证照类型 Type", `${type.names.zh} ${type.names.en ?? ""}`], ["持证主体 Holder", name],
    ["发证机关 Issuer", department.names.zh], ["证照流水号 Serial", `${facts.serial} · ${String(facts.version).padStart(3, "0")}`],
    ["有效期 Validity", `${facts.validFrom} – ${facts.validUntil ?? "长期 open-ended"}`],
  ]);
  document.getElementById("facts").hidden = false;
}

async function check() {
  const text = location.hash.slice(1);
  if (!text) throw new Found("undetermined", "code.missing");
  const cose = openCose(base32(text));
  const facts = readPayload(cose.payload);
  const now = Date.now() / 1000;
  const trust = readJws(await fetchText("/trust-list", "undetermined", "trust_list.unavailable")).claims;
  if (trust.exp <= now) throw new Found("undetermined", "trust_list.expired");
  passed("信任列表", "trust list", `#${trust.seq}`);
  const key = keyOf(trust, cose.kid);
  if (!(await signedBy(base64url(key.spki), cose.signature, cose.signed))) throw new Found("invalid", "signature.bad");
  passed("签名", "signature");
  const names = checkScope(trust, key, facts);
  passed("签发权限", "issuer's scope");
  showFacts(facts, names);
  const today = new Date((now + 8 * 3600) * 1000).toISOString().slice(0, 10);
  if (today < facts.validFrom) throw new Found("invalid", "validity.not_yet");
  if (facts.validUntil && today > facts.validUntil) throw new Found("invalid", "validity.expired");
  passed("有效期", "validity");
  await checkStatus(trust, facts, now);
}

async function run() {
  try { await check(); show("valid"); }
  catch (error) {
    if (error instanceof Found) show(error.outcome, error.code);
    else if (error instanceof Unreadable || error instanceof RangeError || error instanceof TypeError || error instanceof SyntaxError) show("invalid", "code.malformed");
    else throw error;
  }
}

addEventListener("hashchange", () => { steps.length = 0; run(); });
run();
