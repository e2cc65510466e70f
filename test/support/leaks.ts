import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Texts that were planted, by what they are. */
export type Planted = Readonly<Record<string, string>>;

/** Places by name, with what was found written there. */
export type Places = Readonly<Record<string, string | Buffer>>;

/**
 * Which planted text stands where, as `what in place`; as it is, in Base64 or hex, escaped for a URL or within JSON.
 * @throws when a place is empty, because then nothing was looked at.
 */
export function leaksIn(places: Places, planted: Planted): string[] {
  const leaks: string[] = [];
  for (const [place, content] of Object.entries(places)) {
    const text = typeof content === 'string' ? content : content.toString('latin1');
    if (text === '') throw new Error(`there is nothing in ${place}`);
    for (const [what, secret] of Object.entries(planted)) {
      if (formsOf(secret).some((form) => text.includes(form))) leaks.push(`${what} in ${place}`);
    }
  }
  return leaks;
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8');
  const base64 = bytes.toString('base64').replace(/=+$/, '');
  return [secret, base64, bytes.toString('hex'), encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)];
}

/** Every file below a folder, as places. */
export function filesBelow(folder: string, except: (name: string) => boolean = () => false): Record<string, Buffer> {
  const files: Record<string, Buffer> = {};
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    const path = join(folder, name);
    if (!except(name) && statSync(path).isFile() && statSync(path).size > 0) files[name] = readFileSync(path);
  }
  return files;
}
