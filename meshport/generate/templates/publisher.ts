
  /** Send records as events, and wait until they are stored. */
  async publish(producer: Producer, ...records: __ROOT__[]): Promise<void> {
    await producer.send({ topic: this.binding.topic, acks: -1, messages: records.map((each) => this.encode(each)) });
  }

  /** Return the message of an event; its id has to be the same whenever the same fact is published again. */
  encode(record: __ROOT__, attributes: Attributes = {}): SentMessage {
    const body = TYPE.toBuffer(__WRITE_ROOT__(record)) as Buffer;
    const value = Buffer.alloc(5 + body.length);
    value.writeInt32BE(this.#schemaId, 1);
    body.copy(value, 5);
    const headers: Record<string, string> = {
      ce_specversion: "1.0",
      ce_source: __PORT__.address,
      ce_type: this.binding.type,
      ce_dataschema: `urn:meshport:schema:${FINGERPRINT}`,
      "content-type": "application/avro",
      ce_id: attributes.id ?? crypto.randomUUID(),
      ce_time: attributes.time?.toISOString() ?? __TIME__,
      ce_recordedtime: new Date().toISOString(),
    };
    if (attributes.subject !== undefined) headers.ce_subject = attributes.subject;
    for (const [name, each] of Object.entries(attributes.extensions ?? {})) headers[`ce_${name}`] = each;
    return { key: __KEY__, value, headers };
  }
