/** The least that a sender needs of the signature (protocol page, section 1), so that the generator costs little. */
import { createHmac } from 'node:crypto';

export function formParams(params: Record<string, string>): string {
  return new URLSearchParams(params).toString();
}

export function stringToSign(call: {
  ts: string;
  path: string;
  contentLength: number;
  params: Record<string, string>;
}): string {
  const sorted = Object.entries(call.params)
    .map(([name, value]) => name + value)
    .sort()
    .join('');
  return `SignProp{ts=${call.ts}, remoteUserName='null', queryString='ts${call.ts}', requestUrl='${call.path}', ip='null', contentLength='${call.contentLength}', paramsStr='${sorted}'}`;
}

export function sign(text: string, key: string): string {
  return createHmac('sha1', Buffer.from(key, 'base64')).update(text).digest('hex');
}
