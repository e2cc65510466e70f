/** What the bench's processes say to each other. */

export type ReceiverRequest = 'reset' | 'count' | 'arrivals';

export type ReceiverReport =
  | { kind: 'ready'; url: string }
  | { kind: 'count'; distinct: number; calls: number }
  /** Event number and when it arrived, per listener. */
  | { kind: 'arrivals'; arrivals: [number, number][] };

export interface LoadRequest {
  /** Centres or floors that take the events in turn. */
  urls: string[];
  appId: string;
  appKey: string;
  events: number;
  /** Bytes of the whole form body, about. */
  bytes: number;
  connections: number;
  /** Events go to the types MEASURED-0 … in turn; null sends all to MEASURED. */
  eventTypes: number | null;
  /** Events per second to send at; null sends as fast as the answers come. */
  rate: number | null;
}

export type LoadReport =
  | { kind: 'ready' }
  | {
      kind: 'done';
      startedAt: number;
      endedAt: number;
      accepted: number;
      refused: number;
      /** A sample of what a refusal said. */
      firstRefusal: string | null;
      /** When event number i was sent. */
      sentAt: number[];
      /** When the answer to event number i came. */
      acceptedAt: number[];
    };
