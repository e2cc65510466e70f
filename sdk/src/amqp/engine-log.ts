import type { Log, Metrics } from '../../../src/core/ports.js';
import type { SdkLog, LogFields } from '../log.js';
import { sentenceOf } from '../plugins/sentence.js';

/** What the delivery engine says, in the host's log: without its details for debugging, errors as sentences. */
export function engineLog(log: SdkLog): Log {
  return {
    debug: () => undefined,
    info: (name, fields) => log.info(name, inSentences(fields)),
    warn: (name, fields) => log.warn(name, inSentences(fields)),
    error: (name, fields) => log.error(name, inSentences(fields)),
  };
}

function inSentences(fields: LogFields = {}): LogFields {
  const entries = Object.entries(fields);
  if (!entries.some(([, value]) => value instanceof Error)) return fields;
  return Object.fromEntries(entries.map(([name, value]) => [name, value instanceof Error ? sentenceOf(value) : value]));
}

/** A host counts nothing: the centre sees every outcome. */
export const noMetrics: Metrics = {
  accepted: () => undefined,
  refused: () => undefined,
  deduplicationLost: () => undefined,
  attempted: () => undefined,
  delivered: () => undefined,
  recorded: () => undefined,
  callerRefused: () => undefined,
  incident: () => undefined,
  leases: () => undefined,
};
