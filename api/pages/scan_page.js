// The window's scan page: a keyboard-wedge scanner types into the field, or the camera looks; one code, one request.

const WORDS = { valid: "有效 Valid", invalid: "无效 Invalid", undetermined: "无法判定 Cannot tell" };
const FRAME_EVERY_MS = 250;
const FRAME_WIDTH = 960;
const field = (id) => document.getElementById(id);
let stream = null;

/** The answer of this service; null where the network is down. */
async function post(path, type, body, more = {}) {
  const headers = { "Content-Type": type, "Authorization": `Bearer ${field("token").value.trim()}`, ...more };
  try { return await fetch(path, { method: "POST", body, headers, referrerPolicy: "no-referrer", cache: "no-store" }); }
  catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

async function scan(text) {
  if (!field("desk").reportValidity()) return;
  field("code").disabled = true;
  const asked = { code: text.trim(), matter: field("matter").value.trim(), purpose: field("purpose").value.trim() };
  try {
    const answer = await post("/v1/scans", "application/json", JSON.stringify(asked), {
      "Elicence-Operator": encodeURIComponent(field("operator").value.trim()), "Idempotency-Key": crypto.randomUUID() });
    if (answer === null) showProblem({ title: "网络不可用，请改用离线核验 The network is down: check offline" });
    else if (answer.ok) showScan(await answer.json());
    else showProblem(await answer.json());
  } finally {
    field("code").disabled = false;
    field("code").value = "";
    field("code").focus();
  }
}

function showScan(scan) {
  const verdicts = scan.licences.map((each) => each.verdict);
  const ages = verdicts.flatMap((verdict) => verdict.checks).map((check) => check.age_s).filter(Number.isFinite);
  show(scan.outcome, WORDS[scan.outcome], verdicts.flatMap((verdict) => verdict.reasons).map((reason) => reason.title).join("；"),
    ages.length ? `信息最旧 ${Math.max(...ages)} 秒前 · oldest input ${Math.max(...ages)} s` : "");
  const rows = verdicts.flatMap((verdict) => [...leaves(verdict.licence ?? {})]);
  if (scan.credit) rows.push(["信用核查 credit check", [scan.credit.outcome, ...(scan.credit.conditions ?? [])].join(" · ")]);
  fill(rows);
}

function showProblem(problem) {
  show("problem", "未完成 Not done", [problem.title, problem.detail].filter(Boolean).join("："), "");
  fill([]);
}

function show(outcome, word, why, age) {
  const box = field("verdict");
  box.hidden = false;
  box.className = `card verdict ${outcome === "problem" ? "undetermined" : outcome}`;
  box.dataset.outcome = outcome;
  field("word").textContent = word;
  field("why").textContent = why;
  field("age").textContent = age;
}

/** Lists every value with the path that leads to it. */
function* leaves(value, path = []) {
  if (value !== null && typeof value === "object") {
    for (const [name, inner] of Object.entries(value)) yield* leaves(inner, [...path, name]);
  } else yield [path.join(" · "), String(value)];
}

function fill(rows) {
  field("fields").replaceChildren(...rows.flatMap(([term, text]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = term; dd.textContent = text;
    return [dt, dd];
  }));
  field("facts").hidden = rows.length === 0;
}

async function startCamera() {
  if (!field("desk").reportValidity()) return;
  stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  const view = field("view");
  view.srcObject = stream;
  view.hidden = false;
  await view.play();
  field("camera").textContent = "停止摄像头 · Stop the camera";
  await look();
}

function stopCamera() {
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  field("view").hidden = true;
  field("camera").textContent = "用摄像头扫描 · Use the camera";
}

/** The text of the code in one frame, null without one: read by the browser where it can, else by the window's own service. */
async function readFrame(canvas) {
  if ("BarcodeDetector" in window && (await BarcodeDetector.getSupportedFormats()).includes("qr_code")) {
    const found = await new BarcodeDetector({ formats: ["qr_code"] }).detect(canvas);
    return found.length ? found[0].rawValue : null;
  }
  const picture = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
  const answer = await post("/pages/read-frame", "image/jpeg", picture);
  if (answer === null) return null; // the next frame is another attempt
  const body = await answer.json();
  if (answer.ok) return body.text;
  stopCamera();
  showProblem(body);
  return null;
}

async function look() {
  const view = field("view");
  const canvas = document.createElement("canvas");
  while (stream) {
    if (view.videoWidth) {
      canvas.width = Math.min(FRAME_WIDTH, view.videoWidth);
      canvas.height = Math.round(view.videoHeight * (canvas.width / view.videoWidth));
      canvas.getContext("2d").drawImage(view, 0, 0, canvas.width, canvas.height);
      const text = await readFrame(canvas);
      if (text && stream) { stopCamera(); await scan(text); return; }
    }
    await new Promise((later) => setTimeout(later, FRAME_EVERY_MS));
  }
}

field("desk").addEventListener("submit", (event) => event.preventDefault());
field("code").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && field("code").value.trim()) { event.preventDefault(); scan(field("code").value); }
});
field("camera").addEventListener("click", () => {
  if (stream) { stopCamera(); return; }
  startCamera().catch((error) => {
    if (!(error instanceof DOMException)) throw error;
    showProblem({ title: "摄像头不可用 The camera cannot be used", detail: error.name });
  });
});
field("code").focus();
