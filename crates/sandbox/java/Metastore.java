package opsweek;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import org.apache.derby.drda.NetworkServerControl;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hive.metastore.HiveMetaStore;
import org.apache.hadoop.hive.metastore.IHMSHandler;
import org.apache.hadoop.hive.metastore.RetryingHMSHandler;
import org.apache.hadoop.hive.metastore.TUGIBasedProcessor;
import org.apache.hadoop.hive.metastore.conf.MetastoreConf;
import org.apache.hadoop.hive.metastore.security.TUGIContainingTransport;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;

/**
 * The Hive metastore's own handler behind a listener on the loopback address: the start that 3.1.3
 * brings along listens on every address and has no setting against it.
 */
final class Metastore {
  private Metastore() {}

  /** Serves until the JVM ends; listens only when the database is open. */
  static void serve(int port) throws Exception {
    Configuration conf = MetastoreConf.newMetastoreConf();
    IHMSHandler handler =
        RetryingHMSHandler.getProxy(
            conf, new HiveMetaStore.HMSHandler("sandbox", conf, false), false);
    TServerSocket socket =
        new TServerSocket(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
    new TThreadPoolServer(
            new TThreadPoolServer.Args(socket)
                .processor(new TUGIBasedProcessor<>(handler))
                .transportFactory(new TUGIContainingTransport.Factory())
                .protocolFactory(new TBinaryProtocol.Factory())
                .minWorkerThreads(2)
                .maxWorkerThreads(200))
        .serve();
  }

  /** Lets other processes read the embedded Derby database, on the loopback address. */
  static void serveDerby(int port) throws Exception {
    new NetworkServerControl(InetAddress.getLoopbackAddress(), port).start(null);
  }
}
