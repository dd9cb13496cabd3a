package opsweek;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.Statement;

/**
 * {@code Query URL SQL}: what a query gives, as lines of fields with tabs between them, the column
 * names first. As with the mariadb client's --batch, NULL is {@code NULL}, and tab, newline, NUL
 * and backslash are {@code \t}, {@code \n}, {@code \0} and {@code \\}.
 */
public final class Query {
  private Query() {}

  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    try (Connection connection = DriverManager.getConnection(args[0]);
        Statement statement = connection.createStatement()) {
      if (!statement.execute(args[1])) {
        return;
      }
      ResultSet rows = statement.getResultSet();
      ResultSetMetaData columns = rows.getMetaData();
      for (int i = 1; i <= columns.getColumnCount(); i++) {
        out.print(i == 1 ? "" : "\t");
        out.print(escape(columns.getColumnLabel(i)));
      }
      out.print('\n');
      while (rows.next()) {
        for (int i = 1; i <= columns.getColumnCount(); i++) {
          out.print(i == 1 ? "" : "\t");
          String value = rows.getString(i);
          out.print(value == null ? "NULL" : escape(value));
        }
        out.print('\n');
      }
    } catch (java.sql.SQLException e) {
      System.err.println(e.getMessage());
      System.exit(1);
    }
    out.flush();
  }

  private static String escape(String value) {
    return value
        .replace("\\", "\\\\")
        .replace("\t", "\\t")
        .replace("\n", "\\n")
        .replace("\0", "\\0");
  }
}
