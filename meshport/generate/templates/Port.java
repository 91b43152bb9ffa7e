// Written by `meshport generate`, which replaces this file.
__PACKAGE__
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.apache.avro.Schema;
import org.apache.avro.io.DatumReader;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.specific.SpecificData;
import org.apache.avro.specific.SpecificDatumReader;
import org.apache.avro.specific.SpecificDatumWriter;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The port __ADDRESS__: reads its events, and publishes to it. Threads may share one. */
public final class __PORT__ {
  /** The port, at the major line of these types. */
  public static final String ADDRESS = "__ADDRESS__";

  private static final String FINGERPRINT = "__FINGERPRINT__";
  private static final SpecificData MODEL = SpecificData.getForClass(__ROOT__.class);
  private static final Schema SCHEMA = __ROOT__.getClassSchema();
  private static final ObjectMapper JSON = new ObjectMapper();

  /** One event, with its position in Kafka. The data of a tombstone is null; so is an attribute that an event does not have. */
  public record PortEvent(
      String id,
      String source,
      String type,
      Instant time,
      Instant recordedTime,
      String subject,
      Map<String, String> extensions,
      String key,
      __ROOT__ data,
      String topic,
      int partition,
      long offset) {}

  /** The registry did not answer, or refused. */
  public static final class RegistryException extends IOException {
    RegistryException(String message, Throwable cause) {
      super(message, cause);
    }
  }

  /** The port was rebuilt, and its address is bound to another topic than the one that is read. */
  public static final class GenerationReplacedException extends IOException {
    GenerationReplacedException(String message) {
      super(message);
    }
  }

  private static final String RESOLVE = "/api/v1/resolve/__PATH__?major=__MAJOR__";
  private static final Duration LOOK = Duration.ofSeconds(5);

  private final URI registry;
  private final Map<String, String> headers;
  private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
  private final Map<Integer, Schema> writers = new ConcurrentHashMap<>();
  private final String topic;
  private final String type;
  private final String bootstrapServers;
  private final int schemaId;

  private __PORT__(URI registry, Map<String, String> headers) throws IOException {
    this.registry = registry;
    this.headers = Map.copyOf(headers);
    JsonNode binding = ask(RESOLVE);
    topic = binding.get("topic").asText();
    type = binding.get("type").asText();
    bootstrapServers = binding.get("bootstrap_servers").asText();
    if (binding.get("fingerprint").asText().equals(FINGERPRINT)) {
      schemaId = binding.get("schema_id").asInt();
    } else { // the contract has a newer version: these types are of an earlier one, which keeps its own id
      JsonNode ids = ask("/schemas/guids/__GUID__/ids");
      schemaId = ids.get(0).get("id").asInt();
    }
  }

  /**
   * Resolves the address at a registry.
   *
   * @param registry its URL
   * @param headers of a login, such as {@code authorization}
   */
  public static __PORT__ open(URI registry, Map<String, String> headers) throws IOException {
    return new __PORT__(registry, headers);
  }

  /** Returns the topic of the events. */
  public String topic() {
    return topic;
  }

  /** Returns a consumer with some properties; by default of the servers that the registry names. */
  public KafkaConsumer<String, byte[]> consumer(Properties properties) {
    return new KafkaConsumer<>(connection(properties), new StringDeserializer(), new ByteArrayDeserializer());
  }

  /**
   * Gives each event to a function, and commits the offsets of those that it returned from, while a condition holds.
   *
   * @throws GenerationReplacedException after a rebuild of the port, within seconds; a program that is started again reads the
   *     new topic
   */
  public void subscribe(KafkaConsumer<String, byte[]> consumer, Consumer<PortEvent> handle, BooleanSupplier running)
      throws IOException {
    consumer.subscribe(List.of(topic));
    long looked = System.nanoTime();
    while (running.getAsBoolean()) {
      for (ConsumerRecord<String, byte[]> each : consumer.poll(Duration.ofMillis(200))) {
        handle.accept(decode(each));
      }
      consumer.commitSync();
      if (System.nanoTime() - looked > LOOK.toNanos()) {
        refuseReplaced();
        looked = System.nanoTime();
      }
    }
  }

  private void refuseReplaced() throws GenerationReplacedException {
    String bound;
    try {
      bound = ask(RESOLVE).get("topic").asText();
    } catch (IOException error) {
      return; // reading goes on without the registry
    }
    if (!bound.equals(topic)) {
      throw new GenerationReplacedException(
          ADDRESS + " was rebuilt: it is bound to " + bound + ", and no longer to " + topic
              + "; start the program again, which then reads " + bound);
    }
  }

  /** Returns the event of a message. */
  public PortEvent decode(ConsumerRecord<String, byte[]> message) throws IOException {
    Map<String, String> given = new HashMap<>();
    for (Header each : message.headers()) {
      if (each.key().startsWith("ce_") && each.value() != null) {
        given.putIfAbsent(each.key().substring(3), new String(each.value(), StandardCharsets.UTF_8));
      }
    }
    String id = given.remove("id");
    String source = given.remove("source");
    String kind = given.remove("type");
    String time = given.remove("time");
    String recorded = given.remove("recordedtime");
    String subject = given.remove("subject");
    given.remove("specversion");
    given.remove("dataschema");
    return new PortEvent(
        id != null ? id : message.topic() + "-" + message.partition() + "-" + message.offset(),
        source != null ? source : ADDRESS,
        kind != null ? kind : type,
        time != null ? instant(time) : Instant.ofEpochMilli(message.timestamp()),
        recorded != null ? instant(recorded) : null,
        subject,
        Map.copyOf(given),
        message.key(),
        message.value() == null ? null : read(message.value()),
        message.topic(),
        message.partition(),
        message.offset());
  }

  private __ROOT__ read(byte[] value) throws IOException {
    if (value.length < 5 || value[0] != 0) {
      throw new IOException("the value is not in Confluent's wire format");
    }
    int id = ByteBuffer.wrap(value).getInt(1);
    Schema writer = writers.get(id);
    if (writer == null) {
      writer = new Schema.Parser().parse(ask("/schemas/ids/" + id).get("schema").asText());
      writers.put(id, writer);
    }
    DatumReader<__ROOT__> reader = new SpecificDatumReader<>(writer, SCHEMA, MODEL);
    return reader.read(null, DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null));
  }
__PUBLISHER__
  private Properties connection(Properties properties) {
    Properties made = new Properties();
    made.put("bootstrap.servers", bootstrapServers);
    made.putAll(properties);
    return made;
  }

  private static Instant instant(String text) {
    return OffsetDateTime.parse(text).toInstant();
  }

  private JsonNode ask(String path) throws IOException {
    String url = registry.toString().replaceAll("/+$", "") + path;
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(30)).header("accept", "application/json");
    headers.forEach(request::header);
    HttpResponse<String> response;
    try {
      response = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
    } catch (IOException error) {
      throw new RegistryException(url + " does not answer", error);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new RegistryException(url + ": interrupted", error);
    }
    if (response.statusCode() != 200) {
      throw new RegistryException(url + ": " + response.statusCode() + " " + response.body(), null);
    }
    return JSON.readTree(response.body());
  }
}
