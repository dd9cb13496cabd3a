package opsweek;

import java.util.List;
import java.util.Set;
import org.apache.hadoop.security.GroupMappingServiceProvider;

/**
 * Who is in which group: hdfs is a superuser, hive has its own, everybody else is an analyst. The
 * accounts need not exist on this machine.
 */
public final class Groups implements GroupMappingServiceProvider {
  private static final String ANALYSTS = "analytics-privatedata-users";

  @Override
  public List<String> getGroups(String user) {
    switch (user) {
      case "hdfs":
        return List.of("supergroup", "hdfs", ANALYSTS);
      case "hive":
        return List.of("hive");
      default:
        return List.of(ANALYSTS);
    }
  }

  @Override
  public Set<String> getGroupsSet(String user) {
    return Set.copyOf(getGroups(user));
  }

  @Override
  public void cacheGroupsRefresh() {}

  @Override
  public void cacheGroupsAdd(List<String> groups) {}
}
