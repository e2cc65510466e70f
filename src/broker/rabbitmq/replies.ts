/** Reply codes with which RabbitMQ closes a channel (AMQP 0-9-1, section 1.2). */
const REPLY_CODES = { NOT_FOUND: 404, PRECONDITION_FAILED: 406 } as const;

/** Whether `error` is the broker's closing of a channel with this code. */
export function closedWith(error: unknown, reply: keyof typeof REPLY_CODES): boolean {
  return error instanceof Error && 'code' in error && error.code === REPLY_CODES[reply];
}
