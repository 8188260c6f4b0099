// Puppeteer on the browser of a lease: node puppeteer.mjs WEBSOCKET PAGE. It fills in the form of the page, goes on when a
// line comes on its standard input, and presses the button; what it saw and was answered is printed, a line each.
import { once } from 'node:events';
import puppeteer from 'puppeteer-core';

const [browserWSEndpoint, address] = process.argv.slice(2);
const browser = await puppeteer.connect({ browserWSEndpoint });
const [page] = await browser.pages();
await page.goto(address);
await page.type('#name', 'Zoe');
console.log(await page.title());

await once(process.stdin, 'data');
console.log(await page.click('button').catch((error) => error.message));

await once(process.stdin, 'data');
await page.click('button');
console.log(await page.title());
console.log(Buffer.from(await page.screenshot()).subarray(1, 4).toString());
const field = await page.evaluateHandle(() => {
  document.body.append(Object.assign(document.createElement('input'), { type: 'file' }));
  return document.body.lastChild;
});
console.log(await field.uploadFile('/nowhere/report.pdf').catch((error) => error.message));
await field.uploadFile('/etc/hostname');
console.log(await field.evaluate(({ files }) => files[0].name));
await browser.disconnect();
process.exit();
