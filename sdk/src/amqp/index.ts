export { amqpTransport } from './amqp-transport.js';
export type { AmqpTransportOptions } from './amqp-options.js';
export type { HostLog, LogFields } from '../plugins/log.js';
export type { PluginTransport, TransportHost, TransportStatus } from '../plugins/transport.js';
