import java.nio.charset.StandardCharsets;
import org.apache.calcite.avatica.util.Quoting;
import org.apache.calcite.config.Lex;
import org.apache.calcite.sql.SqlNode;
import org.apache.calcite.sql.parser.SqlParser;
import org.apache.flink.sql.parser.ddl.table.SqlCreateTable;
import org.apache.flink.sql.parser.impl.FlinkSqlParserImpl;
import org.apache.flink.sql.parser.validate.FlinkSqlConformance;

/** Parses the statements on stdin as Flink does, and writes the kind of each, with the number of columns of a table. */
public class ParseFlinkSql {
  public static void main(String[] arguments) throws Exception {
    String text = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
    SqlParser.Config config =
        SqlParser.config()
            .withParserFactory(FlinkSqlParserImpl.FACTORY)
            .withConformance(FlinkSqlConformance.DEFAULT)
            .withLex(Lex.JAVA)
            .withQuoting(Quoting.BACK_TICK)
            .withIdentifierMaxLength(256);
    for (SqlNode each : SqlParser.create(text, config).parseStmtList()) {
      System.out.println(
          each.getKind() + (each instanceof SqlCreateTable table ? " " + table.getColumnList().size() : ""));
    }
  }
}
