// -- the port ------------------------------------------------------------------------------------------------------

/** The registry: its URL, and the headers of a login, such as `authorization`. */
export interface Registry {
  url: string;
  headers?: Record<string, string>;
}

/** What the port's address leads to, as the registry says. */
export interface Binding {
  topic: string;
  bootstrap_servers: string;
  partitions: number;
  type: string;
  schema_id: number;
  fingerprint: string;
}

/** One event, with its position in Kafka. */
export interface Event {
  id: string;
  source: string;
  type: string;
  /** When the fact happened. */
  time: Date;
  /** When it was recorded. */
  recordedTime: Date | null;
  subject: string | null;
  /** Other attributes by name, such as `traceparent`. */
  extensions: Record<string, string>;
  key: string | null;
  /** The record; null for a tombstone, which deletes its key. */
  data: __ROOT__ | null;
  topic: string;
  partition: number;
  offset: string;
}

/** A message as clients with KafkaJS' interface give it. */
export interface ReceivedMessage {
  key?: Buffer | string | null;
  value: Buffer | string | null;
  headers?: Record<string, unknown>;
  offset: string;
  timestamp: string;
}

/** A consumer with KafkaJS' interface. */
export interface Consumer {
  subscribe(options: { topics: string[]; fromBeginning?: boolean }): Promise<unknown>;
  run(options: {
    eachMessage: (payload: { topic: string; partition: number; message: any }) => Promise<void>;
  }): Promise<unknown>;
  disconnect(): Promise<unknown>;
  on?(event: any, listener: () => void): unknown;
}

const RESOLVE = "/api/v1/resolve/__PATH__?major=__MAJOR__";
const LOOK_MS = 5000;
const GUID = "__GUID__";
const FINGERPRINT = "__FINGERPRINT__";

/** The port __ADDRESS__: reads its events, and publishes to it. */
export class __PORT__ {
  static readonly address = "__ADDRESS__";

  readonly binding: Binding;
  readonly #registry: Registry;
  readonly #readers = new Map<number, Promise<(body: Buffer) => __ROOT__>>();

  readonly #schemaId: number;

  private constructor(registry: Registry, binding: Binding, schemaId: number) {
    this.#registry = registry;
    this.binding = binding;
    this.#schemaId = schemaId;
  }

  /** Resolve the address at a registry. */
  static async open(registry: Registry): Promise<__PORT__> {
    const binding = (await ask(registry, RESOLVE)) as Binding;
    let id = binding.schema_id;
    if (binding.fingerprint !== FINGERPRINT) {
      // The contract has a newer version: these types are of an earlier one, which keeps its own id.
      const [first] = (await ask(registry, `/schemas/guids/${GUID}/ids`)) as { id: number }[];
      if (first === undefined) throw new Error(`the registry does not know the contract of this client (${FINGERPRINT})`);
      id = first.id;
    }
    return new __PORT__(registry, binding, id);
  }

  /**
   * Give each event to a function, one after another. Without `onBad`, a message that cannot be read ends the consumer's run.
   *
   * After a rebuild of the port the consumer is disconnected, within seconds, and `onReplaced` gets the error. Without it
   * the error ends the process; a program that is started again reads the new topic.
   */
  async subscribe(
    consumer: Consumer,
    handle: (event: Event) => Promise<void> | void,
    options: {
      fromBeginning?: boolean;
      onBad?: (error: unknown, message: ReceivedMessage) => void;
      onReplaced?: (error: GenerationReplacedError) => void;
    } = {},
  ): Promise<void> {
    await consumer.subscribe({ topics: [this.binding.topic], fromBeginning: options.fromBeginning ?? false });
    await consumer.run({
      eachMessage: async ({ topic, partition, message }) => {
        let event: Event;
        try {
          event = await this.decode(message as ReceivedMessage, topic, partition);
        } catch (error) {
          if (options.onBad === undefined || error instanceof RegistryError) throw error;
          options.onBad(error, message as ReceivedMessage);
          return;
        }
        await handle(event);
      },
    });
    const look = setInterval(async () => {
      const bound = await this.#boundTopic();
      if (bound === this.binding.topic) return;
      clearInterval(look);
      await consumer.disconnect();
      const error = new GenerationReplacedError(
        `${__PORT__.address} was rebuilt: it is bound to ${bound}, and no longer to ${this.binding.topic}; ` +
          `start the program again, which then reads ${bound}`,
      );
      if (options.onReplaced === undefined) throw error;
      options.onReplaced(error);
    }, LOOK_MS);
    look.unref();
    for (const event of ["consumer.stop", "consumer.disconnect"]) consumer.on?.(event, () => clearInterval(look));
  }

  async #boundTopic(): Promise<string> {
    try {
      return ((await ask(this.#registry, RESOLVE)) as Binding).topic;
    } catch {
      return this.binding.topic; // reading goes on without the registry
    }
  }

  /** Return the event of a message. */
  async decode(message: ReceivedMessage, topic: string, partition: number): Promise<Event> {
    const given = attributesOf(message.headers ?? {});
    const { id, source, type, time, recordedtime, subject, specversion, dataschema, ...extensions } = given;
    return {
      id: id ?? `${topic}-${partition}-${message.offset}`,
      source: source ?? __PORT__.address,
      type: type ?? this.binding.type,
      time: new Date(time ?? Number(message.timestamp)),
      recordedTime: recordedtime === undefined ? null : new Date(recordedtime),
      subject: subject ?? null,
      extensions,
      key: message.key == null ? null : message.key.toString(),
      data: message.value == null ? null : await this.#read(Buffer.from(message.value as Buffer)),
      topic,
      partition,
      offset: message.offset,
    };
  }

  async #read(value: Buffer): Promise<__ROOT__> {
    if (value.length < 5 || value[0] !== 0) throw new Error("the value is not in Confluent's wire format");
    const id = value.readInt32BE(1);
    let reader = this.#readers.get(id);
    if (reader === undefined) {
      reader = this.#reader(id);
      this.#readers.set(id, reader);
      reader.catch(() => this.#readers.delete(id));
    }
    return (await reader)(value.subarray(5));
  }

  async #reader(id: number): Promise<(body: Buffer) => __ROOT__> {
    const { schema } = (await ask(this.#registry, `/schemas/ids/${id}`)) as { schema: string };
    const writer = avroType(schema);
    const resolver = TYPE.createResolver(writer);
    return (body) => __READ_ROOT__(TYPE.fromBuffer(body, resolver));
  }
__PUBLISHER__}

/** The registry did not answer, or refused. */
export class RegistryError extends Error {}

/** The port was rebuilt, and its address is bound to another topic than the one that is read. */
export class GenerationReplacedError extends Error {}

async function ask(registry: Registry, path: string): Promise<unknown> {
  const url = registry.url.replace(/\/+$/, "") + path;
  let response: Response;
  try {
    response = await fetch(url, { headers: { accept: "application/json", ...registry.headers } });
  } catch (error) {
    throw new RegistryError(`${url} does not answer`, { cause: error });
  }
  if (!response.ok) throw new RegistryError(`${url}: ${response.status} ${await response.text()}`);
  return response.json();
}

function attributesOf(headers: Record<string, unknown>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const one = Array.isArray(value) ? value[0] : value;
    if (name.startsWith("ce_") && one != null) found[name.slice(3)] = String(one);
  }
  return found;
}

/** Longs are bigint: a number of JavaScript holds 53 of their bits. */
function avroType(schema: string): any {
  const long = (avsc.types.LongType as any).__with({
    fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
    toBuffer: (value: bigint) => {
      const buffer = Buffer.alloc(8);
      buffer.writeBigInt64LE(value);
      return buffer;
    },
    fromJSON: BigInt,
    toJSON: Number,
    isValid: (value: unknown) => typeof value === "bigint" && BigInt.asIntN(64, value) === value,
    compare: (one: bigint, other: bigint) => (one < other ? -1 : one > other ? 1 : 0),
  });
  // Logical types are left to the functions below.
  const typeHook = (form: any) => (form === "long" || form?.type === "long" ? long : undefined);
  return avsc.Type.forSchema(JSON.parse(schema), { typeHook, wrapUnions: true } as any);
}

const TYPE = avroType(__SCHEMA__);
