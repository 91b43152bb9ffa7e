/** Attributes of an event that is published. */
export interface Attributes {
  /** By default a random one. */
  id?: string;
  /** When the fact happened; by default the contract's time field, else now. */
  time?: Date;
  subject?: string;
  extensions?: Record<string, string>;
}

/** A message as clients with KafkaJS' interface take it. */
export interface SentMessage {
  key: string | null;
  value: Buffer;
  headers: Record<string, string>;
}

/** A producer with KafkaJS' interface. */
export interface Producer {
  send(batch: { topic: string; acks?: number; messages: SentMessage[] }): Promise<unknown>;
}

__KEY_TEXT__
