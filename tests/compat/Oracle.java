import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/** Judges pairs of schemas, one a line: reader, writer, bodies in hex with commas between, by tabs. */
public final class Oracle {
  public static void main(String[] arguments) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (String line; (line = in.readLine()) != null; ) {
      out.println(judge(line.split("\t", -1)).replaceAll("[\\r\\n]+", " "));
    }
    out.flush();
  }

  private static String judge(String[] parts) {
    Schema reader;
    Schema writer;
    try {
      reader = new Schema.Parser().parse(parts[0]);
      writer = new Schema.Parser().parse(parts[1]);
    } catch (Exception error) {
      return "REFUSED\t" + error;
    }
    String verdict;
    try {
      verdict = SchemaCompatibility.checkReaderWriterCompatibility(reader, writer).getType().toString();
    } catch (Exception | StackOverflowError error) {
      return "FAILED\t" + error;
    }
    String read = "";
    for (String body : parts[2].isEmpty() ? new String[0] : parts[2].split(",")) {
      try {
        BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(HexFormat.of().parseHex(body), null);
        new GenericDatumReader<Object>(writer, reader).read(null, decoder);
        if (!decoder.isEnd()) {
          throw new IllegalStateException("bytes are left");
        }
      } catch (Exception | StackOverflowError error) {
        read = error.toString();
        break;
      }
    }
    return verdict + "\t" + read;
  }
}
