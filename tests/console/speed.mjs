// How long views take with nothing cached, how many bytes, and how smoothly a long one scrolls. Prints JSON for the bench.
import { tokens, url, withBrowser } from "./browser.mjs";

const VIEWS = ["/", "/completeness?days=400", "/completeness/aw00?days=400"];
const TIMES = 3;
const STEPS = 60;

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Milliseconds from the navigation until no panel loads any more, and bytes over the wire. */
async function open(context, path) {
  const page = await context.newPage();
  const inspector = await context.newCDPSession(page);
  let bytes = 0;
  inspector.on("Network.dataReceived", ({ encodedDataLength }) => (bytes += encodedDataLength));
  await inspector.send("Network.enable");
  await inspector.send("Network.setCacheDisabled", { cacheDisabled: true });
  await page.goto(url + path, { waitUntil: "commit" });
  const ms = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const look = () => {
          const isThere = document.querySelector("main .panel") && !document.querySelector('.skeleton, [aria-busy="true"]');
          if (isThere) resolve(performance.now());
          else requestAnimationFrame(look);
        };
        look();
      }),
  );
  return { page, ms, bytes };
}

/** Times between frames while the wheel turns. */
async function scroll(page) {
  await page.evaluate(() => {
    window.frames_ms = [];
    let last = performance.now();
    const note = (now) => {
      window.frames_ms.push(now - last);
      last = now;
      requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
  });
  await page.mouse.move(640, 400);
  for (let step = 0; step < STEPS; step++) await page.mouse.wheel(0, step < STEPS / 2 ? 400 : -400);
  const frames = (await page.evaluate(() => window.frames_ms)).slice(1).sort((a, b) => a - b);
  return { p95_ms: frames[Math.floor(frames.length * 0.95)], worst_ms: frames[frames.length - 1] };
}

await withBrowser(async (_, context) => {
  await context.addInitScript((token) => sessionStorage.setItem("sluice-token", token), tokens.reader);
  const views = [];
  let scrolling;
  for (const path of VIEWS) {
    const opened = [];
    for (let time = 0; time < TIMES; time++) {
      const { page, ...measured } = await open(context, path);
      opened.push(measured);
      if (path === VIEWS[2] && time === TIMES - 1) scrolling = await scroll(page);
      await page.close();
    }
    views.push({ path, ms: median(opened.map(({ ms }) => ms)), bytes: Math.max(...opened.map(({ bytes }) => bytes)) });
  }
  console.log(JSON.stringify({ views, scrolling }));
});
