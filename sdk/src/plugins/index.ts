export type { BusinessEvent } from '../business-event.js';
export type { HostLog, LogFields } from './log.js';
export type {
  IBusinessEventListener,
  PluginClass,
  PluginContext,
  PluginFactory,
  Plugins,
  PluginSource,
} from './plugin.js';
export type { PluginTransport, TransportHost, TransportStatus } from './transport.js';
export type {
  RegisteredEventType,
  RegisteredListener,
  RegisteredNode,
  RegisteredRetry,
  RegisteredRevision,
  Registrations,
  RegistrationsView,
} from './registrations.js';
export type { PluginCall, PluginResult, PluginRunner, TransportedEvent } from './run-plugin.js';
