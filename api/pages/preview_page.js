// The second officer's page: shows one fraud case with all that upholding it would do, and sends a decision on exactly
// the preview that was shown. Token, officer and case stay in this page's memory.

const EFFECTS = { revoked: "撤销 revoked", suspended: "暂停，复核 suspended, review", notice: "告知 notice" };
const CAUSES = { direct: "直接 direct", inherited: "连带 inherited" };
const BASES = { identity: "主体身份 identity", qualification: "资格 qualification", evidence: "佐证 evidence",
  version: "前一版本 earlier version", contains: "办件材料 material" };
const STATES = { open: "待决定 open", upheld: "已认定成立 upheld", dismissed: "不予认定 dismissed", reversed: "已撤销原决定 reversed" };
const KINDS = { submission: "办件 submission", material: "材料 material", licence: "证照 licence", credit_check: "信用核查 credit check",
  foreign: "外地证照 foreign" };
const STEPS = { notice: "告知 notice", statement: "陈述申辩 statement", waiver: "放弃陈述 waiver" };
const ROWS_AT_ONCE = 200;

const at = (id) => document.getElementById(id);
const shown = { flag: "", preview: null, names: new Map(), rows: 0 };
let sent = { body: "", key: "" };

async function call(method, path, body) {
  const headers = { "Accept": "application/json", "Authorization": `Bearer ${at("token").value.trim()}`,
    "Elicence-Operator": encodeURIComponent(at("operator").value.trim()) };
  if (body !== undefined) {
    // The same decision sent twice is one decision; another one gets another key.
    if (body !== sent.body) sent = { body, key: crypto.randomUUID() };
    Object.assign(headers, { "Content-Type": "application/json", "Idempotency-Key": sent.key });
  }
  const answer = await ask(path, { method, headers, body, cache: "no-store" });
  return { ok: answer.ok, body: await answer.json() };
}

class Offline extends Error {}

async function ask(path, options) {
  try { return await fetch(path, { ...options, credentials: "omit", referrerPolicy: "no-referrer" }); }
  catch (error) {
    if (error instanceof TypeError) throw new Offline();
    throw error;
  }
}

function say(word, why, kind) {
  const box = at("message");
  box.hidden = false;
  box.className = `card verdict ${kind}`;
  box.dataset.outcome = kind;
  at("word").textContent = word;
  at("why").textContent = why;
}

const refused = (problem) =>
  say("未完成 Not done", [problem.title, problem.detail].filter(Boolean).join("："), "undetermined");

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

async function load() {
  const flag = at("flag").value.trim();
  const { ok, body } = await call("GET", `/v1/fraud-flags/${encodeURIComponent(flag)}`);
  for (const id of ["case", "effects", "decision", "message"]) at(id).hidden = true;
  if (!ok) { refused(body); return; }
  shown.names = await departmentNames();
  showCase(body);
  Object.assign(shown, { flag, preview: body.preview ?? null, rows: 0 });
  if (body.preview) showPreview(body.preview, body.concerned);
}

/** Names of the region's departments from its public trust list; without it their codes are shown. */
async function departmentNames() {
  const answer = await ask("/trust-list", {});
  if (!answer.ok) return new Map();
  const payload = (await answer.text()).split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
  return new Map(JSON.parse(new TextDecoder().decode(bytes)).departments.map((each) => [each.id, each.names.zh]));
}

const nameOf = (department) => [shown.names.get(department), department].filter(Boolean).join(" ");

function showCase(body) {
  const targets = body.targets.flatMap((each) => Object.entries(each)).map(([kind, id]) => `${KINDS[kind]} ${id}`);
  const facts = [["状态 State", STATES[body.state] ?? body.state], ["提出部门 Raised by", nameOf(body.raised_by)],
    ["提出人 Flagged by", body.officer], ["涉嫌造假 Suspected", targets.join("；")],
    ["当事人 Concerned", String(body.concerned.length)]];
  if (body.decision) {
    const counts = Object.entries(body.decision.effects).map(([effect, n]) => `${EFFECTS[effect]} ${n}`).join("；");
    facts.push(["决定 Decision", `${STATES[body.decision.outcome]} · ${body.decision.document_no} · ${body.decision.decided_at}`]);
    facts.push(["决定人 Decided by", body.decision.officer], ["后果 Effects", counts || "无 none"]);
  }
  at("facts").replaceChildren(...facts.flatMap(([term, text]) => [element("dt", term), element("dd", text)]));
  const frozen = body.freezes.map((each) =>
    `冻结 freeze · ${each.document_no} · 至 until ${each.until}${each.ended ? " · 已结束 ended" : ""}`);
  const steps = body.steps.map((each) => [STEPS[each.step], each.document_no, each.served_at && `送达 served ${each.served_at}`,
    each.respond_by && `答复期至 respond by ${each.respond_by}`, `#${each.entry}`].filter(Boolean).join(" · "));
  const lines = [...frozen, ...steps];
  at("steps").replaceChildren(...(lines.length ? lines : ["尚无 none"]).map((line) => element("li", line)));
  at("case").hidden = false;
}

function showPreview(preview, concerned) {
  const counts = Object.keys(EFFECTS).map((effect) => [effect, preview.effects.filter((each) => each.effect === effect).length]);
  at("counts").textContent = `共 ${preview.effects.length} 件证照 licences：`
    + counts.map(([effect, n]) => `${EFFECTS[effect]} ${n}`).join("；");
  at("rows").replaceChildren();
  showMore();
  at("digest").textContent = preview.digest;
  at("size").textContent = String(preview.size);
  at("concerned").replaceChildren(...concerned.map((subject) => {
    const label = element("label", ` 当事人 subject ${subject}`);
    const box = element("input", "", { type: "checkbox", name: "liable", value: subject });
    label.prepend(box);
    return label;
  }));
  at("read").checked = false;
  at("effects").hidden = at("decision").hidden = false;
}

function showMore() {
  const next = shown.preview.effects.slice(shown.rows, shown.rows + ROWS_AT_ONCE);
  at("rows").append(...next.map(row));
  shown.rows += next.length;
  at("more").hidden = shown.rows >= shown.preview.effects.length;
}

function row(each) {
  const line = document.createElement("tr");
  line.dataset.licence = each.licence;
  const parent = each.parent ? `${KINDS[each.parent.kind]} ${each.parent.id}` : "—";
  line.append(element("th", each.licence, { scope: "row" }), element("td", EFFECTS[each.effect], { class: `effect-${each.effect}` }),
    element("td", CAUSES[each.cause]), element("td", BASES[each.basis] ?? "—"), element("td", parent), element("td", nameOf(each.by)));
  const cell = document.createElement("td");
  cell.append(element("input", "", { type: "checkbox", name: "spared", value: each.licence,
    "aria-label": `不予处理 spare ${each.licence}` }));
  line.append(cell);
  return line;
}

const ticked = (name) => [...document.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value);

/** The decision as the service takes it; its `preview` is the digest of what stands on this page, nothing newer. */
function ruling() {
  const upheld = ticked("outcome")[0] === "upheld";
  const reason = at("spared-reason").value.trim();
  const body = {
    outcome: upheld ? "upheld" : "dismissed", document_no: at("document-no").value.trim(),
    articles: at("articles").value.split("\n").map((line) => line.trim()).filter(Boolean), preview: shown.preview.digest,
    liable: upheld ? ticked("liable").map((subject) => ({ subject, role: at("role").value.trim(), class: at("class").value,
      list_entry: at("list-entry").value.trim(), measures: [], bans: [] })) : [],
    spared: upheld ? ticked("spared").map((licence) => ({ licence, reason })) : [],
  };
  if (upheld && at("appealable").value) body.appealable_until = at("appealable").value;
  return body;
}

async function decide() {
  const body = ruling();
  const missing = body.liable.length && !(body.liable[0].role && body.liable[0].list_entry) ? "身份和清单条目 role and list entry"
    : body.spared.length && !body.spared[0].reason ? "不予处理的理由 why they are spared" : "";
  if (missing) { say("未完成 Not done", `请填写 please give: ${missing}`, "undetermined"); return; }
  const answer = await call("POST", `/v1/fraud-flags/${encodeURIComponent(shown.flag)}/decision`, JSON.stringify(body));
  if (!answer.ok) { refused(answer.body); return; }
  await load();
  const counts = Object.entries(answer.body.effects ?? {}).map(([effect, n]) => `${EFFECTS[effect]} ${n}`).join("；");
  say(STATES[body.outcome], counts || "无后果 no effects", "valid");
}

/** Run one action of a form at a time; a network that is down is said, anything else unexpected is not hidden. */
async function once(form, action) {
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  try { await action(); }
  catch (error) {
    if (!(error instanceof Offline)) throw error;
    say("未完成 Not done", "网络不可用 The network is down", "undetermined");
  } finally { button.disabled = false; }
}

for (const [id, action] of [["desk", load], ["decision", decide]]) {
  at(id).addEventListener("submit", (event) => { event.preventDefault(); once(at(id), action); });
}
at("more").addEventListener("click", showMore);
