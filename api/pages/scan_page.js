// The window's scan page: a keyboard-wedge scanner types into the field, or the camera looks; one code, one request.

const WORDS = { valid: "有效 Valid", invalid: "无效 Invalid", undetermined: "无法判定 Cannot tell" };
const FRAME_EVERY_MS = 250;
const FRAME_WIDTH = 960;
const field = (id) => document.getElementById(id);
let stream = null;

async function scan(text) {
  if (!field("desk").reportValidity()) return;
  field("code").disabled = true;
  try {
    const answer = await fetch("/v1/scans", {
      method: "POST", referrerPolicy: "no-referrer", cache: "no-store",
      headers: { "Content-Type": "application/json", "Authorization": `Bearer ${field("token").value.trim()}`,
        "Elicence-Operator": encodeURIComponent(field("operator").value.trim()), "Idempotency-Key": crypto.randomUUID() },
      body: JSON.stringify({ code: text.trim(), matter: field("matter").value.trim(), purpose: field("purpose").value.trim() }),
    });
    const body = await answer.json();
    if (answer.ok) showVerdict(body.verdict ?? body, body);
    else showProblem(body);
  } catch {
    showProblem({ title: "网络不可用，请改用离线核验 The network is down: check offline" });
  } finally {
    field("code").disabled = false;
    field("code").value = "";
    field("code").focus();
  }
}

function showVerdict(verdict, body) {
  const box = field("verdict");
  box.hidden = false;
  box.className = `card verdict ${verdict.outcome}`;
  box.dataset.outcome = verdict.outcome;
  field("word").textContent = WORDS[verdict.outcome];
  field("why").textContent = verdict.reasons.map((reason) => reason.title).join("；");
  const ages = verdict.checks.map((check) => check.age_s).filter((age) => typeof age === "number");
  field("age").textContent = ages.length ? `信息最旧 ${Math.max(...ages)} 秒前 · oldest input ${Math.max(...ages)} s` : "";
  fill(body.disclosed ?? verdict.licence ?? {});
}

function showProblem(problem) {
  const box = field("verdict");
  box.hidden = false;
  box.className = "card verdict undetermined";
  box.dataset.outcome = "problem";
  field("word").textContent = "未完成 Not done";
  field("why").textContent = [problem.title, problem.detail].filter(Boolean).join("：");
  field("age").textContent = "";
  fill({});
}

/** Lists every value with the path that leads to it. */
function* leaves(value, path = []) {
  if (value !== null && typeof value === "object") {
    for (const [name, inner] of Object.entries(value)) yield* leaves(inner, [...path, name]);
  } else yield [path.join(" · "), String(value)];
}

function fill(disclosed) {
  const rows = [...leaves(disclosed)];
  field("fields").replaceChildren(...rows.flatMap(([term, text]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = term; dd.textContent = text;
    return [dt, dd];
  }));
  field("facts").hidden = rows.length === 0;
}

async function startCamera() {
  stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  const view = field("view");
  view.srcObject = stream;
  view.hidden = false;
  await view.play();
  field("camera").textContent = "停止摄像头 · Stop the camera";
  look();
}

function stopCamera() {
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  field("view").hidden = true;
  field("camera").textContent = "用摄像头扫描 · Use the camera";
}

/** The text of the code in one frame: by the browser where it can, else by the window's own service. */
async function readFrame(canvas) {
  if ("BarcodeDetector" in window && (await BarcodeDetector.getSupportedFormats()).includes("qr_code")) {
    const found = await new BarcodeDetector({ formats: ["qr_code"] }).detect(canvas);
    return found.length ? found[0].rawValue : null;
  }
  const picture = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
  const answer = await fetch("/pages/read-frame", { method: "POST", body: picture, cache: "no-store",
    headers: { "Content-Type": "image/jpeg", "Authorization": `Bearer ${field("token").value.trim()}` } });
  return answer.ok ? (await answer.json()).text : null;
}

async function look() {
  const view = field("view");
  const canvas = document.createElement("canvas");
  while (stream) {
    if (view.videoWidth) {
      canvas.width = Math.min(FRAME_WIDTH, view.videoWidth);
      canvas.height = Math.round(view.videoHeight * (canvas.width / view.videoWidth));
      canvas.getContext("2d").drawImage(view, 0, 0, canvas.width, canvas.height);
      const text = await readFrame(canvas).catch(() => null);
      if (text && stream) { stopCamera(); await scan(text); return; }
    }
    await new Promise((later) => setTimeout(later, FRAME_EVERY_MS));
  }
}

field("code").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && field("code").value.trim()) { event.preventDefault(); scan(field("code").value); }
});
field("camera").addEventListener("click", () => {
  if (stream) stopCamera();
  else startCamera().catch(() => showProblem({ title: "摄像头不可用 The camera cannot be used" }));
});
field("code").focus();
