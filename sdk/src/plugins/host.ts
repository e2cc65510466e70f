import { SignedCaller, type SignedCallerOptions } from '../client/signed-call.js';
import { namingVariables, type Environment } from '../client/client-environment.js';
import { InvalidOptionError, UnavailableError } from '../errors.js';
import { httpTransport } from './http-transport.js';
import { standardErrorLog, type SdkLog } from '../log.js';
import type { Plugins, PluginSource } from './plugin.js';
import { PluginRegistry } from './plugin-registry.js';
import { RegistrationWatch } from './registration-watch.js';
import type { Registrations } from './registrations.js';
import { PluginRunner } from './run-plugin.js';
import type { PluginTransport, TransportStatus } from './transport.js';
import { hostOptionsFromEnv, optionsOfSettings, type VendorSettings } from './vendor-settings.js';

/** How a host works; times in milliseconds. */
export interface HostOptions {
  /** Plugins by full class name; more can be registered until the start. */
  plugins?: Plugins | undefined;
  /** How events come; `httpTransport()` by default. Each host needs its own. */
  transport?: PluginTransport | undefined;
  /** Most events at a time, 1 to 1000; 8 by default. The plugins of one event run one after another. */
  concurrency?: number | undefined;
  /** Where the host tells what it sees; by default warnings and errors go to standard error. */
  log?: SdkLog | undefined;
  /** How long `stop` waits for running plugins; 30000 by default. */
  graceMs?: number | undefined;
  /** How often the registrations are read; 5000 by default, 100 at least. */
  refreshMs?: number | undefined;
}

/** How a host works, and whose it is at which centre. */
export interface EventListenerHostOptions extends HostOptions, SignedCallerOptions {}

export interface HostStatus extends TransportStatus {
  state: 'new' | 'starting' | 'running' | 'stopping' | 'stopped';
  /** Version of the registrations, null before they were read. */
  registryVersion: number | null;
  /** Class names of enabled listeners for which this host has no plugin: their attempts fail. */
  missingPlugins: string[];
  /** Class names of plugins that no enabled listener has: they are never called. */
  unregisteredPlugins: string[];
}

/**
 * Runs a node's plugins in this process (protocol page, section 5): takes the node's events, runs the plugins of each in
 * `operIndex` order, reports what came of them. Several processes of a node share its events; an event is with one of
 * them at a time, and comes at least once.
 */
export class EventListenerHost {
  readonly #caller: SignedCaller;
  readonly #plugins = new PluginRegistry();
  readonly #runner: PluginRunner;
  readonly #registrations: RegistrationWatch;
  readonly #transport: PluginTransport;
  readonly #concurrency: number;
  readonly #graceMs: number;
  readonly #log: SdkLog;
  readonly #warned = new Set<string>();
  #state: HostStatus['state'] = 'new';
  #stopped: Promise<void> | null = null;

  /** @throws InvalidOptionError naming the option. */
  constructor(options: EventListenerHostOptions) {
    const { plugins = {}, transport, concurrency = 8, log = standardErrorLog } = options;
    this.#caller = new SignedCaller(options);
    this.#concurrency = whole('concurrency', concurrency, [1, 1_000]);
    this.#graceMs = whole('graceMs', options.graceMs ?? 30_000, [0, 86_400_000]);
    const everyMs = whole('refreshMs', options.refreshMs ?? 5_000, [100, 86_400_000]);
    this.#log = log;
    this.#transport = transport ?? httpTransport();
    this.#runner = new PluginRunner(this.#plugins, log);
    this.#registrations = new RegistrationWatch(this.#caller, { everyMs, log });
    for (const [className, source] of Object.entries(plugins)) this.#plugins.register(className, source);
  }

  /**
   * A host by environment: `EVENT_CENTER_URL`, `EVENT_CENTER_APP_ID`, `EVENT_CENTER_APP_KEY`, if they are set
   * `EVENT_CENTER_CONTEXT_PATH` and `EVENT_CENTER_ALGORITHM`, else by the vendor's names (`VendorSettings`), as variables
   * or in the properties file that `event-mqConfig-filePath` names. `options` has precedence.
   * @throws InvalidOptionError naming the variable.
   */
  static fromEnv(options: Partial<EventListenerHostOptions> = {}, env?: Environment): EventListenerHost {
    return namingVariables(() => new EventListenerHost({ ...hostOptionsFromEnv(env), ...options }));
  }

  /**
   * A host by settings under the vendor's names. `options` has precedence.
   * @throws InvalidOptionError naming what is missing or wrong.
   */
  static fromSettings(settings: VendorSettings, options: Partial<EventListenerHostOptions> = {}): EventListenerHost {
    const required = { baseUrl: '', appId: '', appKey: '' };
    return new EventListenerHost({ ...required, ...optionsOfSettings(settings), ...options });
  }

  /** Gives a class its plugin. @throws InvalidOptionError for what `plugins` would refuse, and after the start. */
  register(className: string, source: PluginSource): this {
    if (this.#state !== 'new') throw new InvalidOptionError('className', 'plugins are registered before the start');
    this.#plugins.register(className, source);
    return this;
  }

  /**
   * Reads the registrations, waiting for a centre that is away, and begins to take events.
   * @throws RefusedError when the centre says no, for example to the key; UnavailableError with the code `ABORTED` when
   *   the host is stopped before the centre was there.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new InvalidOptionError('host', `can be started once, and is ${this.#state}`);
    this.#state = 'starting';
    try {
      this.#registrations.onChange((registrations) => this.#compare(registrations));
      await this.#registrations.start();
      if (!this.#isStarting()) {
        throw new UnavailableError('the host was stopped while it started', { status: null, code: 'ABORTED' });
      }
      await this.#transport.start({
        nodeCode: this.#caller.appId,
        caller: this.#caller,
        runner: this.#runner,
        registrations: this.#registrations,
        concurrency: this.#concurrency,
        log: this.#log,
      });
    } catch (error) {
      await this.stop(0);
      throw error;
    }
    if (this.#isStarting()) this.#state = 'running';
  }

  /**
   * Takes nothing more, waits for running plugins up to `graceMs`, then aborts their signals; reports what is done and
   * gives the rest back without an attempt. Never rejects; a further call waits for the first.
   */
  stop(graceMs: number = this.#graceMs): Promise<void> {
    this.#stopped ??= this.#stop(graceMs);
    return this.#stopped;
  }

  status(): HostStatus {
    const transport = this.#transport.status();
    const known = this.#registrations.known;
    return {
      ...transport,
      // What was in its way does not matter any more.
      problem: this.#state === 'stopped' ? null : (transport.problem ?? this.#registrations.problem),
      state: this.#state,
      registryVersion: known?.version ?? null,
      missingPlugins: known === null ? [] : this.#missing(known),
      unregisteredPlugins: known === null ? [] : this.#unregistered(known),
    };
  }

  async #stop(graceMs: number): Promise<void> {
    this.#state = 'stopping';
    await this.#registrations.stop();
    await this.#transport.stop(graceMs);
    this.#caller.close();
    this.#state = 'stopped';
  }

  #isStarting(): boolean {
    return this.#state === 'starting';
  }

  #compare(registrations: Registrations): void {
    for (const implClassName of this.#missing(registrations)) this.#warnOnce('plugin.missing', implClassName);
    for (const implClassName of this.#unregistered(registrations)) this.#warnOnce('plugin.unregistered', implClassName);
  }

  #warnOnce(name: string, implClassName: string): void {
    const key = `${name} ${implClassName}`;
    if (this.#warned.has(key)) return;
    this.#warned.add(key);
    this.#log.warn(name, { nodeCode: this.#caller.appId, implClassName });
  }

  #missing(registrations: Registrations): string[] {
    return [...registeredClasses(registrations)].filter((className) => !this.#plugins.has(className));
  }

  #unregistered(registrations: Registrations): string[] {
    const registered = registeredClasses(registrations);
    return this.#plugins.classNames().filter((className) => !registered.has(className));
  }
}

function registeredClasses({ listeners }: Registrations): Set<string> {
  const names = listeners.map(({ implClassName, enabled }) => (enabled ? implClassName : null));
  return new Set(names.filter((name) => name !== null));
}

function whole(name: string, value: number, [least, most]: [number, number]): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new InvalidOptionError(name, `expected a whole number, ${String(least)} to ${String(most)}`);
  }
  return value;
}
