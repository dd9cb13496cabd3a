package opsweek;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.security.NoSuchAlgorithmException;
import java.security.PrivilegedExceptionAction;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.crypto.key.KeyProvider;
import org.apache.hadoop.crypto.key.KeyProviderFactory;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.FsShell;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.server.datanode.DataNode;
import org.apache.hadoop.hdfs.server.namenode.NameNode;
import org.apache.hadoop.metrics2.lib.DefaultMetricsSystem;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.util.ToolRunner;

/**
 * Any of NameNode, DataNode and Hive metastore in one JVM: {@code Servers [namenode] [datanode]
 * [metastore=PORT] [derby=PORT] [rehearse]}. Prints {@code READY} when all that was asked for can be
 * used, and ends when one of them fails; with {@code rehearse} after a client's call, so that an
 * archive of the classes used has the client's too.
 */
public final class Servers {
  private Servers() {}

  public static void main(String[] args) throws Exception {
    // Two servers of one name in one JVM are a mistake to Hadoop, unless it is a test cluster.
    DefaultMetricsSystem.setMiniClusterMode(true);
    Configuration conf = new HdfsConfiguration();
    boolean namenode = false;
    boolean datanode = false;
    boolean rehearse = false;
    int metastore = 0;
    for (String arg : args) {
      String[] part = arg.split("=", 2);
      switch (part[0]) {
        case "namenode":
          namenode = true;
          break;
        case "datanode":
          datanode = true;
          break;
        case "metastore":
          metastore = Integer.parseInt(part[1]);
          break;
        case "derby":
          Metastore.serveDerby(Integer.parseInt(part[1]));
          break;
        case "rehearse":
          rehearse = true;
          break;
        default:
          throw new IllegalArgumentException(arg);
      }
    }
    if (metastore != 0) {
      startMetastore(metastore);
    }
    if (namenode) {
      if (!new File(conf.get("dfs.namenode.name.dir"), "current/VERSION").exists()) {
        NameNode.format(conf);
      }
      makeKey(conf);
      NameNode server = NameNode.createNameNode(new String[0], conf);
      if (datanode) {
        DataNode.createDataNode(new String[0], conf);
      }
      while (server.isInSafeMode() || server.getNamesystem().getNumLiveDataNodes() < 1) {
        Thread.sleep(20);
      }
      makeFolders(conf);
    } else if (datanode) {
      DataNode server = DataNode.createDataNode(new String[0], conf);
      // That is, known to the NameNode.
      while (!server.isDatanodeFullyStarted()) {
        Thread.sleep(20);
      }
    }
    if (metastore != 0) {
      awaitListener(metastore);
    }
    System.out.println("READY");
    if (rehearse) {
      System.exit(ToolRunner.run(conf, new FsShell(), new String[] {"-ls", "-R", "/"}));
    }
    Thread.currentThread().join();
  }

  private static void startMetastore(int port) {
    Thread thread =
        new Thread(
            () -> {
              try {
                UserGroupInformation.createRemoteUser("hive")
                    .doAs(
                        (PrivilegedExceptionAction<Void>)
                            () -> {
                              Metastore.serve(port);
                              return null;
                            });
              } catch (Throwable e) {
                e.printStackTrace();
              }
              System.exit(1);
            },
            "metastore");
    thread.setDaemon(true);
    thread.start();
  }

  /**
   * The key {@code sandbox} for encryption zones. It lies in a file, where a cluster has a KMS; the
   * NameNode reads that once, so it is made before.
   */
  private static void makeKey(Configuration conf) throws IOException, NoSuchAlgorithmException {
    KeyProvider keys = KeyProviderFactory.getProviders(conf).get(0);
    if (keys.getMetadata("sandbox") == null) {
      keys.createKey("sandbox", new KeyProvider.Options(conf));
      keys.flush();
    }
  }

  /** The folders that every cluster of the platform has. */
  private static void makeFolders(Configuration conf) throws IOException {
    try (FileSystem fs = FileSystem.newInstance(conf)) {
      makeFolder(fs, "/tmp", "hdfs", "hdfs", 01777);
      makeFolder(fs, "/user", "hdfs", "hdfs", 0755);
      makeFolder(fs, "/user/hive", "hive", "hive", 0755);
      makeFolder(fs, "/user/hive/warehouse", "hive", "hive", 01777);
      makeFolder(fs, "/wmf", "hdfs", "hdfs", 0755);
      makeFolder(fs, "/wmf/data", "hdfs", "hdfs", 0755);
      makeFolder(fs, "/wmf/data/archive", "hdfs", "hdfs", 0755);
      makeFolder(fs, "/wmf/data/archive/user", "hdfs", "hdfs", 0755);
    }
  }

  private static void makeFolder(FileSystem fs, String name, String owner, String group, int mode)
      throws IOException {
    Path path = new Path(name);
    // At every start: an earlier one may have been killed between these three.
    fs.mkdirs(path);
    fs.setOwner(path, owner, group);
    fs.setPermission(path, new FsPermission((short) mode));
  }

  private static void awaitListener(int port) throws InterruptedException {
    while (true) {
      try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
        return;
      } catch (IOException e) {
        Thread.sleep(20);
      }
    }
  }
}
