// An unmodified client: fetch with a proxy agent, as undici's own documentation has it.
import { ProxyAgent, fetch } from "undici";
const [url, ca] = process.argv.slice(2);
const dispatcher = new ProxyAgent({
  uri: process.env.https_proxy,
  requestTls: ca ? { ca: (await import("node:fs")).readFileSync(ca) } : {},
});
try {
  const answer = await fetch(url, { dispatcher });
  process.stdout.write(`${answer.status} ${await answer.text()}`);
} catch (error) {
  process.stdout.write(`failed: ${error.cause?.message ?? error.message}`);
}
process.exit(0);
