import { Authenticator, type AuthenticatorDeps, type SignedCall } from './authenticate.js';
import { EventCenterError, hasCode, invalidField } from '../errors.js';
import { uuidV5, uuidV7 } from '../ids.js';
import { publishKeyed, type KeyedPublishDeps } from './keyed-publish.js';
import { BUILT_IN_NODE_CODE, OWNER_ALL, type Event, type EventType, type JsonValue, type Node } from '../model.js';
import type { Broker, Metrics } from '../ports.js';
import type { RegistrySnapshot } from '../registry/registry.js';
import { bodyHash, checkSubmission, type CheckedSubmission, type Submission } from './submission.js';
import { TokenBucket } from './token-bucket.js';
import { UsedSignatures } from './used-signatures.js';

export interface AcceptorDeps extends AuthenticatorDeps, KeyedPublishDeps {
  broker: Pick<Broker, 'publishEvent' | 'publishToJournal'>;
  metrics: Pick<Metrics, 'accepted' | 'refused' | 'deduplicationLost' | 'incident'>;
  options: AuthenticatorDeps['options'] &
    KeyedPublishDeps['options'] & {
      /** Whether `tenantCode` is required. */
      requireTenant: boolean;
      /** Whether a signed request is refused that was accepted before. */
      refuseReplays: boolean;
    };
}

export interface Accepted {
  eventId: string;
  code: 'OK' | 'DUPLICATE';
}

/** A send with a bearer token instead of a signature. */
export interface TrustedSend {
  /** Who sends, for the log, such as `token:<name>`. */
  actor: string;
  /** The node in whose name the event is sent, or null: then any type may be sent except the centre's own. */
  appId: string | null;
}

/** Who sends, once that is known: a node, or null for a token without one. */
interface Sender {
  node: Node | null;
  /** How the caller writes `sourceId`. */
  sourceIdField: 'sourceID' | 'sourceId';
}

/** How much of what a caller wrote is repeated in an answer and in the log. */
const NAMED_LENGTH = 200;

/** What is known of a send, for its one line in the log. */
type SendLine = Record<string, unknown>;

/** Accepts events: `status: 1` only after the broker has confirmed (protocol page, section 2; architecture, decision 1). */
export class Acceptor {
  readonly authenticator: Authenticator;
  readonly #deps: AcceptorDeps;
  readonly #usedSignatures: UsedSignatures | null;
  readonly #sendRates = new Map<string, TokenBucket>();

  constructor(deps: AcceptorDeps) {
    this.#deps = deps;
    this.authenticator = new Authenticator(deps);
    this.#usedSignatures = deps.options.refuseReplays ? new UsedSignatures(deps) : null;
  }

  /**
   * Accepts a signed event. `read` is asked for the parameters after the signature, clock and rate have passed, and may
   * throw INVALID_PARAM.
   * @throws every code of the protocol page, section 2, but PAYLOAD_TOO_LARGE. After UNAVAILABLE it is unknown which
   *   queues have the event; that and IN_PROGRESS carry the `eventId` of a keyed event.
   */
  acceptSigned(call: SignedCall, read: () => Submission): Promise<Accepted> {
    const line: SendLine = { appId: shortened(call.appId) };
    return this.#observe(line, async () => {
      const node = await this.authenticator.authenticate(call);
      const accept = (): Promise<Accepted> => this.#accept({ node, sourceIdField: 'sourceID' }, read, line);
      if (this.#usedSignatures === null) return accept();
      return this.#usedSignatures.once({ appId: node.nodeCode, sign: call.sign, ts: Number(call.ts) }, accept);
    });
  }

  /**
   * Accepts an event from the management API.
   * @throws INVALID_PARAM at `appId` when it is no enabled node, and what `acceptSigned` throws after the signature.
   */
  acceptTrusted(send: TrustedSend, submission: Submission): Promise<Accepted> {
    const line: SendLine = { appId: shortened(send.appId ?? BUILT_IN_NODE_CODE), actor: send.actor };
    return this.#observe(line, async () => {
      const node = await this.#nodeNamed(send.appId);
      return this.#accept({ node, sourceIdField: 'sourceId' }, () => submission, line);
    });
  }

  /** Counts and logs a send that was refused before it came here, such as one whose body is too large. */
  recordRefusal(error: EventCenterError, line: SendLine = {}): void {
    const { log, metrics } = this.#deps;
    metrics.refused(error.code);
    const fields: SendLine = { ...line, code: error.code, reason: error.message };
    if (error.eventId !== null) fields['eventId'] = error.eventId;
    if (error.cause !== undefined) fields['error'] = error.cause;
    if (error.code === 'UNAVAILABLE') log.warn('event.refused', fields);
    else log.info('event.refused', fields);
  }

  async #observe(line: SendLine, accept: () => Promise<Accepted>): Promise<Accepted> {
    const { clock, log, metrics } = this.#deps;
    const startedAt = clock.now();
    try {
      const accepted = await accept();
      const durationMs = clock.now() - startedAt;
      metrics.accepted(accepted.code, durationMs);
      log.info('event.accepted', { ...line, eventId: accepted.eventId, code: accepted.code, durationMs });
      return accepted;
    } catch (error) {
      line['durationMs'] = clock.now() - startedAt;
      if (error instanceof EventCenterError) {
        this.recordRefusal(error, line);
      } else {
        metrics.refused('INTERNAL');
        log.error('event.refused', { ...line, code: 'INTERNAL', error });
      }
      throw error;
    }
  }

  async #accept(sender: Sender, read: () => Submission, line: SendLine): Promise<Accepted> {
    if (sender.node !== null) this.#takeRate(sender.node);
    const now = this.#deps.clock.now();
    const { requireTenant } = this.#deps.options;
    const submission = checkSubmission(read(), { requireTenant, sourceIdField: sender.sourceIdField, now });
    line['sourceId'] = submission.sourceId;
    line['eventType'] = submission.eventType;
    line['tenantCode'] = submission.tenantCode;
    line['bytes'] = submission.userObject?.length ?? 0;
    const { snapshot, type } = await this.#findType(submission);
    checkOwner(type, sender);
    if (type.schema !== null) checkPayload(submission.userObject, snapshot.checkOf(type.schema));
    const event = eventOf(submission, { sender, type, now, registryVersion: snapshot.version });
    line['registryVersion'] = snapshot.version;
    if (event.deliverAt !== null) line['deliverAt'] = event.deliverAt;
    return { eventId: event.eventId, code: await this.#publish(event, submission) };
  }

  async #publish(event: Event, submission: CheckedSubmission): Promise<'OK' | 'DUPLICATE'> {
    const { broker } = this.#deps;
    const publish = (claimSteps: boolean): Promise<void> =>
      event.deliverAt === null
        ? broker.publishEvent({ event, chain: null, claimSteps })
        : broker.publishToJournal(event);
    if (event.senderUuid === null) {
      await publish(false);
      return 'OK';
    }
    try {
      return await publishKeyed(this.#deps, {
        key: { appId: event.appId, key: event.senderUuid },
        eventId: event.eventId,
        bodyHash: bodyHash(submission.bodyFields),
        now: event.acceptedAt,
        publish,
      });
    } catch (error) {
      // A repeat under the key gets the same id, so that the sender may be told it already.
      if (hasCode(error, 'UNAVAILABLE') || hasCode(error, 'IN_PROGRESS')) throw error.aboutEvent(event.eventId);
      throw error;
    }
  }

  #takeRate(node: Node): void {
    const { nodeCode, sendRateLimit } = node;
    if (sendRateLimit === null) return;
    let bucket = this.#sendRates.get(nodeCode);
    if (bucket?.ratePerSecond !== sendRateLimit) {
      bucket = new TokenBucket(sendRateLimit, this.#deps.clock);
      this.#sendRates.set(nodeCode, bucket);
    }
    const waitMs = bucket.take();
    if (waitMs === 0) return;
    throw new EventCenterError(
      'RATE_LIMITED',
      `the application may send ${String(sendRateLimit)} events per second, wait and repeat`,
      {
        retryAfterSeconds: Math.ceil(waitMs / 1000),
      },
    );
  }

  /** A type that this process has not heard of may have been registered a moment ago (architecture, decision 3). */
  async #findType(submission: CheckedSubmission): Promise<{ snapshot: RegistrySnapshot; type: EventType }> {
    const { sourceId, eventType } = submission;
    let snapshot = this.#deps.registry.current();
    let type = snapshot.eventTypeByCode(sourceId, eventType);
    if (type === null) {
      snapshot = await this.#deps.registry.refreshed();
      type = snapshot.eventTypeByCode(sourceId, eventType);
    }
    if (type === null) {
      throw new EventCenterError(
        'UNKNOWN_EVENT_TYPE',
        `there is no event type (${sourceId}, ${eventType}), register it first`,
      );
    }
    return { snapshot, type };
  }

  async #nodeNamed(appId: string | null): Promise<Node | null> {
    if (appId === null || appId === BUILT_IN_NODE_CODE) return null;
    const { registry } = this.#deps;
    const node = registry.current().node(appId) ?? (await registry.refreshed()).node(appId);
    if (node?.enabled !== true) throw invalidField('appId', 'expected the code of a registered, enabled node');
    return node;
  }
}

function checkOwner(type: EventType, { node }: Sender): void {
  const { owner } = type;
  if (owner === OWNER_ALL) return;
  const isAllowed = owner !== BUILT_IN_NODE_CODE && (node === null || node.nodeCode === owner);
  if (isAllowed) return;
  throw new EventCenterError(
    'NOT_OWNER',
    `the event type (${type.sourceId}, ${type.eventTypeCode}) may be sent by ${owner} only`,
  );
}

function checkPayload(userObject: Buffer | null, check: ReturnType<RegistrySnapshot['checkOf']>): void {
  const failure = checkText(userObject, check);
  if (failure === null) return;
  const path = `userObject${failure.path.slice(0, NAMED_LENGTH)}`;
  throw new EventCenterError('SCHEMA_MISMATCH', `${path}: ${failure.message}`, {
    fields: [{ path, message: failure.message }],
  });
}

function checkText(
  userObject: Buffer | null,
  check: ReturnType<RegistrySnapshot['checkOf']>,
): ReturnType<typeof check> {
  let value: JsonValue = null;
  if (userObject !== null) {
    try {
      value = JSON.parse(userObject.toString('utf8')) as JsonValue;
    } catch {
      return { path: '', message: 'expected JSON, because the event type has a schema' };
    }
  }
  return check(value);
}

function eventOf(
  submission: CheckedSubmission,
  context: { sender: Sender; type: EventType; now: number; registryVersion: number },
): Event {
  const appId = context.sender.node?.nodeCode ?? BUILT_IN_NODE_CODE;
  const { uuid, deliverAt } = submission;
  return {
    eventId: uuid === null ? uuidV7(context.now) : uuidV5(appId, uuid),
    appId,
    eventTypeId: context.type.id,
    sourceId: submission.sourceId,
    eventType: submission.eventType,
    tenantCode: submission.tenantCode,
    userObject: submission.userObject,
    senderUuid: uuid,
    traceparent: submission.traceparent,
    acceptedAt: context.now,
    deliverAt: deliverAt !== null && deliverAt > context.now ? deliverAt : null,
    registryVersion: context.registryVersion,
  };
}

/** What a caller wrote, cut so that a log line stays a line. */
function shortened(text: string | null): string | null {
  return text === null ? null : text.slice(0, NAMED_LENGTH);
}
