/** The application: one route for the centre, one for people. */
import express from 'express';
import { createReceiver } from '@event-center/sdk';
import { MemoryInbox } from '@event-center/sdk/inbox';

/**
 * @param of `nodeCode` and `clientKey` as registered; `reserve(event)` acts, and what it throws makes the centre come
 *   again; `onRefused(error)` is told of every call that was no success.
 */
export function createApp({ nodeCode, clientKey, onRefused, reserve }) {
  const orders = [];
  const receiver = createReceiver(
    {
      nodeCode,
      clientKey,
      // Of one process. An application that keeps its work in a database keeps its inbox there too: SqlInbox.
      inbox: new MemoryInbox(),
      inboxScope: 'orders',
      onError: onRefused,
    },
    async (event) => {
      await reserve(event);
      orders.push(event.payload.order);
    },
  );

  const app = express();
  // No body parser before it: the signature is over the bytes as they came.
  app.post('/callbacks', receiver.node);
  app.use(express.json());
  app.get('/orders', (request, response) => {
    response.json({ orders });
  });
  return app;
}
