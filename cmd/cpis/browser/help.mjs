// What the stories share: a browser, somebody signed in at it, and a care setting's system
// that sends HL7 messages.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const base = process.env.CPIS_BASE;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// The practice cast.
export const nurse = "555000000001";
export const visitor = "555000000003";
export const lead = "555000000004";
export const privacy = "555000000005";
export const operator = "555000000007";
export const engineer = "555000000010";
export const social = "555000000011";
export const keeper = "555000000012";
export const second = "555000000013";

const browser = await chromium.launch({
  executablePath: process.env.CPIS_CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
export const close = () => browser.close();

// signIn opens a browser of its own for somebody of the cast. What the browser complains of
// fails whoever asks in the end.
export async function signIn(id, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", timezoneId: "Europe/London", ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (m) => m.type() === "error" && page.complaints.push(m.text()));
  page.on("pageerror", (e) => page.complaints.push(e.message));
  await page.goto(`${base}/signin`);
  await page.click(`button[value="${id}"]`);
  await page.waitForURL((u) => !/signin|practice/.test(u.pathname));
  return page;
}

// clean fails where axe-core finds anything against WCAG 2.2 AA, where a page is wider than
// its window, or where the browser complained.
export async function clean(page, what) {
  const session = await page.context().newCDPSession(page);
  await session.send("Page.setBypassCSP", { enabled: true }); // for axe alone: its script is not ours
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  assert.ok(found.passes.length > 10, `${what}: axe looked at nothing`);
  assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), [], what);
  const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide[0] <= wide[1], `${what}: ${wide[0]} pixels wide in a window of ${wide[1]}`);
  assert.deepEqual(page.complaints, [], what);
  await session.detach();
}

let sent = 0;

// register sends an ADT message as a care setting's system does, and gives the answer and
// the control id.
export async function register({ facility = "RXX01", number = "9990000018", family = "Example", given = "Ada", born = "20190807", sex = "F", status = "NSTS01", event = "A04", bay = "", more = "" } = {}) {
  const at = new Date().toISOString().replace(/[-:]|\.\d+Z/g, "").replace("T", "") + "+0000";
  const control = `B${Date.now()}-${++sent}`;
  const person = [1, "", `${number}^^^NHS^NH`, "", `${family}^${given}`, "", born, sex].join("|");
  const message = [`MSH|^~\\&|DEMO|${facility}|CPIS|CPIS|${at}||ADT^${event}^ADT_A01|${control}|T|2.4`, `EVN|${event}|${at}`,
    `PID|${person}${"|".repeat(24)}${status}`, `PV1|1|E|${bay}${"|".repeat(16)}V${Date.now()}${sent}^^^VISITID`, more].filter(Boolean).join("\r") + "\r";
  return { control, answer: await frame(message) };
}

// frame sends one MLLP frame and gives what comes back.
export function frame(message) {
  const [host, port] = process.env.CPIS_MLLP.split(":");
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host, () => socket.write(`\x0b${message}\x1c\r`));
    let text = "";
    socket.on("data", (d) => { text += d; if (text.includes("\x1c")) { socket.end(); resolve(text); } });
    socket.on("error", reject);
    socket.setTimeout(10_000, () => reject(new Error("no answer")));
  });
}

// screen keeps a picture for the documentation, where that is asked for.
export async function screen(page, name) {
  if (process.env.CPIS_SCREENS) await page.screenshot({ path: `${process.env.CPIS_SCREENS}/${name}.png` });
}
