export {
  CHUNKED,
  decodeKey,
  digest,
  formText,
  parseQuery,
  signCall,
  splitUrl,
  stringToSign,
  verifySignature,
} from './signature.js';
export type { CallToSign, FormField, SignatureAlgorithm, SignedParts, SignedQuery } from './signature.js';
export { EventCenterClientError, InvalidOptionError, RefusedError, UnavailableError } from './errors.js';
export type { BusinessEvent } from './business-event.js';
export type { LogFields, SdkLog } from './log.js';
export { EventCenterClient } from './client/event-center-client.js';
export type { ClientRules, EventCenterClientOptions, Sent, SendResult } from './client/event-center-client.js';
export type { Registrations, RegisteredEventType, RegisteredListener } from './client/registrations.js';
export type { Submission, SubmissionDetails } from './client/submission.js';
export type { EventKey, EventMap, EventOf, EventTypeOf, PayloadOf, SourceIdOf } from './event-map.js';
export type { Inbox, InboxKey, InboxResult } from './inbox/inbox.js';
export { createReceiver } from './receiver/receiver.js';
export type { EventHandler, Receiver, ReceiverContext } from './receiver/receiver.js';
export type { ReceiverOptions } from './receiver/receiver-options.js';
export { ReceiverRefusal } from './receiver/receiver-refusal.js';
export type { ReceiverRefusalCode } from './receiver/receiver-refusal.js';
