import { brokerKinds } from '../support/brokers.js';
import { brokerConformance } from './broker-conformance.js';

describe.each(brokerKinds())('the broker port on %s', (kind) => {
  brokerConformance(kind);
});
