import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventListenerHost } from '../../src/plugins/host.js';
import { hostOptionsFromEnv, optionsOfSettings, parseProperties } from '../../src/plugins/vendor-settings.js';

const FILE = `
#集群名称
msg.clusterCode=ANONYMOUS_CLUSTER
! a comment too
event.manager.url = http://uas.example.com:8080/event/eventmanager/eventinfo/index.do
mq.customerNum: 3
mq.address=10.0.0.1:5672,10.0.0.2:5672
msg.appKey=dGVzdA==
`;

describe('settings by the names of the vendor', () => {
  it('reads a properties file', () => {
    expect(optionsOfSettings(parseProperties(FILE))).toEqual({
      appId: 'ANONYMOUS_CLUSTER',
      appKey: 'dGVzdA==',
      baseUrl: 'http://uas.example.com:8080',
      contextPath: '/event',
      concurrency: 3,
    });
  });

  it('reads the file that the environment names; our own variables come first', () => {
    const folder = mkdtempSync(join(tmpdir(), 'event-center-settings-'));
    try {
      const file = join(folder, 'eventConfig.properties');
      writeFileSync(file, FILE);
      const env = { 'event-mqConfig-filePath': file };
      expect(hostOptionsFromEnv(env)).toMatchObject({
        appId: 'ANONYMOUS_CLUSTER',
        contextPath: '/event',
        concurrency: 3,
      });
      const ours = { ...env, EVENT_CENTER_URL: 'https://events.example.com', EVENT_CENTER_APP_ID: 'SHOP' };
      expect(hostOptionsFromEnv(ours)).toMatchObject({ baseUrl: 'https://events.example.com', appId: 'SHOP', appKey: 'dGVzdA==' }); // prettier-ignore
      expect(hostOptionsFromEnv(ours).contextPath).toBeUndefined();
      expect(EventListenerHost.fromEnv({}, env).status().state).toBe('new');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('takes an object', () => {
    const settings = parseProperties(FILE);
    expect(EventListenerHost.fromSettings(settings).status()).toMatchObject({ state: 'new', registryVersion: null });
  });

  it('names what is wrong', () => {
    expect(() => hostOptionsFromEnv({})).toThrow('EVENT_CENTER_URL');
    expect(() => hostOptionsFromEnv({ 'event-mqConfig-filePath': '/does/not/exist' })).toThrow(
      'event-mqConfig-filePath',
    );
    expect(() => optionsOfSettings({ 'event.manager.url': 'uas.example.com' })).toThrow('event.manager.url');
    expect(() => optionsOfSettings({ 'event.manager.url': 'http://uas.example.com/event' })).toThrow('/eventmanager/');
    expect(() => EventListenerHost.fromSettings({ ...parseProperties(FILE), 'mq.customerNum': 'many' })).toThrow(
      'concurrency',
    );
    expect(() => EventListenerHost.fromSettings({ ...parseProperties(FILE), 'msg.clusterCode': '' })).toThrow('appId');
    expect(() => EventListenerHost.fromEnv({ concurrency: 0 }, { EVENT_CENTER_URL: 'http://x', EVENT_CENTER_APP_ID: 'A', EVENT_CENTER_APP_KEY: 'dGVzdA==' })).toThrow('concurrency: expected a whole number, 1 to 1000'); // prettier-ignore
  });
});
