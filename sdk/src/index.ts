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
