export { amqpTransport } from './amqp-transport.js';
export type { AmqpTransportOptions } from './amqp-options.js';
