import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The peer `kafka-streams`: the jobs on its DSL, exactly once, one thread, with its own stores, caches and changelogs.
 *
 * <p>Takes the runner's JSON as its argument and runs until it is told to stop.
 */
public final class StreamsPeer {
  private static final int PREFIX = 5;

  private final JsonNode spec;
  private final Schema order;
  private final Schema customer;
  private final Schema out;

  private StreamsPeer(JsonNode spec) {
    this.spec = spec;
    this.order = schema("order");
    this.customer = schema("customer");
    this.out = schema("out");
  }

  public static void main(String[] arguments) throws IOException {
    StreamsPeer peer = new StreamsPeer(new ObjectMapper().readTree(arguments[0]));
    KafkaStreams streams = new KafkaStreams(peer.topology().build(), peer.settings());
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
  }

  private Properties settings() {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, text("prefix") + "streams-" + text("run"));
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, text("bootstrap_servers"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, text("folder"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    if (text("job").equals("window update")) {
      // With its cache it would leave out all updates of a key between two commits but the last.
      settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    }
    return settings;
  }

  private StreamsBuilder topology() {
    StreamsBuilder builder = new StreamsBuilder();
    KStream<String, GenericRecord> orders =
        builder.stream(
            text("input"),
            Consumed.with(Serdes.String(), avro(order))
                .withTimestampExtractor(
                    (record, partitionTime) -> (Long) ((GenericRecord) record.value()).get("placed_at")));
    KStream<String, GenericRecord> made =
        switch (text("job")) {
          case "transform" -> orders.mapValues(this::transformed);
          case "join" -> joined(builder, orders);
          case "function" -> running(builder, orders);
          default -> windowed(orders);
        };
    made.process(Attributes::new).to(text("output"), Produced.with(Serdes.String(), avro(out)));
    return builder;
  }

  private GenericRecord transformed(GenericRecord record) {
    GenericRecord line = new GenericData.Record(out);
    line.put("order_id", record.get("order_id"));
    line.put("customer", record.get("customer_id"));
    line.put("currency", record.get("currency"));
    line.put("note", record.get("note"));
    line.put("placed_at", record.get("placed_at"));
    line.put("total_cents", (Long) record.get("amount_cents") * (Integer) record.get("quantity"));
    line.put("large", (Long) record.get("amount_cents") >= 50_000);
    return line;
  }

  private KStream<String, GenericRecord> joined(StreamsBuilder builder, KStream<String, GenericRecord> orders) {
    GlobalKTable<String, GenericRecord> customers =
        builder.globalTable(text("customers"), Consumed.with(Serdes.String(), avro(customer)));
    return orders.join(
        customers,
        (key, record) -> key,
        (record, row) -> {
          GenericRecord enriched = new GenericData.Record(out);
          for (Schema.Field field : order.getFields()) {
            enriched.put(field.name(), record.get(field.name()));
          }
          enriched.put("tier", row.get("tier"));
          enriched.put("credit", row.get("credit"));
          return enriched;
        });
  }

  private KStream<String, GenericRecord> running(StreamsBuilder builder, KStream<String, GenericRecord> orders) {
    builder.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("totals"), Serdes.String(), longs())
            .withCachingEnabled());
    return orders.process(RunningTotal::new, "totals");
  }

  private KStream<String, GenericRecord> windowed(KStream<String, GenericRecord> orders) {
    Duration size = Duration.ofMillis(spec.get("window_ms").asLong());
    KTable<Windowed<String>, long[]> totals =
        orders
            .groupByKey(Grouped.with(Serdes.String(), avro(order)))
            .windowedBy(TimeWindows.ofSizeWithNoGrace(size))
            .aggregate(
                () -> new long[] {0, 0, 0},
                (key, record, sums) -> {
                  long cents = (Long) record.get("amount_cents");
                  return new long[] {sums[0] + 1, sums[1] + cents, Math.max(sums[2], cents)};
                },
                Materialized.<String, long[], WindowStore<Bytes, byte[]>>as("windows")
                    .withKeySerde(Serdes.String())
                    .withValueSerde(longs()));
    if (text("job").equals("window")) {
      totals = totals.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()));
    }
    return totals.toStream().process(WindowRow::new);
  }

  private final class RunningTotal extends ContextualProcessor<String, GenericRecord, String, GenericRecord> {
    @Override
    public void process(Record<String, GenericRecord> record) {
      KeyValueStore<String, long[]> store = context().getStateStore("totals");
      long[] before = store.get(record.key());
      long cents = (Long) record.value().get("amount_cents");
      long[] now = before == null ? new long[] {1, cents, 0} : new long[] {before[0] + 1, before[1] + cents, 0};
      store.put(record.key(), now);
      GenericRecord row = new GenericData.Record(out);
      row.put("customer_id", record.value().get("customer_id"));
      row.put("placed_at", record.value().get("placed_at"));
      row.put("orders", now[0]);
      row.put("cents", now[1]);
      context().forward(record.withValue(row));
    }
  }

  private final class WindowRow extends ContextualProcessor<Windowed<String>, long[], String, GenericRecord> {
    @Override
    public void process(Record<Windowed<String>, long[]> record) {
      GenericRecord row = new GenericData.Record(out);
      row.put("customer_id", record.key().key());
      row.put("window_start", record.key().window().start());
      row.put("window_end", record.key().window().end());
      row.put("orders", record.value()[0]);
      row.put("cents", record.value()[1]);
      row.put("largest", record.value()[2]);
      context().forward(record.withKey(record.key().key()).withValue(row));
    }
  }

  /** Gives each output the eight headers of its own; Streams hands on those of the input. */
  private final class Attributes extends ContextualProcessor<String, GenericRecord, String, GenericRecord> {
    private final byte[] source = bytes(text("source"));
    private final byte[] type = bytes(text("type"));
    private final byte[] dataschema = bytes(text("dataschema"));
    private final byte[] version = bytes("1.0");
    private final byte[] contentType = bytes("application/avro");
    private long number;

    @Override
    public void process(Record<String, GenericRecord> record) {
      String id =
          context().recordMetadata().map(at -> at.partition() + "-" + at.offset() + "-").orElse("") + number++;
      RecordHeaders headers = new RecordHeaders();
      headers.add("ce_specversion", version);
      headers.add("ce_source", source);
      headers.add("ce_type", type);
      headers.add("ce_dataschema", dataschema);
      headers.add("content-type", contentType);
      headers.add("ce_id", bytes(id));
      headers.add("ce_time", bytes(Instant.ofEpochMilli(record.timestamp()).toString()));
      headers.add("ce_recordedtime", bytes(Instant.ofEpochMilli(System.currentTimeMillis()).toString()));
      context().forward(record.withHeaders(headers));
    }
  }

  private Serde<GenericRecord> avro(Schema schema) {
    GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>(schema);
    GenericDatumWriter<GenericRecord> writer = new GenericDatumWriter<>(schema);
    byte[] prefix = ByteBuffer.allocate(PREFIX).put((byte) 0).putInt(spec.get("schema_id").asInt()).array();
    ThreadLocal<BinaryDecoder> decoders = new ThreadLocal<>();
    ThreadLocal<BinaryEncoder> encoders = new ThreadLocal<>();
    return Serdes.serdeFrom(
        (topic, record) -> {
          if (record == null) {
            return null;
          }
          try {
            ByteArrayOutputStream body = new ByteArrayOutputStream(128);
            body.write(prefix);
            BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(body, encoders.get());
            encoders.set(encoder);
            writer.write(record, encoder);
            encoder.flush();
            return body.toByteArray();
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        },
        (topic, payload) -> {
          if (payload == null) {
            return null;
          }
          try {
            int length = payload.length - PREFIX;
            BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(payload, PREFIX, length, decoders.get());
            decoders.set(decoder);
            return reader.read(null, decoder);
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        });
  }

  /** Three numbers, as the state of a window or of a total. */
  private static Serde<long[]> longs() {
    return Serdes.serdeFrom(
        (topic, sums) ->
            sums == null ? null : ByteBuffer.allocate(24).putLong(sums[0]).putLong(sums[1]).putLong(sums[2]).array(),
        (topic, payload) -> {
          if (payload == null) {
            return null;
          }
          ByteBuffer read = ByteBuffer.wrap(payload);
          return new long[] {read.getLong(), read.getLong(), read.getLong()};
        });
  }

  private Schema schema(String name) {
    return new Schema.Parser().parse(spec.get("schemas").get(name).toString());
  }

  private String text(String name) {
    return spec.get(name).asText();
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
