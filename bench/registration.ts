/** Registers the bench's sender, its event type and the receiver's listeners by the management API. */
import { request } from 'undici';

export async function registerBench(
  centre: { url: string; token: string },
  nodes: string[][],
): Promise<{ appId: string; appKey: string }> {
  const post = async (path: string, body: unknown): Promise<Record<string, unknown>> => {
    const answer = await request(`${centre.url}/api/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${centre.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 201) throw new Error(`POST ${path} answered ${answer.statusCode}: ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  };
  const sender = await post('/nodes', { nodeCode: 'BENCH' });
  const type = await post('/event-types', { sourceId: 'BENCH', eventTypeCode: 'MEASURED' });
  for (const [index, urls] of nodes.entries()) {
    await post('/nodes', { nodeCode: `BENCH-${index}` });
    for (const [place, url] of urls.entries()) {
      await post('/listeners', { name: `listener ${place}`, nodeCode: `BENCH-${index}`, eventTypeId: type['id'], url });
    }
  }
  return { appId: 'BENCH', appKey: String(sender['appKey']) };
}
