/** What a reason to dead-letter begins with when the handler has failed over the message too often. */
export const GIVEN_UP = 'given up: ';
