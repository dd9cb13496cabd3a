package opsweek;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.PrivilegedExceptionAction;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.AclEntry;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hive.metastore.HiveMetaStoreClient;
import org.apache.hadoop.hive.metastore.api.Database;
import org.apache.hadoop.hive.metastore.api.FieldSchema;
import org.apache.hadoop.hive.metastore.api.NoSuchObjectException;
import org.apache.hadoop.hive.metastore.api.Partition;
import org.apache.hadoop.hive.metastore.api.PrincipalType;
import org.apache.hadoop.hive.metastore.api.SerDeInfo;
import org.apache.hadoop.hive.metastore.api.StorageDescriptor;
import org.apache.hadoop.hive.metastore.api.Table;
import org.apache.hadoop.hive.metastore.conf.MetastoreConf;
import org.apache.hadoop.security.UserGroupInformation;

/**
 * Makes files and tables with the servers' own clients: one JSON object a line on standard input,
 * each with a field {@code op} and that operation's fields. What exists is brought to what is asked.
 */
public final class World {
  /** The NameNode writes its log to disk once for all who wait for it: let many wait. */
  private static final int THREADS = 64;

  private final Configuration conf = new HdfsConfiguration();
  private final FileSystem fs = FileSystem.newInstance(conf);
  private final Map<String, HiveMetaStoreClient> metastores = new HashMap<>();

  private World() throws Exception {}

  public static void main(String[] args) throws Exception {
    // Not by HADOOP_USER_NAME: the metastore's client would take that before doAs.
    UserGroupInformation.setLoginUser(as("hdfs"));
    World world = new World();
    ObjectMapper json = new ObjectMapper();
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      try {
        world.make(json.readTree(line));
      } catch (Exception e) {
        System.err.println(line + ": " + e);
        System.exit(1);
      }
    }
  }

  private void make(JsonNode op) throws Exception {
    switch (op.get("op").asText()) {
      case "folder":
        fs.mkdirs(new Path(op.get("path").asText()));
        own(op);
        break;
      case "file":
        write(fs, new Path(op.get("path").asText()), op.get("text").asText());
        own(op);
        break;
      case "remove":
        fs.delete(new Path(op.get("path").asText()), true);
        break;
      case "many":
        many(op);
        break;
      case "acl":
        fs.setAcl(
            new Path(op.get("path").asText()),
            AclEntry.parseAclSpec(op.get("entries").asText(), true));
        break;
      case "database":
        database(op);
        break;
      case "table":
        table(op);
        break;
      case "partition":
        partition(op);
        break;
      default:
        throw new IllegalArgumentException("unknown op");
    }
  }

  private void own(JsonNode op) throws Exception {
    Path path = new Path(op.get("path").asText());
    fs.setOwner(path, op.get("owner").asText(), op.get("group").asText());
    fs.setPermission(path, new FsPermission((short) op.get("mode").asInt()));
  }

  private static void write(FileSystem fs, Path path, String text) throws Exception {
    try (OutputStream out = fs.create(path, true)) {
      out.write(text.getBytes(StandardCharsets.UTF_8));
    }
  }

  /** Files in folders of at most 100, three deep; every fiftieth has something in it. */
  private void many(JsonNode op) throws Exception {
    FileSystem theirs =
        as(op.get("owner").asText()).doAs((PrivilegedExceptionAction<FileSystem>) () ->
            FileSystem.newInstance(conf));
    String root = op.get("path").asText();
    ExecutorService pool = Executors.newFixedThreadPool(THREADS);
    List<Future<Void>> results = new ArrayList<>();
    for (int i = 0; i < op.get("count").asInt(); i++) {
      int n = i;
      results.add(
          pool.submit(
              () -> {
                Path path =
                    new Path(String.format("%s/%d/%d/file-%05d", root, n / 1000, n / 100 % 10, n));
                write(theirs, path, n % 50 == 0 ? "file " + n + "\n" : "");
                return null;
              }));
    }
    pool.shutdown();
    for (Future<Void> result : results) {
      result.get();
    }
    theirs.close();
  }

  private static UserGroupInformation as(String user) {
    return UserGroupInformation.createRemoteUser(user);
  }

  /** A client that the metastore takes for the user: what it makes in HDFS is the user's. */
  private HiveMetaStoreClient metastore(String user) throws Exception {
    HiveMetaStoreClient known = metastores.get(user);
    if (known == null) {
      known =
          as(user)
              .doAs(
                  (PrivilegedExceptionAction<HiveMetaStoreClient>)
                      () -> new HiveMetaStoreClient(MetastoreConf.newMetastoreConf()));
      metastores.put(user, known);
    }
    return known;
  }

  private void database(JsonNode op) throws Exception {
    String name = op.get("name").asText();
    String owner = op.get("owner").asText();
    Database database;
    HiveMetaStoreClient client = metastore(owner);
    try {
      database = client.getDatabase(name);
    } catch (NoSuchObjectException e) {
      client.createDatabase(new Database(name, op.get("comment").asText(), null, null));
      database = client.getDatabase(name);
    }
    database.setOwnerName(owner);
    database.setOwnerType(PrincipalType.USER);
    client.alterDatabase(name, database);
  }

  private void table(JsonNode op) throws Exception {
    String owner = op.get("owner").asText();
    HiveMetaStoreClient client = metastore(owner);
    Table table = new Table();
    table.setDbName(op.get("database").asText());
    table.setTableName(op.get("name").asText());
    table.setOwner(owner);
    table.setCreateTime((int) (System.currentTimeMillis() / 1000));
    table.setParameters(new HashMap<>());
    table.putToParameters("comment", op.get("comment").asText());
    table.setPartitionKeys(columns(op.get("partitioned_by")));
    StorageDescriptor storage = new StorageDescriptor();
    storage.setCols(columns(op.get("columns")));
    storage.setParameters(new HashMap<>());
    SerDeInfo serde = new SerDeInfo();
    serde.setParameters(new HashMap<>());
    storage.setSerdeInfo(serde);
    table.setSd(storage);
    if (op.hasNonNull("view")) {
      table.setTableType("VIRTUAL_VIEW");
      table.setViewOriginalText(op.get("view").asText());
      table.setViewExpandedText(op.get("view").asText());
      storage.setInputFormat("org.apache.hadoop.mapred.SequenceFileInputFormat");
      storage.setOutputFormat("org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat");
    } else {
      storage.setInputFormat("org.apache.hadoop.mapred.TextInputFormat");
      storage.setOutputFormat("org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat");
      serde.setSerializationLib("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe");
      serde.putToParameters("field.delim", "\t");
      if (op.hasNonNull("location")) {
        storage.setLocation(location(op));
      }
      if (op.get("external").asBoolean()) {
        table.setTableType("EXTERNAL_TABLE");
        // Without it the metastore takes the table for a managed one.
        table.putToParameters("EXTERNAL", "TRUE");
      } else {
        table.setTableType("MANAGED_TABLE");
      }
      // Tables written by Spark have their location a second time.
      if (op.get("spark").asBoolean()) {
        table.putToParameters("spark.sql.sources.provider", "csv");
        serde.putToParameters("path", storage.getLocation());
      }
    }
    client.dropTable(table.getDbName(), table.getTableName(), false, true);
    client.createTable(table);
  }

  private void partition(JsonNode op) throws Exception {
    Table table =
        metastore("hive").getTable(op.get("database").asText(), op.get("table").asText());
    List<String> values = new ArrayList<>();
    op.get("values").forEach(value -> values.add(value.asText()));
    StorageDescriptor storage = table.getSd().deepCopy();
    storage.setLocation(op.hasNonNull("location") ? location(op) : null);
    int now = (int) (System.currentTimeMillis() / 1000);
    metastore(table.getOwner())
        .add_partition(
            new Partition(
                values,
                table.getDbName(),
                table.getTableName(),
                now,
                now,
                storage,
                new HashMap<>()));
  }

  /** The full URI, as the metastore keeps it. */
  private String location(JsonNode op) {
    return fs.makeQualified(new Path(op.get("location").asText())).toString();
  }

  private static List<FieldSchema> columns(JsonNode pairs) {
    List<FieldSchema> columns = new ArrayList<>();
    pairs.forEach(
        pair -> columns.add(new FieldSchema(pair.get(0).asText(), pair.get(1).asText(), null)));
    return columns;
  }
}
