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
