/** The one file of undici that is bundled, so that nothing else of it is. */
declare module 'undici/lib/dispatcher/pool.js' {
  import type { Dispatcher } from 'undici';

  export default class Pool {
    constructor(origin: string, options: { connect: { timeout: number }; headersTimeout: number; bodyTimeout: number });
    dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandlers): boolean;
    close(): Promise<void>;
  }
}
