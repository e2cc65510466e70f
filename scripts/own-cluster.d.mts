import type { OwnBroker } from './own-services.mjs';

export interface Address {
  host: string;
  port: number;
}

/** A way between two nodes. */
export interface Way {
  port: number;
  cut(): void;
  freeze(): void;
  restore(): void;
  thaw(): void;
  close(): Promise<void>;
}

export type OwnNode = Omit<OwnBroker, 'remove'> & { name: string };

export interface OwnCluster {
  nodes: OwnNode[];
  /** Cuts every way to and from a node, or lets them swallow everything. */
  isolate(index: number, how: 'cut' | 'freeze'): void;
  rejoin(index: number): void;
  /** Ends every node and removes their data. */
  remove(): Promise<void>;
}

export function startRabbitMqCluster(options: {
  answers: (url: string) => Promise<unknown>;
  link: (way: { from: Address; to: Address }) => Promise<Way>;
  size?: number;
  partitionHandling?: 'pause_minority' | 'ignore' | 'autoheal';
}): Promise<OwnCluster>;
