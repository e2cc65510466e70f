import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CentreClient, type SendAnswer } from './centre-client.js';
import { startCentreProcess, type CentreProcess } from './centre-process.js';
import { ListenerStub } from './listener-stub.js';
import { createSurroundings, type Surroundings, type SurroundingsKind } from './surroundings.js';
import { until } from './until.js';

/** The default schedule of the flows: three attempts. */
export const RETRY_DELAYS_MS = [200, 400];

export interface FlowNode {
  appId: string;
  appKey: string;
}

export interface FlowType {
  id: string;
  sourceId: string;
  eventTypeCode: string;
}

export interface FlowListener {
  id: string;
  nodeCode: string;
  /** Where the stub answers for it. */
  path: string;
}

const SETTLED = ['no-listener', 'failed', 'succeeded', 'skipped'];

/**
 * A centre process in surroundings of its own with a switchable receiver beside it, and the words in which flows are
 * told. Nodes, types and listeners get names of their own, so that tests can share the process.
 */
export class Flow {
  readonly surroundings: Surroundings;
  readonly stub: ListenerStub;
  readonly #environment: Record<string, string>;
  readonly #logFile: string;
  readonly #processes: CentreProcess[] = [];
  #named = 0;
  #centre: CentreProcess | null = null;
  #client: CentreClient | null = null;
  #sender: FlowNode | null = null;

  private constructor(surroundings: Surroundings, stub: ListenerStub, environment: Record<string, string>) {
    this.surroundings = surroundings;
    this.stub = stub;
    this.#logFile = join(surroundings.dataDir, 'centre.log');
    this.#environment = {
      ...surroundings.environment,
      EVENT_CENTER_RETRY_DELAYS_MS: RETRY_DELAYS_MS.join(','),
      ...environment,
    };
    surroundings.noteDelays(RETRY_DELAYS_MS);
  }

  /** Starts everything, and registers a sender. */
  static async start(kind: SurroundingsKind, environment: Record<string, string> = {}): Promise<Flow> {
    const flow = new Flow(await createSurroundings(kind), await ListenerStub.start(), environment);
    try {
      await flow.startCentre();
      flow.#sender = await flow.node();
      return flow;
    } catch (error) {
      await flow.close().catch(() => {});
      throw error;
    }
  }

  get centre(): CentreProcess {
    return started(this.#centre);
  }

  get client(): CentreClient {
    return started(this.#client);
  }

  get sender(): FlowNode {
    return started(this.#sender);
  }

  /** Starts a process in the same surroundings and data folder; the newest is the one that is spoken to. */
  async startCentre(environment: Record<string, string> = {}): Promise<CentreProcess> {
    this.#centre = await this.startAnother(environment);
    this.#client = new CentreClient(this.#centre.url, this.#centre.token);
    return this.#centre;
  }

  /** Starts a further process in the same surroundings, with a data folder of its own unless one is named. */
  async startAnother(environment: Record<string, string>, dataDir = this.surroundings.dataDir): Promise<CentreProcess> {
    const centre = await startCentreProcess({
      environment: { ...this.#environment, ...environment },
      dataDir,
      logFile: this.#logFile,
    });
    this.#processes.push(centre);
    return centre;
  }

  async node(fields: Record<string, unknown> = {}): Promise<FlowNode> {
    const nodeCode = this.#name('N');
    this.surroundings.noteNode(nodeCode);
    const { appKey } = await this.client.must('POST', '/nodes', { nodeCode, ...fields });
    return { appId: nodeCode, appKey };
  }

  async eventType(fields: Record<string, unknown> = {}): Promise<FlowType> {
    const sourceId = this.#name('S');
    const eventTypeCode = this.#name('T');
    const { id } = await this.client.must('POST', '/event-types', { sourceId, eventTypeCode, ...fields });
    return { id, sourceId, eventTypeCode };
  }

  /** A listener of `node` with a path of its own at the stub, unless `fields` has a url. */
  async listener(node: FlowNode, type: FlowType, fields: Record<string, any> = {}): Promise<FlowListener> {
    const name = this.#name('L');
    const path = `/${node.appId}/${name}`;
    this.surroundings.noteDelays(fields['retry']?.delaysMs ?? []);
    const { id } = await this.client.must('POST', '/listeners', {
      name,
      nodeCode: node.appId,
      eventTypeId: type.id,
      url: this.stub.url(path),
      ...fields,
    });
    return { id, nodeCode: node.appId, path };
  }

  /** Sends a signed event that must be accepted; returns its id. */
  async send(type: FlowType, fields: Record<string, string> = {}): Promise<string> {
    const answer = await this.trySend(type, fields);
    if (answer.status !== 1 || answer.eventId === null) {
      throw new Error(`the event was not accepted: ${JSON.stringify(answer)}`);
    }
    return answer.eventId;
  }

  /** Sends a signed event, whatever comes of it. */
  trySend(type: FlowType, fields: Record<string, string> = {}, sender = this.sender): Promise<SendAnswer> {
    const codes = { sourceID: type.sourceId, eventType: type.eventTypeCode };
    return this.client.send(sender, { ...codes, ...fields });
  }

  /** The events of a source with their deliveries, once the log has at least `count` of them and all are settled. */
  async settledEvents(sourceId: string, count: number): Promise<any[]> {
    const listed = await until(`${count} events of ${sourceId} are settled`, async () => {
      const all = await this.client.all(`/events?sourceId=${sourceId}`);
      return all.length >= count && all.every(({ state }) => SETTLED.includes(state)) ? all : null;
    });
    return Promise.all(listed.map(({ eventId }) => this.event(eventId)));
  }

  /** The event as the API shows it, null while it is not recorded. */
  async event(eventId: string): Promise<any> {
    const { status, body } = await this.client.call('GET', `/events/${eventId}`);
    if (status === 404) return null;
    if (status !== 200) throw new Error(`GET /events/${eventId} answered ${status}: ${JSON.stringify(body)}`);
    return body;
  }

  /** Waits until nothing of the event is pending any more; returns it. */
  settled(eventId: string): Promise<any> {
    return until(`event ${eventId} is settled`, async () => {
      const event = await this.event(eventId);
      return event !== null && SETTLED.includes(event.state) ? event : null;
    });
  }

  /** Waits until the delivery is in one of the states; returns it with its attempts. */
  deliveryIn(eventId: string, listener: FlowListener, ...states: string[]): Promise<any> {
    const path = `/deliveries/${eventId}/${listener.id}`;
    return until(`delivery ${path} is ${states.join(' or ')}`, async () => {
      const { status, body } = await this.client.call('GET', path);
      return status === 200 && states.includes(body.state) ? body : null;
    });
  }

  /** The calls that the stub received for an event, of one listener or of all. */
  callsOf(eventId: string, listener?: FlowListener) {
    return this.stub.calls(listener?.path).filter((call) => call.eventId === eventId);
  }

  /** Values of a metric by its label text, such as `{code="OK"}`. */
  async metric(name: string): Promise<Map<string, number>> {
    const { text } = await this.client.get('/metrics');
    const samples = text.split('\n').flatMap((line) => {
      const found = /^(\w+)(\{[^}]*\})? (\S+)$/.exec(line);
      return found?.[1] === name ? [[found[2] ?? '', Number(found[3])] as const] : [];
    });
    return new Map(samples);
  }

  /** What was logged as an error, which only a person can mend. */
  errorsLogged(): string[] {
    if (!existsSync(this.#logFile)) return [];
    return readFileSync(this.#logFile, 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !/"level":"(warn|info|debug)"/.test(line));
  }

  /**
   * Ends and removes everything.
   * @throws when a process did not end in order, or had logged an error other than `expected` ones.
   */
  async close(expected: RegExp = /^$/): Promise<void> {
    const codes = await Promise.all(this.#processes.map((centre) => centre.stop()));
    await this.stub.close();
    const errors = this.errorsLogged().filter((line) => !expected.test(line));
    await this.surroundings.remove();
    if (errors.length > 0) throw new Error(`the centre logged errors:\n${errors.join('\n')}`);
    if (codes.some((code) => code !== 0 && code !== null)) throw new Error(`processes ended with ${codes.join(', ')}`);
  }

  #name(letter: string): string {
    this.#named += 1;
    return `${letter}${this.#named}`;
  }
}

function started<T>(part: T | null): T {
  if (part === null) throw new Error('the flow was not started');
  return part;
}
