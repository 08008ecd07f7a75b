// Builds the page, serves it beside Prometheus and Jaeger, and takes a picture of each thing that is named.
//
// node draw.mjs OUT FROM TO NAME…: Unix seconds; a name is a dashboard's, or `trace:ID`. Addresses and the folder of the dashboards
// come from the environment (PROMETHEUS, JAEGER, PICTURES_PUBLIC), the browser from CHROMIUM. Ends with 1 if anything
// could not be drawn as it is.
import { build, preview } from 'vite';
import { chromium } from 'playwright-core';

const [out, from, to, ...names] = process.argv.slice(2);
const PATIENCE_MS = 60_000;
// A browser that talks to nobody: without these it calls home at every start.
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

await build({ logLevel: 'error', build: { rollupOptions: { onwarn: () => {} } } });
const server = await preview({ logLevel: 'error' });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: QUIET });
const faults = [];

for (const name of names) {
  const page = await browser.newPage({ viewport: { width: 1600, height: 200 } });
  page.on('pageerror', (error) => faults.push(`${name}: ${error.stack ?? error}`));
  const [kind, trace] = name.split(':');
  const query = trace ? `trace=${trace}` : `dashboard=${name}&from=${from}&to=${to}`;
  await page.goto(`${server.resolvedUrls.local[0]}?${query}`);
  await page.waitForFunction(() => document.title === 'drawn', null, { timeout: PATIENCE_MS })
    .catch(() => faults.push(`${name}: not drawn within ${PATIENCE_MS} ms`));
  const path = `${out}/${trace ? kind : name}.png`;
  await page.screenshot({ path, fullPage: true });
  const broken = await page.locator('.broken').allTextContents();
  faults.push(...broken.map((text) => `${name}: ${text}`));
  const exemplars = await page.locator('[data-exemplars]').evaluateAll((all) => all.reduce((sum, one) => sum + Number(one.dataset.exemplars), 0));
  console.log(`${path}: ${await page.locator('.empty').count()} panels without data, ${exemplars} exemplars`);
  await page.close();
}

await browser.close();
server.httpServer.close();
faults.forEach((fault) => console.error(fault));
process.exit(faults.length > 0 ? 1 : 0);
