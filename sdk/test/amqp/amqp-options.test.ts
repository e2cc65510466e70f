import { amqpTransport, type AmqpTransportOptions } from '../../src/amqp/index.js';
import { InvalidOptionError } from '../../src/errors.js';

const URL_OF_NODE = 'amqp://SHOP:pass-word@broker.invalid/';

describe('the options of the AMQP transport', () => {
  it.each<[string, AmqpTransportOptions]>([
    ['url', {}],
    ['url', { url: URL_OF_NODE, urls: [URL_OF_NODE] }],
    ['url', { url: 'http://SHOP:pass-word@broker.invalid' }],
    ['url', { url: 'pass-word' }],
    ['urls', { urls: [] }],
    ['urls', { urls: [URL_OF_NODE, 'pass-word'] }],
    ['prefetch', { url: URL_OF_NODE, prefetch: 0 }],
    ['prefetch', { url: URL_OF_NODE, prefetch: 2_001 }],
    ['prefix', { url: URL_OF_NODE, prefix: 'ec *' }],
    ['heartbeatSeconds', { url: URL_OF_NODE, heartbeatSeconds: 0.5 }],
  ])('name %s in the refusal of %j, without what it may hold', (field, options) => {
    let refusal: unknown = null;
    try {
      amqpTransport(options);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(InvalidOptionError);
    expect(refusal).toMatchObject({ field, code: 'INVALID_PARAM' });
    expect((refusal as Error).message).not.toContain('pass-word');
  });

  it('are complete with an address, and nothing is begun by them', () => {
    const transport = amqpTransport({ urls: [URL_OF_NODE, 'amqps://SHOP:pass-word@other.invalid/vhost'] });
    expect(transport.status()).toEqual({ connected: false, problem: 'not started', inHand: 0 });
  });

  it('a transport that was never started stops at once', async () => {
    await expect(amqpTransport({ url: URL_OF_NODE }).stop(1_000)).resolves.toBeUndefined();
  });
});
