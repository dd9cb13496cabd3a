//! A user's whole world, as the servers' own clients see it: two equal listings, the same world.

use std::fmt::Write as _;

use crate::error::Error;
use crate::sandbox::Sandbox;

/// What `offboard` never archives, as the sandbox configures it, of what the seed makes.
const SECRETS: [&str; 4] = [".ssh", ".gnupg", ".my.cnf", ".netrc"];

impl Sandbox {
    /// Everything that a user who was [seeded](Sandbox::seed) has on the servers, attribute for
    /// attribute, but for what no archive keeps: the secrets at the top of homes on hosts, and
    /// when a table was made.
    ///
    /// HDFS: kind, mode, owner, group, length, replication, time of change in milliseconds, ACL
    /// and checksum of every path. Metastore: databases, tables, partitions, functions with
    /// owners, columns, locations, formats, properties. Hosts: kind, mode, owner, group, size,
    /// blocks, links, time of change in nanoseconds, target, SHA-256, ACL of every entry of the
    /// homes, archives of homes, the crontab, and whether services linger.
    pub fn listing(&self, user: &str) -> Result<String, Error> {
        let mut all = self.listing_of_hdfs(user)?;
        all.push_str(&self.listing_of_metastore(user)?);
        for host in self.hosts() {
            let output = self.ssh(&host.name, &format!("sudo -n bash -c {}", on_host(user)))?;
            let _ = writeln!(all, "== {}", host.name);
            all.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        Ok(all)
    }

    fn listing_of_hdfs(&self, user: &str) -> Result<String, Error> {
        let database = user.replace(['.', '-'], "_");
        let warehouse = "/user/hive/warehouse";
        let roots = [
            format!("/user/{user}"),
            format!("{warehouse}/{database}.db"),
            format!("{warehouse}/shared.db/{database}_reports"),
            format!("{warehouse}/shared.db/{database}_daily"),
            format!("/wmf/data/research/{user}"),
        ];
        let print = |arguments: &[&str], paths: &[String]| {
            let paths = paths.iter().map(String::as_str);
            let arguments: Vec<&str> = arguments.iter().copied().chain(paths).collect();
            let output = self.hdfs(None, &arguments)?;
            Ok::<_, Error>(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let found = print(
            &["dfs", "-find"],
            &[roots.as_slice(), &["-print0".into()]].concat(),
        )?;
        let found = found.split('\0').filter(|path| !path.is_empty());
        let mut paths: Vec<String> = found.map(str::to_owned).collect();
        paths.sort();
        let mut all = paths.join("\n");
        if !paths.is_empty() {
            let format = "%F %a %u %g %b %r %Y %n";
            all.push_str(&print(&["dfs", "-stat", format], &paths)?);
            all.push_str(&print(&["dfs", "-getfacl"], &paths)?);
            all.push_str(&print(&["dfs", "-checksum"], &paths)?);
        }
        Ok(all)
    }

    fn listing_of_metastore(&self, user: &str) -> Result<String, Error> {
        let database = user.replace(['.', '-'], "_");
        let mut all = String::new();
        let mut add = |query: &str| {
            for row in self.metastore_sql(query)? {
                let _ = writeln!(all, "{}", row.join("\t"));
            }
            Ok::<_, Error>(())
        };
        // Words of SQL.
        let (description, comment) = if self.on_derby()? {
            ("D.\"DESC\"", "C.\"COMMENT\"")
        } else {
            ("D.`DESC`", "C.`COMMENT`")
        };
        // Parameters that say when something was last changed are part of it, too.
        add(&format!(
            "SELECT D.NAME, D.DB_LOCATION_URI, D.OWNER_NAME, D.OWNER_TYPE, {description}, D.CTLG_NAME \
             FROM DBS D WHERE D.NAME = '{database}'"
        ))?;
        add(&format!(
            "SELECT P.PARAM_KEY, P.PARAM_VALUE FROM DATABASE_PARAMS P JOIN DBS D \
             ON P.DB_ID = D.DB_ID WHERE D.NAME = '{database}' ORDER BY 1"
        ))?;
        add(&format!(
            "SELECT F.FUNC_NAME, F.CLASS_NAME, F.OWNER_NAME, F.OWNER_TYPE, F.FUNC_TYPE FROM FUNCS F \
             JOIN DBS D ON F.DB_ID = D.DB_ID WHERE D.NAME = '{database}' ORDER BY 1"
        ))?;
        let mine = format!(
            "(D.NAME = '{database}' OR T.TBL_NAME IN ('{database}_reports', '{database}_daily', \
             '{database}_top', 'referrers_of_{database}'))"
        );
        let tables = "TBLS T JOIN DBS D ON T.DB_ID = D.DB_ID";
        let storage = "S.LOCATION, S.INPUT_FORMAT, S.OUTPUT_FORMAT, S.IS_COMPRESSED, \
             S.NUM_BUCKETS, S.IS_STOREDASSUBDIRECTORIES, E.NAME, E.SLIB";
        add(&format!(
            "SELECT D.NAME, T.TBL_NAME, T.TBL_TYPE, T.OWNER, T.OWNER_TYPE, T.LAST_ACCESS_TIME, \
             T.RETENTION, {storage} FROM {tables} JOIN SDS S ON S.SD_ID = T.SD_ID \
             JOIN SERDES E ON E.SERDE_ID = S.SERDE_ID WHERE {mine} ORDER BY 1, 2"
        ))?;
        add(&format!(
            "SELECT D.NAME, T.TBL_NAME, P.PARAM_KEY, P.PARAM_VALUE FROM {tables} \
             JOIN TABLE_PARAMS P ON P.TBL_ID = T.TBL_ID WHERE {mine} ORDER BY 1, 2, 3"
        ))?;
        add(&format!(
            "SELECT D.NAME, T.TBL_NAME, C.INTEGER_IDX, C.COLUMN_NAME, C.TYPE_NAME, {comment} \
             FROM {tables} JOIN SDS S ON S.SD_ID = T.SD_ID JOIN COLUMNS_V2 C ON C.CD_ID = S.CD_ID \
             WHERE {mine} ORDER BY 1, 2, 3"
        ))?;
        add(&format!(
            "SELECT D.NAME, T.TBL_NAME, K.INTEGER_IDX, K.PKEY_NAME, K.PKEY_TYPE FROM {tables} \
             JOIN PARTITION_KEYS K ON K.TBL_ID = T.TBL_ID WHERE {mine} ORDER BY 1, 2, 3"
        ))?;
        add(&format!(
            "SELECT D.NAME, T.TBL_NAME, Q.PARAM_KEY, Q.PARAM_VALUE FROM {tables} \
             JOIN SDS S ON S.SD_ID = T.SD_ID JOIN SERDE_PARAMS Q ON Q.SERDE_ID = S.SERDE_ID \
             WHERE {mine} ORDER BY 1, 2, 3"
        ))?;
        let partitions = format!("{tables} JOIN PARTITIONS R ON R.TBL_ID = T.TBL_ID");
        add(&format!(
            "SELECT D.NAME, T.TBL_NAME, R.PART_NAME, R.CREATE_TIME, R.LAST_ACCESS_TIME, {storage} \
             FROM {partitions} JOIN SDS S ON S.SD_ID = R.SD_ID \
             JOIN SERDES E ON E.SERDE_ID = S.SERDE_ID WHERE {mine} ORDER BY 1, 2, 3"
        ))?;
        add(&format!(
            "SELECT D.NAME, T.TBL_NAME, R.PART_NAME, P.PARAM_KEY, P.PARAM_VALUE FROM {partitions} \
             JOIN PARTITION_PARAMS P ON P.PART_ID = R.PART_ID WHERE {mine} ORDER BY 1, 2, 3, 4"
        ))?;
        add(&format!(
            "SELECT D.NAME, T.TBL_NAME, R.PART_NAME, Q.PARAM_KEY, Q.PARAM_VALUE FROM {partitions} \
             JOIN SDS S ON S.SD_ID = R.SD_ID JOIN SERDE_PARAMS Q ON Q.SERDE_ID = S.SERDE_ID \
             WHERE {mine} ORDER BY 1, 2, 3, 4"
        ))?;
        Ok(all)
    }
}

/// The script that lists a host, quoted for its shell. A folder's size and its number of links
/// depend on what is left out, and on the file system.
fn on_host(user: &str) -> String {
    let left_out = SECRETS
        .map(|name| format!("-path '*home/{user}/{name}'"))
        .join(" -o ");
    let script = format!(
        "export LC_ALL=C; cd /; \
         places=$(ls -d home/{user} srv/home/{user} var/userarchive/{user}* \
           var/spool/cron/crontabs/{user} 2>/dev/null); \
         [ -n \"$places\" ] && {{ \
         find $places -xdev \\( {left_out} \\) -prune -o \\( -type d \
           -printf '%y %m %U %G %T@ %p\\0' -o -printf '%y %m %U %G %s %b %n %T@ %p -> %l\\0' \\) \
           | sort -z | tr '\\0' '\\n'; \
         find $places -xdev \\( {left_out} \\) -prune -o -type f -print0 | sort -z \
           | xargs -0 sha256sum; \
         find $places -xdev \\( {left_out} \\) -prune -o \\! -type l -print0 | sort -z \
           | xargs -0 getfacl --numeric; }} | cat -v; \
         ls /var/lib/systemd/linger/{user} 2>/dev/null; \
         ls -A home srv/home var/userarchive var/spool/cron/crontabs | grep -F {user}. || :"
    );
    format!("'{}'", script.replace('\'', r"'\''"))
}
