import type { EventCenterClient, EventOf, Submission } from '../../src/index.js';

interface Events {
  'ERP/ORDER_CREATED': { orderId: string };
  'ERP/ORDER_PAID': { amount: number };
  'CRM/CALLED': unknown;
}

type Fits<Value, Type> = Value extends Type ? true : false;
type Order = { sourceId: 'ERP'; eventType: 'ORDER_CREATED' };
type Sendable = Submission<Events>;

// The type checker decides these: a wrong one does not compile.
describe('an event map', () => {
  it('names the payload that an event type is sent with', () => {
    const payload: Fits<Order & { userObject: { orderId: string } }, Sendable> = true;
    const text: Fits<Order & { userObject: string }, Sendable> = true;
    const payloadOfAnother: Fits<Order & { userObject: { amount: number } }, Sendable> = false;
    const none: Fits<Order, Sendable> = false;
    const noneWhereNothingIsSaid: Fits<{ sourceId: 'CRM'; eventType: 'CALLED' }, Sendable> = true;
    expect([payload, text, payloadOfAnother, none, noneWhereNothingIsSaid]).toEqual([true, true, false, false, true]);
  });

  it('lets no event type through that it does not name, unless it is the default', () => {
    const unnamed: Fits<{ sourceId: 'ERP'; eventType: 'CALLED' }, Sendable> = false;
    const anything: Fits<{ sourceId: string; eventType: string; userObject?: unknown }, Submission> = true;
    const byDefault: Fits<Submission, Parameters<EventCenterClient['send']>[0]> = true;
    expect([unnamed, anything, byDefault]).toEqual([false, true, true]);
  });

  it('tells by the event type which payload came', () => {
    type Paid = Extract<EventOf<Events>, { eventType: 'ORDER_PAID' }>;
    const payload: Fits<Paid['payload'], { amount: number }> = true;
    const source: Fits<Paid['sourceId'], 'ERP'> = true;
    const payloadOfAnother: Fits<Paid['payload'], { orderId: string }> = false;
    expect([payload, source, payloadOfAnother]).toEqual([true, true, false]);
  });
});
