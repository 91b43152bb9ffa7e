import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import tests.shipments.ShipmentPort;

/** Reads so many shipments, shows each as a line of JSON, and publishes them again. */
public class Again {
  public static void main(String[] arguments) throws Exception {
    ShipmentPort port = ShipmentPort.open(URI.create(arguments[0]), Map.of());
    int count = Integer.parseInt(arguments[1]);
    Properties properties = new Properties();
    properties.put("group.id", "java-" + System.nanoTime());
    properties.put("auto.offset.reset", "earliest");
    List<ShipmentPort.PortEvent> events = new ArrayList<>();
    try (var consumer = port.consumer(properties)) {
      port.subscribe(consumer, events::add, () -> events.size() < count);
    }
    for (ShipmentPort.PortEvent each : events) {
      Map<String, Object> shown = new LinkedHashMap<>();
      shown.put("id", each.id());
      shown.put("source", each.source());
      shown.put("type", each.type());
      shown.put("key", each.key());
      shown.put("partition", each.partition());
      shown.put("offset", each.offset());
      shown.put("customer", each.data().getCustomer());
      shown.put("price", each.data().getPrice().toString());
      shown.put("due", each.data().getDue().toString());
      System.out.println(new ObjectMapper().writeValueAsString(shown));
    }
    try (var producer = port.producer(new Properties())) {
      for (ShipmentPort.PortEvent each : events) {
        port.publish(producer, each.data()).get();
      }
    }
    System.out.println("reading on");
    try (var consumer = port.consumer(properties)) {
      port.subscribe(consumer, event -> {}, () -> true);
    } catch (ShipmentPort.GenerationReplacedException error) {
      System.out.println(error.getMessage());
    }
  }
}
