/**
 * A process that hosts the plugins of a node. By environment: `EVENT_CENTER_*` as the SDK reads them; `PLUGIN_URLS`, JSON
 * of class names and the urls at which their calls are counted; `PLUGIN_CONCURRENCY`; `PLUGIN_LEASE_MS` or
 * `PLUGIN_BROKER_URL`, which chooses AMQP, with `PLUGIN_PREFETCH`. Prints `ready`, and a line `begun <eventId>` before each call, which a pipe
 * has taken when the process is killed. SIGTERM stops it in order.
 */
import { EventListenerHost, httpTransport } from '@event-center/sdk/plugins';

const { PLUGIN_URLS, PLUGIN_CONCURRENCY, PLUGIN_LEASE_MS, PLUGIN_BROKER_URL, PLUGIN_PREFETCH } = process.env;

const host = EventListenerHost.fromEnv({
  concurrency: Number(PLUGIN_CONCURRENCY),
  transport: await transport(),
  plugins: Object.fromEntries(Object.entries(JSON.parse(PLUGIN_URLS)).map(([name, url]) => [name, counted(url)])),
});
process.once('SIGTERM', async () => {
  await host.stop();
  process.stdout.write(`stopped ${JSON.stringify(host.status())}\n`);
  process.exit(0);
});
await host.start();
process.stdout.write('ready\n');

async function transport() {
  if (PLUGIN_BROKER_URL === undefined) return httpTransport({ leaseMs: Number(PLUGIN_LEASE_MS) });
  const { amqpTransport } = await import('@event-center/sdk/amqp');
  return amqpTransport({ url: PLUGIN_BROKER_URL, prefetch: Number(PLUGIN_PREFETCH) });
}

/** A plugin that acts by a call that its receiver notes, and fails when the receiver says so. */
function counted(url) {
  return {
    async doAction({ eventId, userObject }, { attempt, signal }) {
      process.stdout.write(`begun ${eventId}\n`);
      const answer = await fetch(url, {
        method: 'POST',
        headers: { 'x-event-attempt': String(attempt) },
        body: new URLSearchParams({ uuid: eventId, userObject }),
        signal,
      });
      const { success } = await answer.json();
      if (success !== 'true') throw new Error('the receiver said no');
    },
  };
}
