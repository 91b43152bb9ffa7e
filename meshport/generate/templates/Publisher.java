
  /** Returns a producer with some properties; by default of the servers that the registry names, acknowledged by all replicas. */
  public KafkaProducer<String, byte[]> producer(Properties properties) {
    return new KafkaProducer<>(connection(properties), new StringSerializer(), new ByteArraySerializer());
  }

  /** Sends an event with a new id, and returns a future of its position. */
  public Future<RecordMetadata> publish(KafkaProducer<String, byte[]> producer, __ROOT__ data) throws IOException {
    return producer.send(encode(data, UUID.randomUUID().toString(), Map.of()));
  }

  /**
   * Returns the message of an event.
   *
   * @param data the record
   * @param id of the event; the same one whenever the same fact is published again
   * @param extensions further attributes by name, such as {@code subject} or {@code traceparent}
   */
  public ProducerRecord<String, byte[]> encode(__ROOT__ data, String id, Map<String, String> extensions)
      throws IOException {
    ByteArrayOutputStream value = new ByteArrayOutputStream();
    value.write(ByteBuffer.allocate(5).put((byte) 0).putInt(schemaId).array());
    var encoder = EncoderFactory.get().binaryEncoder(value, null);
    new SpecificDatumWriter<__ROOT__>(SCHEMA, MODEL).write(data, encoder);
    encoder.flush();
    ProducerRecord<String, byte[]> message = new ProducerRecord<>(topic, __KEY__, value.toByteArray());
    Map<String, String> attributes = new HashMap<>();
    extensions.forEach((name, each) -> attributes.put("ce_" + name, each));
    attributes.put("ce_specversion", "1.0");
    attributes.put("ce_source", ADDRESS);
    attributes.put("ce_type", type);
    attributes.put("ce_dataschema", "urn:meshport:schema:" + FINGERPRINT);
    attributes.put("content-type", "application/avro");
    attributes.put("ce_id", id);
    attributes.put("ce_time", __TIME__.toString());
    attributes.put("ce_recordedtime", Instant.now().truncatedTo(java.time.temporal.ChronoUnit.MILLIS).toString());
    attributes.forEach((name, each) -> message.headers().add(name, each.getBytes(StandardCharsets.UTF_8)));
    return message;
  }
__KEY_TEXT__
