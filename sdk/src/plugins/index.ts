export type { BusinessEvent } from '../business-event.js';
export type { LogFields, SdkLog } from '../log.js';
export { EventListenerHost } from './host.js';
export type { EventListenerHostOptions, HostOptions, HostStatus } from './host.js';
export { httpTransport } from './http-transport.js';
export type { HttpTransportOptions } from './http-transport.js';
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
  RegisteredRevision,
  Registrations,
  RegistrationsView,
} from './registrations.js';
export type { PluginCall, PluginResult, PluginRunner, TransportedEvent } from './run-plugin.js';
export { parseProperties } from './vendor-settings.js';
export type { VendorSettings } from './vendor-settings.js';
export { EventCenterClientError, InvalidOptionError, RefusedError, UnavailableError } from '../errors.js';
