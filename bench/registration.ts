/** Registers the bench's sender, its event types and the receiver's listeners by the management API. */
import { request } from 'undici';

const AT_A_TIME = 4;

export interface Api {
  url: string;
  token: string;
}

/** Creates a resource of the management API. @throws when it answers anything but 201. */
export async function create(api: Api, path: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = await request(`${api.url}/api/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await answer.body.text();
  if (answer.statusCode !== 201) throw new Error(`POST ${path} answered ${answer.statusCode}: ${text}`);
  return JSON.parse(text) as Record<string, unknown>;
}

/** The sender BENCH. */
export async function registerSender(api: Api): Promise<{ appId: string; appKey: string }> {
  const sender = await create(api, '/nodes', { nodeCode: 'BENCH' });
  return { appId: 'BENCH', appKey: String(sender['appKey']) };
}

/** The sender, its type MEASURED, and for each list of urls a node BENCH-0, … whose listeners are called there. */
export async function registerBench(api: Api, nodes: string[][]): Promise<{ appId: string; appKey: string }> {
  const sender = await registerSender(api);
  const type = await create(api, '/event-types', { sourceId: 'BENCH', eventTypeCode: 'MEASURED' });
  for (const [index, urls] of nodes.entries()) {
    await registerNode(api, { nodeCode: `BENCH-${index}`, eventTypeId: String(type['id']), urls });
  }
  return sender;
}

/** A node with a listener for each url, in their order. */
export async function registerNode(
  api: Api,
  node: { nodeCode: string; eventTypeId: string; urls: string[] },
): Promise<void> {
  const { nodeCode, eventTypeId, urls } = node;
  await create(api, '/nodes', { nodeCode });
  for (const [place, url] of urls.entries()) {
    await create(api, '/listeners', { name: `listener ${place}`, nodeCode, eventTypeId, url });
  }
}

/** Runs `work` for 0 to `count` - 1, a few at a time, as several administrators would. */
export async function forEachOf(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  async function runNext(): Promise<void> {
    for (let index = next++; index < count; index = next++) await work(index);
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, runNext));
}
