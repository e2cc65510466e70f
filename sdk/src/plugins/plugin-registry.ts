import { InvalidOptionError } from '../errors.js';
import type { IBusinessEventListener, PluginClass, PluginFactory, PluginSource } from './plugin.js';
import { sentenceOf } from './sentence.js';

/** The plugins of a host by full class name. One instance of each is made, when it is needed first. */
export class PluginRegistry {
  readonly #sources = new Map<string, PluginSource>();
  readonly #instances = new Map<string, Promise<IBusinessEventListener>>();

  /** @throws InvalidOptionError for an empty name, a name that is taken, and what cannot be a plugin. */
  register(className: string, source: PluginSource): void {
    if (typeof className !== 'string' || className === '') {
      throw new InvalidOptionError('className', 'required, the full class name as registered in implClassName');
    }
    const field = `plugins[${className}]`;
    if (this.#sources.has(className)) throw new InvalidOptionError(field, 'this class name has a plugin already');
    if (typeof source !== 'function' && !isPlugin(source)) {
      throw new InvalidOptionError(field, 'expected a class, a factory, or an object with the method doAction');
    }
    this.#sources.set(className, source);
  }

  has(className: string): boolean {
    return this.#sources.has(className);
  }

  classNames(): string[] {
    return [...this.#sources.keys()];
  }

  /** The plugin of a class; a making that failed is tried again by the next call. Rejects with a sentence for people. */
  async instance(className: string): Promise<IBusinessEventListener> {
    const known = this.#instances.get(className);
    if (known !== undefined) return known;
    const source = this.#sources.get(className);
    if (source === undefined) throw new Error(`this host has no plugin for the class ${className}`);
    const making = make(className, source);
    this.#instances.set(className, making);
    making.catch(() => this.#instances.delete(className));
    return making;
  }
}

async function make(className: string, source: PluginSource): Promise<IBusinessEventListener> {
  let made: unknown;
  try {
    made = typeof source === 'function' ? await build(source) : source;
  } catch (error) {
    throw new Error(`the plugin of the class ${className} could not be made: ${sentenceOf(error)}`, { cause: error });
  }
  if (!isPlugin(made)) throw new Error(`what was made for the class ${className} has no method doAction`);
  return made;
}

function build(source: PluginClass | PluginFactory): unknown {
  return isClass(source) ? new source() : source();
}

/** A class as written, or one that a compiler made a function of. */
function isClass(source: PluginClass | PluginFactory): source is PluginClass {
  if (/^class\b/.test(Function.prototype.toString.call(source))) return true;
  return isPlugin((source as { prototype?: unknown }).prototype);
}

function isPlugin(value: unknown): value is IBusinessEventListener {
  return (
    typeof value === 'object' && value !== null && typeof (value as { doAction?: unknown }).doAction === 'function'
  );
}
