package opsweek;

import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * Runs a class with conf folders: {@code Launch CONF[:CONF] CLASS ARGS...}.
 *
 * <p>The conf folders are not on the class path, because a shared class archive (AppCDS) wants a
 * class path of jars only. Hadoop and the metastore look for their files in the context class
 * loader.
 */
public final class Launch {
  private Launch() {}

  public static void main(String[] args) throws Exception {
    String[] folders = args[0].split(":");
    URL[] conf = new URL[folders.length];
    for (int i = 0; i < conf.length; i++) {
      conf[i] = Path.of(folders[i]).toUri().toURL();
    }
    Thread.currentThread()
        .setContextClassLoader(new URLClassLoader(conf, Launch.class.getClassLoader()));
    // A server that fails leaves threads behind that would keep the JVM alive.
    try {
      Class.forName(args[1])
          .getMethod("main", String[].class)
          .invoke(null, (Object) Arrays.copyOfRange(args, 2, args.length));
    } catch (InvocationTargetException e) {
      e.getCause().printStackTrace();
      System.exit(1);
    }
  }
}
