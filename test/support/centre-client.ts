import { createHmac } from 'node:crypto';
import { request } from 'undici';

/** What a test says to a running centre: the management API with a token, and signed sends. */
export class CentreClient {
  constructor(url: string, token: string) {
    this.url = url;
    this.#token = token;
  }

  readonly url: string;
  readonly #token: string;

  async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: any }> {
    const answer = await request(`${this.url}/api/v1${path}`, {
      method: method as 'GET',
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: text === '' ? null : JSON.parse(text) };
  }

  /** A call that must answer 2xx. */
  async must(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await this.call(method, path, body);
    if (answer.status >= 300) {
      throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }

  /** All items of a list. */
  async all(path: string): Promise<any[]> {
    const items: any[] = [];
    let cursor: string | null = null;
    do {
      const page = await this.must(
        'GET',
        `${path}${path.includes('?') ? '&' : '?'}limit=500${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
      );
      items.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== null);
    return items;
  }

  /** A signed `sendEventMsg.do` with the fields as a form. Rejects when no answer comes. */
  async send(app: { appId: string; appKey: string }, fields: Record<string, string>): Promise<SendAnswer> {
    const { path, headers, body } = signedSend(app, fields);
    const answer = await request(this.url + path, { method: 'POST', headers, body, headersTimeout: 30_000 });
    const text = await answer.body.text();
    const { data } = JSON.parse(text);
    return {
      httpStatus: answer.statusCode,
      status: data.status,
      code: data.code,
      message: data.message,
      eventId: data.eventId ?? null,
      retryAfter: answer.headers['retry-after']?.toString() ?? null,
    };
  }

  /** A path outside of the management API, without a token. */
  async get(path: string): Promise<{ status: number; contentType: string; text: string }> {
    const answer = await request(this.url + path);
    const contentType = answer.headers['content-type']?.toString() ?? '';
    return { status: answer.statusCode, contentType, text: await answer.body.text() };
  }
}

export interface SendAnswer {
  httpStatus: number;
  status: 0 | 1;
  code: string;
  message: string;
  eventId: string | null;
  retryAfter: string | null;
}

/** A signed send as it goes onto the wire. */
function signedSend(app: { appId: string; appKey: string }, fields: Record<string, string>) {
  const path = '/event/eventmanager/sendEventMsg.do';
  const ts = String(Date.now());
  const body = new URLSearchParams(fields).toString();
  const contentLength = Buffer.byteLength(body);
  const sign = signatureOf({ ts, path, query: [['ts', ts]], contentLength, fields }, app.appKey);
  return {
    path: `${path}?appId=${app.appId}&ts=${ts}`,
    headers: { 'content-type': 'application/x-www-form-urlencoded', sign },
    body,
  };
}

/**
 * The signature of the protocol page, section 1, written a second time for fields without special cases: tests of whole
 * processes must not sign with the code that they test. `query` is without `appId`.
 */
export function signatureOf(
  call: {
    ts: string;
    path: string;
    query: [name: string, value: string][];
    contentLength: number;
    fields: Record<string, string>;
  },
  key: string,
): string {
  const { ts, path, contentLength } = call;
  const query = call.query.flat().join('');
  const params = Object.entries(call.fields)
    .map(([name, value]) => name + value)
    .sort()
    .join('');
  const text = `SignProp{ts=${ts}, remoteUserName='null', queryString='${query}', requestUrl='${path}', ip='null', contentLength='${contentLength}', paramsStr='${params}'}`;
  return createHmac('sha1', Buffer.from(key, 'base64')).update(text, 'utf8').digest('hex');
}
