// What the tests do in a browser: opens a page, takes steps in it, and tells what came of each, what the page said on its
// console, what it asked for, and what it opened in front of itself. The task is JSON on standard input, so is the answer.
import { readFileSync } from "node:fs";
import puppeteer from "puppeteer-core";

const task = JSON.parse(readFileSync(0, "utf8"));
const browser = await puppeteer.launch({
  executablePath: task.chromium,
  headless: "shell",
  protocolTimeout: 60_000,
  // Tests may run as root, for whom there is no sandbox.
  args: ["--no-sandbox", "--no-zygote", "--disable-gpu", "--font-render-hinting=none", "--disable-dev-shm-usage"],
});
try {
  const page = await browser.newPage();
  const said = [];
  const asked = [];
  const opened = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => asked.push(request.url()));
  page.on("dialog", async (dialog) => {
    opened.push(dialog.message());
    await dialog.dismiss();
  });
  await page.setViewport({ width: task.width, height: task.height });
  await page.setJavaScriptEnabled(task.scripts);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: task.dark ? "dark" : "light" }]);
  await page.goto(task.page, { waitUntil: "load" });
  const results = [];
  for (const [step, ...args] of task.steps) {
    if (step === "click") await page.click(args[0]);
    else if (step === "type") await page.type(args[0], args[1]);
    else if (step === "evaluate") results.push(await page.evaluate(args[0]));
    else if (step === "screenshot") await page.screenshot({ path: args[0], fullPage: true });
    else if (step === "pdf") results.push((await page.pdf({ preferCSSPageSize: true })).length);
    else throw new Error(`no such step: ${step}`);
  }
  process.stdout.write(JSON.stringify({ results, said, asked, opened }));
} finally {
  await browser.close();
}
