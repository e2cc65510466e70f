/**
 * The scenario without the centre, as the approval system did it before: a notifier in its own process pushes each event
 * to a webhook. For an event that must survive the process there are the centre and the outbox.
 */
import { createServer } from 'node:http';
import { EventNotifier, WebhookHandler } from '@event-center/sdk/notifier';
import { check, say, title, until } from '../../scripts/checks.mjs';
import { EXPECTED_EVENTS, differences, expectedFor } from './expected-events.mjs';
import { walkThrough } from './walk-through.mjs';

const AUTH_TOKEN = 'your-token';

export async function runInProcess() {
  title('Without the centre: a notifier in the process, and a webhook');
  const webhook = new WebhookServer();
  const notifier = new EventNotifier({ queueSize: 100, maxAttempts: 3, firstDelayMs: 200 });
  const handler = new WebhookHandler({
    url: await webhook.listen(),
    method: 'POST',
    headers: { 'X-Auth-Token': AUTH_TOKEN },
    timeoutMs: 30_000,
  });
  notifier.register('webhook', handler);
  const counts = {};
  notifier.register('statistics', ({ type }) => {
    counts[type] = (counts[type] ?? 0) + 1;
  });

  const startedAt = Date.now();
  const answers = [];
  try {
    const task = walkThrough((event) => answers.push(notifier.notify(event).then((answer) => ({ event, answer }))));
    check('the process did not wait for the webhook', webhook.calls === 0);
    const [first] = await Promise.all(answers);
    check('the same event id again is known', (await notifier.notify(first.event)) === 'duplicate');
    // stop() alone would finish the queue too, and hand back what fails meanwhile instead of trying it again.
    await until('the webhook has taken seven events', () => webhook.received.length >= EXPECTED_EVENTS.length);
    const { left } = await notifier.stop();
    check('stopping the notifier left nothing behind', left.length === 0 && notifier.failed().length === 0);
    compare(webhook, counts, { taskId: task.id, startedAt });
  } finally {
    await notifier.stop({ timeoutMs: 0 });
    webhook.close();
  }
}

function compare(webhook, counts, run) {
  const bad = webhook.received.flatMap((event) => {
    const expected = expectedFor(event);
    return expected === null ? [`unexpected ${event.type}`] : differences(event, expected, run);
  });
  for (const sentence of bad) say(sentence);
  const distinct = new Set(webhook.received.map(expectedFor)).size;
  check(
    'the webhook got the seven events with their fields, each once',
    bad.length === 0 && distinct === EXPECTED_EVENTS.length && webhook.received.length === EXPECTED_EVENTS.length,
  );
  check('the call that it had answered with 503 was repeated', webhook.calls === EXPECTED_EVENTS.length + 1);
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  check('the other handler got them too', total === 7 && counts.approval_operation === 2);
}

/** Somebody's webhook, which is away for its first call. */
class WebhookServer {
  #server = createServer((request, response) => void this.#take(request, response));
  received = [];
  calls = 0;

  listen() {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${this.#server.address().port}/webhook`));
    });
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #take(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    this.calls += 1;
    const event = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    const status = request.headers['x-auth-token'] !== AUTH_TOKEN ? 401 : this.calls === 1 ? 503 : 204;
    say(`  [webhook] ${event.type.padEnd(18)} ${event.task.state.padEnd(9)} -> ${status}`);
    if (status === 204) this.received.push(event);
    response.writeHead(status).end();
  }
}
