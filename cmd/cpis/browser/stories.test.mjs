// Each user's story, told by a browser to the demo.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { writeFileSync, readFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { base, clean, close, engineer, frame, keeper, lead, nurse, operator, privacy, register, screen, second, signIn, social, visitor } from "./help.mjs";

after(close);

const widths = [320, 768, 1280];

// settled is a page whose text has something, without being loaded again.
const says = (page, text, timeout = 10_000) => page.getByText(text).first().waitFor({ timeout });

test("no page has anything against WCAG 2.2 AA, at any width", async () => {
  await register(); // somebody to show
  for (const [who, pages] of [
    [nurse, ["/board", "/board?wall=1", "/history", "/glass", "/accessibility", "/reviews"]],
    [lead, ["/board", "/reviews"]],
    [privacy, ["/reviews"]],
    [social, ["/authority", "/authority/notices", "/history"]],
    [keeper, ["/authority", "/authority/plans", "/authority/contacts", "/authority/notices"]],
    [operator, ["/operations", "/operations/letters", "/operations/letters?code=CPIS-H010", "/operations/message", "/operations/ledger", "/connect"]],
    [engineer, ["/connect", "/connect/emergency-department"]],
  ]) {
    const page = await signIn(who);
    for (const path of pages) {
      for (const width of widths) {
        await page.setViewportSize({ width, height: 800 });
        await page.goto(base + path);
        page.complaints = page.complaints.filter((c) => !c.includes("403")); // what is not for a role is a page too
        await clean(page, `${who} ${path} at ${width}`);
      }
    }
    await page.context().close();
  }
  const page = await signIn(nurse);
  await page.goto(`${base}/accessibility`);
  await page.context().clearCookies();
  for (const path of ["/", "/signin"]) {
    for (const width of widths) {
      await page.setViewportSize({ width, height: 800 });
      await page.goto(base + path);
      await clean(page, `${path} at ${width}`);
    }
  }
  await page.context().close();
});

test("a nurse sees an arrival as it comes, opens it, and has the number to ring", async (t) => {
  const page = await signIn(nurse);
  await says(page, "Emergency department, RXX01");
  const before = await page.locator("#arrivals").getAttribute("data-all");
  const begin = Date.now();
  await register({ bay: "ED^BAY^4" });
  await page.waitForFunction((n) => document.querySelector("#arrivals").dataset.all > n, before);
  t.diagnostic(`on the board ${Date.now() - begin} ms after the message was sent`);
  const first = page.locator("tbody tr").first();
  await first.getByText("Indicator").waitFor();
  for (const text of ["EXAMPLE, Ada", "999 000 0018", "ED BAY 4", "years"]) assert.match(await first.innerText(), new RegExp(text));
  assert.equal(await page.title(), "Emergency department, RXX01 - Child protection information");
  assert.match(await page.locator("#announce").textContent(), /1 new indicator/);
  await first.getByRole("button").click();
  await page.getByRole("heading", { name: "EXAMPLE, Ada" }).waitFor();
  for (const width of widths) {
    await page.setViewportSize({ width, height: 800 });
    await clean(page, `answer at ${width}`);
  }
  const text = await page.locator("main").innerText();
  for (const part of ["Subject to child protection plan, started", "Looked after child, started", "Aford Council", "Beeshire County", "Ring now", "01632 960999", "01632 960001", "visits to", "was told of the attendance", "That you opened this is on record"]) {
    assert.ok(text.includes(part), `the answer does not say "${part}":\n${text}`);
  }
  assert.ok(!page.url().includes("999"));
  await screen(page, "answer");
  await page.goto(`${base}/board`);
  await says(page, "opened");
  await page.context().close();
});

test("six key presses lead from the board to the number", async () => {
  await register();
  const page = await signIn(nurse);
  await page.locator("tbody tr").first().getByRole("button").waitFor();
  for (const key of ["Tab", "Enter", "Tab", "Enter"]) await page.keyboard.press(key);
  await page.getByRole("heading", { name: "EXAMPLE" }).waitFor();
  await page.waitForLoadState();
  // The first stop of the answer is a link that leads to the number.
  for (const key of ["Tab", "Enter"]) await page.keyboard.press(key);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), "tel:01632960999");
  await page.context().close();
});

test("without scripts everything works", async () => {
  await register();
  const page = await signIn(nurse, { javaScriptEnabled: false });
  assert.match(await page.content(), /http-equiv="refresh" content="20"/);
  await page.locator("tbody tr").first().getByRole("button").click();
  await says(page, "Ring now");
  await page.getByRole("button", { name: "Who has looked" }).click();
  await says(page, "care settings in the last 90 days");
  const other = await signIn(keeper, { javaScriptEnabled: false });
  await other.goto(`${base}/authority/plans`);
  await other.setInputFiles("#file", { name: "plans.csv", mimeType: "text/csv", buffer: Buffer.from(header + "X1,9990000018,Example,Ada,2019-08-07,F,CPP,2026-13-01,,,9,,\n") });
  await other.getByRole("button", { name: "Check the file" }).click();
  await says(other, "1 refused");
  await page.context().close();
  await other.context().close();
});

test("the board weighs less than 60 kB", async (t) => {
  const page = await signIn(nurse);
  await page.context().clearCookies({ name: "none" });
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  let bytes = 0;
  session.on("Network.loadingFinished", (e) => { bytes += e.encodedDataLength; });
  await page.goto(`${base}/board`);
  await page.waitForTimeout(1_000);
  t.diagnostic(`${bytes} bytes with style sheets and scripts`);
  assert.ok(bytes > 10_000 && bytes < 60_000, `${bytes} bytes`);
  await page.context().close();
});

test("a board that has lost its connection says so, and names vanish when nobody is there", async () => {
  const page = await signIn(nurse);
  await page.clock.install();
  await page.goto(`${base}/board`);
  await page.locator("tbody tr").first().waitFor();
  await page.clock.fastForward(61_000);
  await page.waitForFunction(() => document.body.classList.contains("cpis-blurred"));
  await page.keyboard.press("Shift");
  await page.waitForFunction(() => !document.body.classList.contains("cpis-blurred"));
  await page.context().setOffline(true);
  await page.clock.fastForward(16_000);
  await says(page, "has lost its connection");
  await page.context().setOffline(false);
  await register();
  await page.waitForFunction(() => !document.body.classList.contains("cpis-lost"), undefined, { timeout: 20_000 });
  await page.context().close();
});

test("the wall names nobody", async () => {
  await register({ bay: "ED^^7" });
  const page = await signIn(nurse);
  await page.goto(`${base}/board?wall=1`);
  await says(page, "ED 7");
  const all = await page.content();
  for (const secret of ["EXAMPLE", "Example", "Ada", "999 000", "9990000018", "Indicator"]) assert.ok(!all.includes(secret), `the wall shows ${secret}`);
  await screen(page, "wall");
  await page.context().close();
});

test("every answer has words", async () => {
  await register({ number: "9990000026", family: "Nobody", given: "Kim" });
  await register({ number: "9990000085", family: "Trialby", given: "Noah", born: "20161130", sex: "M" });
  await register({ number: "", family: "Specimen", given: "Leo", born: "20180516", sex: "M", status: "NSTS07" });
  await register({ number: "9990000034", family: "Unsure", given: "Jo", status: "NSTS02" });
  const page = await signIn(nurse);
  const row = (name) => page.locator("tbody tr", { hasText: name }).first();
  for (const [name, tag] of [["NOBODY", "No plan shared"], ["TRIALBY", "Ended in the last year"], ["SPECIMEN", "Not checked"], ["UNSURE", "Not checked"]]) await row(name).getByText(tag).waitFor();
  await screen(page, "board");
  await row("NOBODY").getByText("What it means").click();
  await row("NOBODY").getByText("This does not mean there is no concern.").waitFor();
  await row("SPECIMEN").getByText("What it means").click();
  await row("SPECIMEN").getByText("trace the NHS number and register again").waitFor();
  await row("TRIALBY").getByRole("button").click();
  await says(page, "Shown for 365 days");
  const leads = await signIn(lead);
  await leads.goto(`${base}/board?at=emergency-department`);
  await leads.locator("tbody tr", { hasText: "SPECIMEN" }).first().getByText("Possible").waitFor();
  await page.context().close();
  await leads.context().close();
});

test("a silent read is said to be one", async () => {
  await register();
  const page = await signIn(visitor);
  await page.locator("tbody tr").first().getByRole("button").click();
  await says(page, "Silent read");
  await says(page, "no authority is told of it");
  await page.context().close();
});

test("a wrong number goes back to the authority, and its answer comes to the nurse", async () => {
  await register();
  const page = await signIn(nurse);
  await page.locator("tbody tr").first().getByRole("button").click();
  await page.getByText("Wrong number, or something else not right?").click();
  await page.selectOption("#about", "E06A");
  await page.getByLabel("Number wrong").check();
  await page.getByRole("button", { name: "Tell the authority" }).click();
  await says(page, "The authority is told: Number wrong");
  const worker = await signIn(social);
  await worker.goto(`${base}/authority/notices`);
  await says(worker, "Number wrong");
  await screen(worker, "notices");
  const notice = worker.locator(".nhsuk-card", { hasText: "Emergency department, RXX01" }).filter({ hasText: "was registered" }).first();
  await notice.getByLabel("Answer the care setting").selectOption("WILL_CALL");
  await notice.getByRole("button", { name: "Tell the care setting" }).click();
  await says(worker, "The care setting is told: will call");
  await page.goto(`${base}/board`);
  await page.locator("tbody tr").first().getByRole("button").click();
  await says(page, /It says.*Will call, by/);
  await page.context().close();
  await worker.context().close();
});

test("a social worker reads who has looked, marks it and takes it away", async () => {
  const page = await signIn(social);
  await page.goto(`${base}/history`);
  await page.fill("#nhs_number", "999 000 0018");
  await page.getByRole("button", { name: "Show" }).click();
  await says(page, /visits to \d care settings in the last 90 days/);
  for (const width of widths) {
    await page.setViewportSize({ width, height: 900 });
    await clean(page, `history at ${width}`);
  }
  assert.ok(await page.locator("svg circle").count() >= 4, "the timeline shows the places");
  await says(page, "Opened the answer");
  await says(page, "C. Nurse, R8001 Emergency nurse");
  await screen(page, "history");
  await page.emulateMedia({ media: "print" });
  assert.ok(await page.getByText("Printed by S. Social, E06A").isVisible(), "paper says who printed it");
  assert.ok(!await page.getByRole("button", { name: "Put on record" }).isVisible(), "no buttons on paper");
  await page.emulateMedia({ media: "screen" });
  assert.ok(!await page.getByText("Printed by").isVisible());
  await page.selectOption("#finding", "SPOKE_TO_CARE_SETTINGS");
  await page.getByRole("button", { name: "Put on record" }).click();
  await says(page, "It is on record that you reviewed this history");
  await says(page, "Reviewed: Spoke to care settings");
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Take as CSV" }).click()]);
  const csv = readFileSync(await file.path(), "utf8");
  assert.match(csv, /^at,what,organisation,care_setting,name,role,why\n/);
  assert.ok(csv.includes("C. Nurse") && !csv.includes("9990000018") && !csv.includes("Example"), csv);
  await page.fill("#from", "2020-01-01");
  await page.fill("#to", "2020-01-02");
  await page.getByRole("button", { name: "Show these days" }).click();
  await says(page, "Nothing is on record");
  await page.goto(`${base}/history`);
  await page.fill("#nhs_number", "9990000085"); // another authority's child
  await page.getByRole("button", { name: "Show" }).click();
  await says(page, "You may not see this");
  await page.context().close();
});

test("broken glass and odd views are reviewed", async () => {
  const page = await signIn(nurse);
  await page.goto(`${base}/glass`);
  await page.fill("#nhs_number", "9990000042");
  await page.getByLabel("Life at risk").check();
  await page.getByRole("button", { name: "Look, and be on record" }).click();
  await says(page, "were told that you looked");
  await says(page, "Ring now");
  await clean(page, "broken glass");
  const officer = await signIn(privacy);
  await says(officer, "Somebody looked in an emergency");
  await says(officer, "C. Nurse (555000000001)");
  await says(officer, "Reason given: Life at risk");
  await clean(officer, "reviews with an item");
  await screen(officer, "reviews");
  await officer.getByLabel("What came of it").first().selectOption("GOOD_REASON");
  await officer.getByRole("button", { name: /^Reviewed/ }).first().click();
  await says(officer, "Your review is on record");
  await officer.goto(`${base}/reviews`);
  await says(officer, "Good reason, said");
  await page.context().close();
  await officer.context().close();
});

const header = "record_id,nhs_number,family_name,given_names,date_of_birth,sex,plan_type,plan_start,plan_end,expected_delivery_date,version,withdrawn,reason\n";

test("an authority checks, sends, and a second person looks at what would end too much", async () => {
  const page = await signIn(keeper);
  await page.goto(`${base}/authority/plans`);
  const people = [["9990000107", "Aaron"], ["9990000115", "Beth"], ["9990000123", "Cara"], ["9990000131", "Dan"], ["999000014X", "Ed"], ["9990000158", "Finn"], ["9990000166", "Gail"]];
  const rows = people.map(([n, name], i) => `C${i},${n},Browser,${name},2018-01-0${i + 1},F,CPP,2026-01-01,,,1,,`).join("\n") + "\n";
  await page.setInputFiles("#file", { name: "plans.csv", mimeType: "text/csv", buffer: Buffer.from(header + rows) });
  await page.getByRole("button", { name: "Check the file" }).click();
  await says(page, "What the file would do");
  await says(page, "1 refused");
  for (const width of widths) {
    await page.setViewportSize({ width, height: 800 });
    await clean(page, `result at ${width}`);
  }
  const printed = await page.locator("#printed").textContent();
  writeFileSync(join(process.env.CPIS_EXCHANGE ?? mkdtempSync(join(tmpdir(), "cpis-")), "plans.csv"), header + rows);
  if (process.env.CPIS_EXCHANGE) writeFileSync(join(process.env.CPIS_EXCHANGE, "printed.txt"), printed);
  await screen(page, "plans");
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Take the rows" }).click()]);
  assert.match(readFileSync(await file.path(), "utf8"), /code,what_to_do\n/);
  await page.getByRole("button", { name: "Send it without the refused records" }).click();
  await says(page, "What became of the file");
  await says(page, "6 new");
  await page.goto(`${base}/authority/plans`);
  const ended = people.filter(([n]) => !n.endsWith("X")).map(([n, name], i) => `C${people.findIndex((p) => p[0] === n)},${n},Browser,${name},2018-01-0${people.findIndex((p) => p[0] === n) + 1},F,CPP,2026-01-01,2026-11-01,,2,,`).join("\n") + "\n";
  await page.setInputFiles("#file", { name: "ended.csv", mimeType: "text/csv", buffer: Buffer.from(header + ended) });
  await page.getByRole("button", { name: "Check the file" }).click();
  await says(page, "It would wait for a second person");
  await page.getByRole("button", { name: "Send it" }).click();
  await says(page, "It waits for a second person");
  await page.getByRole("link", { name: "The file", exact: true }).click();
  await says(page, "You sent this file, so somebody else");
  const other = await signIn(second);
  await other.goto(`${base}/authority/plans`);
  await other.getByRole("row", { name: /Waits for a second person/ }).getByRole("link").click();
  await clean(other, "a file that waits");
  await other.getByRole("button", { name: "It is meant: take it" }).click();
  await says(other, "The file is taken: 6 records are in");
  await other.getByRole("button", { name: "Put back what stood before it" }).click();
  await says(other, "The file is undone: 6 records are as they were");
  await page.goto(`${base}/authority/contacts`);
  await page.getByRole("button", { name: "I rang them, and they are right" }).click();
  await says(page, "Confirmed.");
  await page.fill("#emergency_phone", "not a number");
  await page.getByRole("button", { name: "Keep these" }).click();
  await says(page, "There is a problem");
  await page.context().close();
  await other.context().close();
});

test("an operator sees the flow, one message's way, and deals with dead letters", async () => {
  const { control } = await register();
  const answer = await frame("MSH|^~\\&|DEMO|RXX01|CPIS|CPIS|20261128||ADT^A04^ADT_A01|STRANGER|T|2.4\rEVN|A04|20261128\r");
  assert.match(answer, /MSA\|A[ER]\|STRANGER/);
  const page = await signIn(operator);
  await says(page, "cpis.registration.v1");
  await page.locator("tr", { hasText: "emergency-department" }).getByText("Last was refused").waitFor();
  await screen(page, "operations");
  await page.goto(`${base}/operations/message`);
  await page.selectOption("#feed", "emergency-department");
  await page.fill("#control", control);
  await page.getByRole("button", { name: "Follow it" }).click();
  for (const hop of ["Taken", "Answered", "On record", "Delivered"]) await says(page, hop);
  await clean(page, "one message");
  const shown = await page.locator("main").innerText();
  for (const secret of ["EXAMPLE", "Example", "999", "INDICATOR", "Indicator"]) assert.ok(!shown.replaceAll(control, "").includes(secret), `an operator is shown ${secret}:\n${shown}`);
  await page.goto(`${base}/operations/letters`);
  await page.getByRole("link", { name: "CPIS-H010" }).click();
  await says(page, "STRANGER");
  await page.getByRole("button", { name: "What would a replay do?" }).click();
  await says(page, /0 would now pass, \d+ still fail; \d+ with CPIS-H010/);
  await clean(page, "dead letters, tried");
  await page.getByRole("button", { name: "Replay those chosen" }).click();
  await says(page, "0 replayed");
  await page.getByRole("checkbox").first().check();
  await page.selectOption("#reason", "TEST_MESSAGE");
  await page.getByRole("button", { name: "Discard those chosen" }).click();
  await says(page, "discarded");
  await page.goto(`${base}/operations/ledger`);
  await says(page, "Balanced", 20_000); // it is made up, and the page asks again by itself
  await clean(page, "ledger");
  await page.context().close();
});

test("an engineer has a message explained, and sees the feed get ready", async () => {
  const page = await signIn(engineer);
  await page.fill("#message", "MSH|^~\\&|DEMO|RXX01|CPIS|CPIS|20261128||ADT^A04^ADT_A01|X1|T|2.4\nEVN|A04|20261128\nPID|1||9990000018^^^NHS^NH||Example^Ada||20190807|F\nPV1|1|E\n");
  await page.getByRole("button", { name: "Explain it" }).click();
  await says(page, "Taken by feed emergency-department: A04");
  assert.ok(!(await page.locator("table").innerText()).includes("9990000018"), "the number is masked");
  for (const width of widths) {
    await page.setViewportSize({ width, height: 800 });
    await clean(page, `explained at ${width}`);
  }
  await screen(page, "explain");
  await page.goto(`${base}/connect/emergency-department`);
  const admission = page.locator("li", { hasText: "An admission (A01)" });
  await admission.getByText("Not yet").waitFor();
  await register({ event: "A01" });
  await admission.getByText(/✓ Seen/).waitFor();
  await page.context().close();
});

test("who has no right is told so in words, and nothing is shown", async () => {
  const page = await signIn(operator);
  for (const path of ["/board", "/authority", "/reviews", "/history"]) {
    await page.goto(base + path);
    await says(page, "You may not see this");
    await says(page, "CPIS-W006");
  }
  await page.context().clearCookies();
  await page.goto(`${base}/board`);
  await says(page, "You are not signed in");
  await page.context().close();
});
